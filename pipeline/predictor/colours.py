"""Distance of an image from the images that heads learned from, by the spread of its colours.

The encoder's statistics (``encoder_mean``, ``encoder_std``) tell photographs from drawn scenes less
well, and differently for each model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float64

from pipeline.views import Rgb

OUT_OF_DISTRIBUTION: Final = 0.99
"""An image that is further away than this share of the held-out training images is out of their
distribution."""

N_FOLDS: Final = 5

_SIDE_PX: Final = 256
_LEAST: Final = 1e-3
"""Is added to a number before its logarithm is taken."""
_LEAST_SCALE: Final = 0.1
"""Lower bound of a scale: where no training image has nearly black pixels, an image with a few of
them would be further away than any photograph."""
_N_QUANTILES: Final = 1000
"""Largest number of distances of training images that are stored."""
_SHRINKAGE: Final = 0.1
"""Weight of the identity in the correlations of the descriptors."""
_NEAR_WHITE, _NEAR_BLACK = 0.95, 0.05


def describe_colours(rgb: Rgb) -> Float64[np.ndarray, " descriptor"]:
    """Seven numbers about the colours of an image, at 256 x 256 px.

    Mean and log deviation of saturation (the largest of red, green and blue less the smallest), the
    log shares of nearly white and nearly black pixels, and the log eigenvalues of the covariance
    of red, green and blue.
    """
    small = cv2.resize(rgb, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    pixels = small.reshape(-1, 3).astype(np.float32) / 255
    darkest, brightest = pixels.min(axis=1), pixels.max(axis=1)
    saturation = brightest - darkest
    spread = np.linalg.eigvalsh(np.cov(pixels.T) + 1e-6 * np.eye(3))
    descriptors = (
        saturation.mean(),
        np.log(saturation.std() + _LEAST),
        np.log((darkest > _NEAR_WHITE).mean() + _LEAST),
        np.log((brightest < _NEAR_BLACK).mean() + _LEAST),
    )
    return np.array([*descriptors, *np.log(spread)], np.float64)


@dataclass(frozen=True)
class TrainingColours:
    """Colours of training images, in lists as the card of heads has them.

    Distances are Mahalanobis distances of standardised descriptors.
    """

    n_images: int
    mean: Sequence[float]
    scale: Sequence[float]
    """Standard deviation of each descriptor."""
    precision: Sequence[Sequence[float]]
    """Inverse of the shrunk correlations of the descriptors."""
    distances: Sequence[float]
    """Quantiles of the distances of held-out images, in ascending order."""

    def distance(
        self, descriptors: Float64[np.ndarray, "image descriptor"]
    ) -> Float64[np.ndarray, " image"]:
        """Distances of images from the mean training image."""
        z = (descriptors - np.array(self.mean)) / np.array(self.scale)
        distances: Float64[np.ndarray, " image"]
        distances = np.sqrt(np.einsum("ni,ij,nj->n", z, np.array(self.precision), z))
        return distances

    def share_nearer(self, descriptors: Float64[np.ndarray, " descriptor"]) -> float:
        """Share of the held-out training images that are nearer to the mean than an image."""
        (distance,) = self.distance(descriptors[None])
        return float(np.searchsorted(self.distances, distance)) / len(self.distances)


def fit_colours(descriptors: Float64[np.ndarray, "image descriptor"]) -> TrainingColours:
    """Describe training images, and measure the distances of held-out training images.

    Raises
    ------
    ValueError
        If there are fewer images than folds, or a descriptor is NaN or infinite.

    Notes
    -----
    The distance of each image is measured by a fit to the other four fifths of the images.
    """
    n = len(descriptors)
    if n < N_FOLDS or not np.isfinite(descriptors).all():
        raise ValueError(f"colours must be of at least {N_FOLDS} images in finite numbers, got {n}")
    fold = np.arange(n) % N_FOLDS
    held_out = [
        _fit(descriptors[fold != i]).distance(descriptors[fold == i]) for i in range(N_FOLDS)
    ]
    distances = np.sort(np.concatenate(held_out))
    if n > _N_QUANTILES:
        distances = np.quantile(distances, np.linspace(0, 1, _N_QUANTILES))
    return _fit(descriptors, _rounded(distances))


def _fit(
    descriptors: Float64[np.ndarray, "image descriptor"], distances: Sequence[float] = ()
) -> TrainingColours:
    mean, scale = descriptors.mean(axis=0), np.maximum(descriptors.std(axis=0), _LEAST_SCALE)
    z = (descriptors - mean) / scale
    correlations = (1 - _SHRINKAGE) * z.T @ z / len(z) + _SHRINKAGE * np.eye(z.shape[1])
    rows = [_rounded(row) for row in np.linalg.inv(correlations)]
    return TrainingColours(len(descriptors), _rounded(mean), _rounded(scale), rows, distances)


def _rounded(values: np.ndarray) -> list[float]:
    """Values rounded to six digits, so that the last bits of linear algebra do not reach a file."""
    return [float(f"{value:.6g}") for value in values]
