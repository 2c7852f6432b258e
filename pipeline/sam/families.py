"""The model families: what each of their members is built from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MINI_IMAGE_SIZE_PX: Final = 256
"""Side of the square that the mini models see."""

MINI_CHANNELS: Final = 64
"""Token width of the mini models."""


@dataclass(frozen=True)
class MiniTrunk:
    """Hiera trunk of a small model: the numbers in which the mini models differ.

    Global attention is in the third stage only, and never in its first block: a block that
    pools between stages cannot attend globally.
    """

    width: int
    depths: tuple[int, int, int, int]

    @property
    def global_blocks(self) -> tuple[int, ...]:
        """Blocks of the third stage after its pooling one."""
        start = sum(self.depths[:2])
        return tuple(range(start + 1, start + self.depths[2]))


MINI_TRUNKS: Final = {
    "tiny": MiniTrunk(6, (1, 1, 2, 1)),
    "small": MiniTrunk(12, (1, 1, 3, 1)),
    "base_plus": MiniTrunk(16, (1, 2, 3, 1)),
    "large": MiniTrunk(24, (2, 3, 4, 1)),
}
"""Four sizes of one recipe."""

MEMBERS: Final[Mapping[tuple[str, str], str | MiniTrunk]] = {
    **{("mini", model): trunk for model, trunk in MINI_TRUNKS.items()},
    ("sam2", "tiny"): "configs/sam2/sam2_hiera_t.yaml",
    ("sam2", "small"): "configs/sam2/sam2_hiera_s.yaml",
    ("sam2", "base_plus"): "configs/sam2/sam2_hiera_b+.yaml",
    ("sam2", "large"): "configs/sam2/sam2_hiera_l.yaml",
    ("sam2.1", "tiny"): "configs/sam2.1/sam2.1_hiera_t.yaml",
    ("sam2.1", "small"): "configs/sam2.1/sam2.1_hiera_s.yaml",
    ("sam2.1", "base_plus"): "configs/sam2.1/sam2.1_hiera_b+.yaml",
    ("sam2.1", "large"): "configs/sam2.1/sam2.1_hiera_l.yaml",
}
"""What each model is built from: the trunk of a small one, or a configuration of ``sam2``."""


@dataclass(frozen=True)
class FamilySizes:
    """What the size of a store depends on; the same for all models of a family."""

    n_channels: int
    """Width of a token."""
    mask_side_px: int
    """Side of a low-resolution mask."""

    @property
    def n_encoder_channels(self) -> int:
        """Channels of all levels of the image encoder, as the decoder receives them.

        ``sam2`` narrows the finest level to an eighth of the width of a token, the next to a
        quarter.
        """
        return self.n_channels // 8 + self.n_channels // 4 + self.n_channels


SIZES: Final[Mapping[str, FamilySizes]] = {
    "mini": FamilySizes(MINI_CHANNELS, MINI_IMAGE_SIZE_PX // 4),
    "sam2": FamilySizes(256, 256),
    "sam2.1": FamilySizes(256, 256),
}
"""Declared for those who plan or publish cells: building a model takes seconds."""
