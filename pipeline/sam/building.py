"""Builds the models, and loads their weights."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from safetensors.torch import load_file
from sam2.build_sam import build_sam2
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from pipeline.sam import families
from pipeline.sam.transformers_weights import is_of_transformers, renamed

IMAGE_PATH: Final = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")
"""Weights that segment an image; the others serve video."""


def build(family: str, model: str, *, seed: int) -> SAM2Base:
    """Build a model with random weights; the global random state is left as it was.

    >>> from pipeline.sam.model import Sam
    >>> sam = Sam(build("mini", "tiny", seed=0), device=torch.device("cpu"), precision="fp32")
    >>> sam.image_size_px, sam.mask_size_px, sam.n_channels
    (256, 64, 64)
    """
    families.check_model(family, model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        source, name = families.source_of(family, model)
        row = families.FAMILIES[source]
        built = _built(row.models[name])
    built.pixel_mean, built.pixel_std = row.mean, row.std
    return built


def _built(member: families.Member) -> SAM2Base:
    if isinstance(member, families.MiniTrunk):
        return _build_small(member)
    if isinstance(member, families.TransformersModel):
        from pipeline.sam import transformers_models as theirs  # noqa: PLC0415 - an extra has it

        return of_transformers(theirs.full_size(member.kind))
    # Postprocessing would replace proposals; the cache holds what the decoder returned.
    return build_sam2(member, None, "cpu", apply_postprocessing=False)


class ArchitectureError(ValueError):
    """Weights do not fit the model that they are loaded into."""


def fit_weights(model: SAM2Base, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights; those of the image path must all be there.

    Raises
    ------
    ArchitectureError
        If a weight is missing, unknown or of another shape (weights of another model, usually).
    """
    own = model.state_dict()
    if is_of_transformers(weights):
        ours = renamed(weights, hiera=isinstance(model.image_encoder, ImageEncoder))
        weights = {name: ours[name] for name in ours if name.startswith(IMAGE_PATH)}
    missing = [k for k in own if k.startswith(IMAGE_PATH) and k not in weights]
    unknown = [k for k in weights if k not in own]
    reshaped = [k for k, v in weights.items() if k in own and own[k].shape != v.shape]
    for what, keys in (
        ("no", missing),
        ("an unknown", unknown),
        ("a differently shaped", reshaped),
    ):
        if keys:
            raise ArchitectureError(
                f"weights in {source} must fit the model's architecture, got {what} {keys[0]!r} "
                f"({len(keys)} such)"
            )
    model.load_state_dict(weights, strict=False)


def load_weights(file: str) -> dict[str, Tensor]:
    """Read ``.safetensors``, or one of Meta's ``.pt`` files without running its pickle."""
    if file.endswith(".safetensors"):
        return load_file(file)
    weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)["model"]
    return weights


def _build_small(trunk: families.MiniTrunk) -> SAM2Base:
    hiera = Hiera(
        embed_dim=trunk.width,
        stages=trunk.depths,
        global_att_blocks=trunk.global_blocks,
        window_spec=(8, 4, 8, 4),
        window_pos_embed_bkg_spatial_size=(8, 8),
    )
    neck = FpnNeck(
        PositionEmbeddingSine(families.MINI_CHANNELS),
        d_model=families.MINI_CHANNELS,
        backbone_channel_list=hiera.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    encoder = ImageEncoder(hiera, neck, scalp=1)
    return _with_encoder(encoder, image_size_px=families.MINI_IMAGE_SIZE_PX, cell_px=16)


def of_transformers(config: Any) -> SAM2Base:  # noqa: ANN401 - its attributes depend on the kind
    """A model that ``transformers`` configures, with its image encoder."""
    from pipeline.sam.transformers_models import VisionEncoder  # noqa: PLC0415 - an extra has it

    encoder, prompts = VisionEncoder(config.vision_config), config.prompt_encoder_config
    return _with_encoder(encoder, image_size_px=prompts.image_size, cell_px=prompts.patch_size)


def _with_encoder(encoder: nn.Module, *, image_size_px: int, cell_px: int) -> SAM2Base:
    """A model that segments images, with SAM2's prompt encoder and decoder at random weights.

    Parameters
    ----------
    cell_px
        Side of a cell, of which the decoder sees a square.

    Notes
    -----
    The embedding of no memory is added to the cells, as Meta's predictors do, that of SAM 3, too.
    ``Sam3TrackerModel`` of transformers 5.24 adds it to a level that no decoder receives.
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
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
    )
