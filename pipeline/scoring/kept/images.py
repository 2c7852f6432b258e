"""Images whose masks calibrate a threshold, and images whose masks check it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

DESIGN_SHARE: Final = 0.25
"""Share of the images that is used only to propose thresholds and bets."""


@dataclass(frozen=True)
class Judged:
    """Masks of images to calibrate on, or to check a calibration with, the least uncertain first.

    In that order, what a threshold keeps are the first objects, and nothing is sorted again.
    """

    uncertainty: Float[np.ndarray, "object"]
    falls_short: Bool[np.ndarray, "object"]
    group: Int[np.ndarray, "object"]
    """Number of each object's image, or video, from 0."""
    share: Float[np.ndarray, "object"]
    """Weight of each object: 1 per image, shared by its objects."""

    @classmethod
    def masks(
        cls,
        uncertainty: Float[np.ndarray, "object"],
        falls_short: Bool[np.ndarray, "object"],
        group: Int[np.ndarray, "object"],
    ) -> "Judged":
        """Take all masks of some images."""
        _, group, size = np.unique(group, return_inverse=True, return_counts=True)
        order = np.argsort(uncertainty, kind="stable")
        group = group[order]
        ordered = uncertainty[order].astype(np.float64)
        return cls(ordered, falls_short[order], group, 1 / size[group])

    def images(self) -> Int[np.ndarray, "image"]:
        """Numbers of the images."""
        return np.flatnonzero(np.bincount(self.group))

    def is_last(self) -> Bool[np.ndarray, "object"]:
        """Whether each object is the last of those that are equally uncertain."""
        is_last: Bool[np.ndarray, "object"] = np.append(
            self.uncertainty[1:] != self.uncertainty[:-1], [True]
        )
        return is_last

    def n_kept(self, thresholds: Float[np.ndarray, "threshold"]) -> Int[np.ndarray, "threshold"]:
        """Number of objects that each threshold keeps, which are the first."""
        n_kept: Int[np.ndarray, "threshold"] = np.searchsorted(
            self.uncertainty, thresholds, side="right"
        )
        return n_kept


@dataclass(frozen=True)
class Splits:
    """What each image is for, in each of some splits: to calibrate, or to check the calibration."""

    is_design: Bool[np.ndarray, "split group"]
    """Whether an image proposes thresholds. In every split as many do: none where all are tried."""
    is_test: Bool[np.ndarray, "split group"]
    """Whether it calibrates without proposing."""

    def __len__(self) -> int:
        """Return the number of splits."""
        return len(self.is_test)

    @property
    def is_calibrated(self) -> Bool[np.ndarray, "split group"]:
        """Whether an image has a say in the threshold."""
        is_calibrated: Bool[np.ndarray, "split group"] = self.is_design | self.is_test
        return is_calibrated

    def some(self, which: slice) -> "Splits":
        """Take some of the splits."""
        return Splits(self.is_design[which], self.is_test[which])


def all_images(judged: Judged, generator: np.random.Generator | None = None) -> Splits:
    """Make a single split, in which every image calibrates.

    Parameters
    ----------
    generator
        Draws the images that propose thresholds; without it, none does.
    """
    is_all = np.bincount(judged.group) > 0
    is_design = _drawn(is_all, DESIGN_SHARE, generator) if generator else np.zeros_like(is_all)
    return Splits(is_design[np.newaxis], (is_all & ~is_design)[np.newaxis])


def random_halves(
    n_images: int, n_splits: int, generator: np.random.Generator, *, has_design: bool
) -> Splits:
    """Make splits in which a random half of the images calibrates.

    Parameters
    ----------
    has_design
        Whether some of these propose thresholds.

    Raises
    ------
    ValueError
        If there are fewer than 2 images.
    """
    if n_images < 2:  # noqa: PLR2004 - one a side
        raise ValueError(f"a check must have at least 2 images, got {n_images}")
    is_design, is_test = np.zeros((2, n_splits, n_images), bool)
    for split in range(n_splits):
        is_half = _drawn(np.ones(n_images, bool), 0.5, generator)
        if has_design:
            is_design[split] = _drawn(is_half, DESIGN_SHARE, generator)
        is_test[split] = is_half & ~is_design[split]
    return Splits(is_design, is_test)


def _drawn(
    is_some: Bool[np.ndarray, "group"], share: float, generator: np.random.Generator
) -> Bool[np.ndarray, "group"]:
    """Draw a share of some images at random: whether each image is among them."""
    images = np.flatnonzero(is_some)
    is_drawn = np.zeros_like(is_some)
    is_drawn[generator.permutation(images)[: round(share * len(images))]] = True
    return is_drawn
