"""Builds the models that the table of families describes, and loads weights into them."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from sam2.build_sam import build_sam2
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from pipeline.sam import families
from pipeline.sam.weight_names import renaming

IMAGE_PATH: Final = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")
"""Prefixes of the names of weights that segment an image; the other weights serve video."""


def build(family: str, model: str, *, seed: int) -> SAM2Base:
    """Build a model with random weights; the global random state stays as it was.

    >>> from pipeline.sam.model import Sam
    >>> sam = Sam(build("mini", "tiny", seed=0), device=torch.device("cpu"), precision="fp32")
    >>> sam.image_size_px, sam.mask_size_px, sam.n_channels
    (256, 64, 64)

    Parameters
    ----------
    family
        Name of a family.
    model
        Name of one of its models.
    seed
        Fixes the random weights.

    Returns
    -------
    The model, on the CPU; ``Sam`` runs it.

    Raises
    ------
    ValueError
        If no family has this name, or it has no model of this name.
    ImportError
        If the image encoder is in ``transformers``, and the extra ``hf`` is not installed.
    ArchitectureError
        If the family declares another size of image, mask or token than the model has.
    """
    families.check_model(family, model)
    row = families.FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _build(row.models[model], row)
    _check_sizes(network, row, f"{family} {model}")
    network.pixel_mean, network.pixel_std = row.mean, row.std
    network.is_padded, network.pads_boxes = row.is_padded, row.pads_boxes
    return network


def _build(member: families.Member, row: families.Family) -> SAM2Base:
    if isinstance(member, families.MiniTrunk):
        return _build_small(member, row)
    if isinstance(member, families.TransformersModel):
        from pipeline.sam import transformers_models  # noqa: PLC0415 - an extra installs it

        config = transformers_models.full_size(member.kind)
        return of_transformers(config, row)
    # Postprocessing would replace proposals; the cache holds the proposals of the decoder.
    size = f"++model.image_size={row.image_size_px}"
    return build_sam2(member, None, "cpu", hydra_overrides_extra=[size], apply_postprocessing=False)


def _check_sizes(network: SAM2Base, row: families.Family, name: str) -> None:
    """Raise an ``ArchitectureError`` if the family's row declares other sizes than the model's."""
    sizes = {
        "image_size_px": int(network.image_size),
        "mask_side_px": mask_side_px(network),
        "n_channels": int(network.hidden_dim),
    }
    for key, size in sizes.items():
        if getattr(row, key) != size:
            raise ArchitectureError(
                f"{key} of the family of {name} must be the model's, {size}, "
                f"got {getattr(row, key)}"
            )


def mask_side_px(network: SAM2Base) -> int:
    """Side of a model's low-resolution masks in pixels: four times its number of token rows."""
    return 4 * int(network.sam_image_embedding_size)


class ArchitectureError(ValueError):
    """Raised if weights or the declared sizes of a family do not fit a model's architecture."""


def fit_weights(network: SAM2Base, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a model; weights that serve video only may be missing.

    ``weights`` are by name, as in a file of Meta or of ``transformers``, called ``source`` in
    messages; weights for texts and video are left out of files of SAM 3.1 and of ``transformers``.
    Raises an ArchitectureError if a weight is missing, unknown or of another shape (weights of
    another model, usually).
    """
    initial = network.state_dict()
    if rename := renaming(weights, hiera=isinstance(network.image_encoder, ImageEncoder)):
        weights = {k: v for k, v in rename(weights).items() if k.startswith(IMAGE_PATH)}
    faults = {
        "no": [k for k in initial if k.startswith(IMAGE_PATH) and k not in weights],
        "an unknown": [k for k in weights if k not in initial],
        "a differently shaped": [
            k for k, v in weights.items() if k in initial and initial[k].shape != v.shape
        ],
    }
    for fault, names in faults.items():
        if names:
            raise ArchitectureError(
                f"weights in {source} must fit the model's architecture, got {fault} {names[0]!r} "
                f"({len(names)} such)"
            )
    network.load_state_dict(weights, strict=False)


def _build_small(trunk: families.MiniTrunk, row: families.Family) -> SAM2Base:
    hiera = Hiera(
        embed_dim=trunk.width,
        stages=trunk.depths,
        global_att_blocks=trunk.global_blocks,
        window_spec=(8, 4, 8, 4),
        window_pos_embed_bkg_spatial_size=(8, 8),
    )
    neck = FpnNeck(
        PositionEmbeddingSine(row.n_channels),
        d_model=row.n_channels,
        backbone_channel_list=hiera.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    encoder = ImageEncoder(hiera, neck, scalp=1)
    return _with_encoder(encoder, image_size_px=row.image_size_px, cell_px=16, row=row)


def of_transformers(
    config: Any,  # noqa: ANN401 - its attributes depend on the kind
    row: families.Family,
) -> SAM2Base:
    """Build a model with the image encoder of a configuration of ``transformers``.

    Its weights are random; ``row`` describes its family. Raises an ImportError if the extra ``hf``
    is not installed.
    """
    from pipeline.sam.transformers_models import VisionEncoder  # noqa: PLC0415 - an extra installs it

    encoder, prompts = VisionEncoder(config.vision_config), config.prompt_encoder_config
    return _with_encoder(
        encoder,
        image_size_px=prompts.image_size,
        cell_px=prompts.patch_size,
        row=row,
    )


def _with_encoder(
    encoder: nn.Module, *, image_size_px: int, cell_px: int, row: families.Family
) -> SAM2Base:
    """Build a model from an image encoder and SAM2's prompt encoder and decoder, of random weights.

    ``cell_px`` is the side of the square of pixels that one image token stands for; ``row``
    describes the model's family.

    Notes
    -----
    The embedding ``no_mem_embed`` is added to the image tokens, as in Meta's predictors of SAM 2
    and SAM 3. ``Sam3TrackerModel`` of transformers 5.24 adds it to a level that no decoder
    receives.
    """
    return SAM2Base(
        encoder,
        memory_attention=nn.Identity(),  # serves video only
        memory_encoder=nn.Identity(),
        num_maskmem=1,
        image_size=image_size_px,
        backbone_stride=cell_px,
        directly_add_no_mem_embed=True,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        iou_prediction_use_sigmoid=row.has_sigmoid_score,
        pred_obj_scores=row.has_object_score,
        pred_obj_scores_mlp=True,
    )
