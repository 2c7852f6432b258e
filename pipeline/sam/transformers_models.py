"""Adapts image encoders of ``transformers`` to SAM2's decoder."""

from types import SimpleNamespace
from typing import Any, Final

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

Config = Any
"""A configuration of ``transformers``: its attributes depend on the kind of model."""

N_LEVELS: Final = 3
"""Number of levels that the decoder takes. SAM 3's encoder has a fourth, coarser level, which would
only cost time; SAM 3.1's file has no weights for it. SAM 1's encoder has the coarsest alone."""

SAM1: Final = {"sam_vit_b": (768, 12, 12), "sam_vit_l": (1024, 24, 16), "sam_vit_h": (1280, 32, 16)}
"""Width, number of blocks and number of heads of the image encoders of SAM 1."""


class VisionEncoder(nn.Module):
    """An image encoder of ``transformers`` with the interface of ``sam2``'s encoders."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.vision_encoder = AutoModel.from_config(config)
        if config.model_type == "sam3_vision_model":
            del self.vision_encoder.neck.fpn_layers[N_LEVELS:]
        self._has_finer_levels = config.model_type != "sam_vision_model"
        if not self._has_finer_levels:
            self.vision_encoder = self.vision_encoder.vision_encoder
        width = config.fpn_hidden_size if self._has_finer_levels else config.output_channels
        self.neck = SimpleNamespace(d_model=width)

    def forward(self, pixels: Tensor) -> dict[str, list[Tensor]]:
        """Encode images: ``N_LEVELS`` levels of features, the finest first, and position codes.

        The keys are ``backbone_fpn`` and ``vision_pos_enc``, as in ``sam2``. Finer levels of SAM 1
        are zeros.
        """
        encoded = self.vision_encoder(pixels)
        if not self._has_finer_levels:
            top = encoded.last_hidden_state
            rows, columns = top.shape[2:]
            levels = [
                top.new_zeros(()).expand(*top.shape[:2], factor * rows, factor * columns)
                for factor in (4, 2)
            ]
            return {"backbone_fpn": [*levels, top], "vision_pos_enc": [*levels, top]}
        return {
            "backbone_fpn": list(encoded.fpn_hidden_states[:N_LEVELS]),
            "vision_pos_enc": list(encoded.fpn_position_encoding[:N_LEVELS]),
        }


def full_size(kind: str) -> Config:
    """Configuration of a kind of model of ``transformers`` that fits the released weights.

    Raises an ImportError if ``edgetam`` is asked for, and the package ``timm`` is missing.

    Notes
    -----
    The trunk of ``edgetam`` is set here: the default of transformers 5.24 is another trunk, because
    of a misspelt argument. SAM 1's random weights would be of 1e-10, and all images alike.
    """
    if kind in SAM1:
        width, n_blocks, n_heads = SAM1[kind]
        vision = {
            "hidden_size": width,
            "num_hidden_layers": n_blocks,
            "num_attention_heads": n_heads,
            "global_attn_indexes": list(range(n_blocks // 4 - 1, n_blocks, n_blocks // 4)),
            "initializer_range": 0.02,
        }
        return AutoConfig.for_model("sam", vision_config=vision)
    if kind != "edgetam":
        return AutoConfig.for_model(kind)
    import timm  # noqa: F401, PLC0415 - transformers would not say which module is absent

    trunk = AutoConfig.for_model(
        "timm_wrapper",
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    )
    vision = AutoConfig.for_model("edgetam_vision_model", backbone_config=trunk)
    return AutoConfig.for_model(kind, vision_config=vision)
