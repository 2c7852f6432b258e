"""The table of model families; each row lists its models in the order of their size."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

MINI_IMAGE_SIZE_PX: Final = 256
"""Side of the square image that the mini models take."""

MINI_CHANNELS: Final = 64
"""Number of channels of a token of the mini models."""

Colour = tuple[float, float, float]
"""Red, green and blue, on the scale 0..1."""

IMAGENET_MEAN: Final[Colour] = (0.485, 0.456, 0.406)
IMAGENET_STD: Final[Colour] = (0.229, 0.224, 0.225)
"""Mean and standard deviation of the colours of ImageNet's images."""


def n_encoder_channels(n_channels: int) -> int:
    """Number of channels of the encoder's levels together, for tokens of ``n_channels`` channels.

    ``sam2`` narrows the finest level to an eighth of the channels of a token, and the next level to
    a quarter.
    """
    return n_channels // 8 + n_channels // 4 + n_channels


@dataclass(frozen=True)
class MiniTrunk:
    """The image encoder (a Hiera) of a mini model: its width, and its number of blocks per stage.

    Global attention is in the third stage only, and never in its first block: a block that
    pools between stages cannot attend globally.
    """

    width: int
    depths: tuple[int, int, int, int]

    @property
    def global_blocks(self) -> tuple[int, ...]:
        """Indices of the blocks with global attention: in stage 3, all but the first block."""
        start = sum(self.depths[:2])
        return tuple(range(start + 1, start + self.depths[2]))


@dataclass(frozen=True)
class TransformersModel:
    """A model whose image encoder is in the package ``transformers`` (extra ``hf``)."""

    kind: str
    """Name of the model's configuration in ``transformers``."""
    libraries: tuple[str, ...] = ("transformers",)
    """Packages with the code of the encoder."""


Member = str | MiniTrunk | TransformersModel
"""Description from which a model is built; a string is the path of a configuration of ``sam2``."""


@dataclass(frozen=True)
class Family:
    """Models released together, such as SAM 2.1: their names, sizes, colours and licence.

    They differ in the encoder, but not in the sizes of images and tokens.
    """

    models: Mapping[str, Member]
    """Description of each model, the smallest first. Weights are listed in
    ``storage/checkpoints/<family>.csv``."""
    n_channels: int = 256
    """Number of channels of a token."""
    image_size_px: int = 1024
    """Side of the square image that the encoder takes."""
    mask_side_px: int = 256
    """Side of a low-resolution mask."""
    mean: Colour = IMAGENET_MEAN
    std: Colour = IMAGENET_STD
    """Mean and standard deviation that normalise the colours of an image."""
    licence: str = "Apache-2.0"
    """Licence of the weights."""
    has_sigmoid_score: bool = True
    """Whether a sigmoid keeps the predicted IoU of a proposal between 0 and 1."""
    has_object_score: bool = True
    """Whether the decoder predicts a logit for there being an object."""
    is_padded: bool = False
    """Whether an image keeps its shape and is padded to the square, below or at the right, instead
    of being stretched to the square."""
    pads_boxes: bool = True
    """Whether a prompt set with a box ends with a point that only pads, as one without a box does.
    """

    @property
    def n_encoder_channels(self) -> int:
        """Total number of channels of the image encoder's levels, as the decoder receives them."""
        return n_encoder_channels(self.n_channels)

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the dimensions of tokens, masks and the encoder's levels, by names in the cache.

        The names are ``channel``, ``row`` and ``column`` for the image embedding, and the same with
        the prefixes ``finer_`` and ``finest_`` for the two other levels.
        """
        side, channels = self.mask_side_px // 4, self.n_channels
        levels = (("", 1, channels), ("finer_", 2, channels // 4), ("finest_", 4, channels // 8))
        of_levels = {
            f"{level}{dim}": size
            for level, factor, n_channels in levels
            for dim, size in (
                ("channel", n_channels),
                ("row", factor * side),
                ("column", factor * side),
            )
        }
        masks = dict.fromkeys(("y", "x"), self.mask_side_px)
        return {**of_levels, "encoder_channel": self.n_encoder_channels, **masks}


MINI_TRUNKS: Final = {
    "tiny": MiniTrunk(6, (1, 1, 2, 1)),
    "small": MiniTrunk(12, (1, 1, 3, 1)),
    "base_plus": MiniTrunk(16, (1, 2, 3, 1)),
    "large": MiniTrunk(24, (2, 3, 4, 1)),
}
"""The image encoders of the mini models: one architecture in four sizes."""

PHOTO_TRUNKS: Final = {
    "tiny": MiniTrunk(12, (1, 1, 3, 1)),
    "small": MiniTrunk(16, (1, 2, 3, 1)),
    "base_plus": MiniTrunk(24, (1, 1, 3, 1)),
    "large": MiniTrunk(32, (2, 2, 4, 1)),
}
"""The image encoders of ``mini-photos``, wider than those of ``mini``."""

DRAWN: Final = "mini"
"""The embedded family that learned from drawn scenes."""

PHOTOGRAPHS: Final = "mini-photos"
"""The embedded family that learned from photographs."""

EMBEDDED: Final = (DRAWN, PHOTOGRAPHS)
"""Families whose weights and heads come with the package."""

_SAM3: Final = Family(
    {"large": TransformersModel("sam3_tracker")},
    image_size_px=1008,
    mask_side_px=288,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    licence="SAM License (publications acknowledge it, no military use)",
)

FAMILIES: Final[Mapping[str, Family]] = {
    DRAWN: Family(MINI_TRUNKS, MINI_CHANNELS, MINI_IMAGE_SIZE_PX, MINI_IMAGE_SIZE_PX // 4),
    PHOTOGRAPHS: Family(
        PHOTO_TRUNKS,
        MINI_CHANNELS,
        MINI_IMAGE_SIZE_PX,
        MINI_IMAGE_SIZE_PX // 4,
        licence="learned from photographs for research and education, not for commerce",
    ),
    "sam2": Family(
        {
            "tiny": "configs/sam2/sam2_hiera_t.yaml",
            "small": "configs/sam2/sam2_hiera_s.yaml",
            "base_plus": "configs/sam2/sam2_hiera_b+.yaml",
            "large": "configs/sam2/sam2_hiera_l.yaml",
        },
    ),
    "sam2.1": Family(
        {
            "tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
            "small": "configs/sam2.1/sam2.1_hiera_s.yaml",
            "base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
            "large": "configs/sam2.1/sam2.1_hiera_l.yaml",
        },
    ),
    "sam1": Family(
        {name: TransformersModel(f"sam_{name}") for name in ("vit_b", "vit_l", "vit_h")},
        has_sigmoid_score=False,
        has_object_score=False,
        is_padded=True,
        pads_boxes=False,
    ),
    "edgetam": Family({"tiny": TransformersModel("edgetam", ("transformers", "timm"))}),
    "sam3": _SAM3,
    "sam3.1": replace(_SAM3, has_sigmoid_score=False),
}
"""The table of families. It declares sizes because plans and published cells need them, and
building a model only to read its sizes takes seconds; ``build`` checks the sizes."""


def models_of(family: str) -> tuple[str, ...]:
    """Names of the models of a family, the smallest first.

    Raises a ValueError if no family has this name.

    >>> models_of("mini")
    ('tiny', 'small', 'base_plus', 'large')
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
    return tuple(FAMILIES[family].models)


def check_model(family: str, model: str) -> None:
    """Raise a ValueError if a family is unknown, or has no model of this name."""
    models = models_of(family)
    if model not in models:
        raise ValueError(f"model must be one of {', '.join(models)}, got {model!r}")
