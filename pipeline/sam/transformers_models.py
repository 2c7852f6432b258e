"""Adapts image encoders of ``transformers`` to SAM2's decoder."""

from types import SimpleNamespace
from typing import Any, Final

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

Config = Any
"""A configuration of ``transformers``: its attributes depend on the kind of model."""

N_LEVELS: Final = 3
"""Number of levels that the decoder takes. SAM 3's encoder has a fourth, coarser level, which would
only cost time; SAM 3.1's file has no weights for it."""


class VisionEncoder(nn.Module):
    """An image encoder of ``transformers`` with the interface of ``sam2``'s encoders."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.vision_encoder = AutoModel.from_config(config)
        if config.model_type == "sam3_vision_model":
            del self.vision_encoder.neck.fpn_layers[N_LEVELS:]
        self.neck = SimpleNamespace(d_model=config.fpn_hidden_size)

    def forward(self, pixels: Tensor) -> dict[str, list[Tensor]]:
        """Encode images: ``N_LEVELS`` levels of features, the finest first, and position codes.

        The keys are ``backbone_fpn`` and ``vision_pos_enc``, as in ``sam2``.
        """
        encoded = self.vision_encoder(pixels)
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
    of a misspelt argument.
    """
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
