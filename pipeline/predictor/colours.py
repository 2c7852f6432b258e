"""How far an image is from those that heads learned from: by the spread of its colours.

What the encoder's channels say (``encoder_mean``, ``encoder_std``) tells photographs from drawn
scenes less well, and differently for each model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float64

from pipeline.views import Rgb

UNLIKE: Final = 0.99
"""An image that is further than this share of the held-out training images is unlike them."""

N_FOLDS: Final = 5

_SIDE_PX: Final = 256
_LEAST: Final = 1e-3
"""Added to what is taken the logarithm of."""
_LEAST_SCALE: Final = 0.1
"""Below which no scale falls: where no training image is nearly black anywhere, one with a few such
pixels would be further than any photograph."""
_N_QUANTILES: Final = 1000
"""Most distances that are kept of the training images."""
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
    about = (
        saturation.mean(),
        np.log(saturation.std() + _LEAST),
        np.log((darkest > _NEAR_WHITE).mean() + _LEAST),
        np.log((brightest < _NEAR_BLACK).mean() + _LEAST),
    )
    return np.array([*about, *np.log(spread)], np.float64)


@dataclass(frozen=True)
class TrainingColours:
    """What is known of the colours of some training images; lists, as the card of heads has them.

    Distances are Mahalanobis distances of standardised descriptors.
    """

    n_images: int
    mean: Sequence[float]
    scale: Sequence[float]
    """Standard deviation of each descriptor."""
    precision: Sequence[Sequence[float]]
    """Inverse of their shrunk correlations."""
    distances: Sequence[float]
    """Quantiles of the distances of held-out images, from the least to the largest."""

    def distance(
        self, descriptors: Float64[np.ndarray, "image descriptor"]
    ) -> Float64[np.ndarray, " image"]:
        """How far images are from the mean training image."""
        z = (descriptors - np.array(self.mean)) / np.array(self.scale)
        found: Float64[np.ndarray, " image"]
        found = np.sqrt(np.einsum("ni,ij,nj->n", z, np.array(self.precision), z))
        return found

    def share_nearer(self, descriptors: Float64[np.ndarray, " descriptor"]) -> float:
        """Share of the held-out training images that are nearer than an image."""
        (distance,) = self.distance(descriptors[None])
        return float(np.searchsorted(self.distances, distance)) / len(self.distances)


def fit_colours(descriptors: Float64[np.ndarray, "image descriptor"]) -> TrainingColours:
    """Learn what training images look like, and how far those are that were held out of it.

    Raises
    ------
    ValueError
        If there are fewer images than folds, or one of no colour that numbers describe.

    Notes
    -----
    Each image is judged by a fit to the four fifths that it is not in.
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
    """To six digits, so that the last bits of linear algebra do not show in a file."""
    return [float(f"{value:.6g}") for value in values]
