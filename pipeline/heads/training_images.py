"""Measures how far an image is from the training images of heads, by statistics of the encoder.

The encoder of the smallest model serves all models of a family: the encoder of mini's large model
tells photographs from drawn scenes less well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from jaxtyping import Float, Float32

LEAST_IMAGES: Final = 5
"""Fewest training images with which the distance of another image can be judged."""

MOST_IMAGES: Final = 400
"""Largest number of training images to keep; of more images, 400 at equal steps are kept."""

N_NEAREST: Final = 3
"""Number of nearest training images; the distance of an image is its mean distance from these."""

SHRINKAGE: Final = 0.7
"""Weight of the identity in the covariance. It was chosen on half of 95 photographs; on the other
half, 0.5 and 0.9 were as good."""

LARGEST_SCORE: Final = 3.5
"""Bound to which standardised statistics are clipped, so that a single statistic rarely makes an
image unlike. A statistic set to an extreme makes 11 % of scenes unlike; with a bound of 6, 77 %."""

_LEAST_SPREAD: Final = 0.1
"""Share of the median deviation that is added to each deviation, so that a nearly constant
statistic does not decide."""

Statistics = Float[np.ndarray, "image statistic"]
"""Means, then standard deviations, of the channels: ``encoder_mean`` and ``encoder_std``."""


@dataclass(frozen=True)
class TrainingImages:
    """Training images of heads, as points from which the distance of another image is measured.

    The coordinates of a point are whitened means and standard deviations of the channels of the
    encoder of the family's smallest model.
    """

    mean: Float32[np.ndarray, " statistic"]
    scale: Float32[np.ndarray, " statistic"]
    whitening: Float32[np.ndarray, "statistic component"]
    points: Float32[np.ndarray, "image component"]
    """Whitened statistics of the training images."""
    distances: Float32[np.ndarray, " image"]
    """Distance of each training image from the other training images, in ascending order."""

    def share_nearer(self, statistics: Float[np.ndarray, " statistic"]) -> float:
        """Share of training images that are nearer to the other training images than an image is.

        Parameters
        ----------
        statistics
            Statistics of the image.

        Raises
        ------
        ValueError
            If there are not as many statistics as for the training images. Another encoder made
            them, usually; another encoder of the same width is not noticed.
        """
        if statistics.shape != self.mean.shape:
            raise ValueError(
                f"statistics must have the shape {self.mean.shape} of those of the training "
                f"images, got {statistics.shape}"
            )
        point = _standardised(statistics[np.newaxis], self.mean, self.scale) @ self.whitening
        (distance,) = _nearest_distances(point, self.points)
        return float(np.searchsorted(self.distances, distance)) / len(self.distances)


def fit_training_images(statistics: Statistics) -> TrainingImages:
    """Whiten the statistics of training images, and compute their distances from each other.

    Raises
    ------
    ValueError
        If there are fewer images than ``LEAST_IMAGES``, or a statistic is not finite.

    Notes
    -----
    Distances to the nearest neighbours, as in Sun et al. (arXiv 2204.06507), but after whitening by
    a covariance that is shrunk towards the identity.
    """
    n_images = len(statistics)
    if n_images < LEAST_IMAGES or not np.isfinite(statistics).all():
        raise ValueError(
            f"statistics must be finite and of at least {LEAST_IMAGES} images, got {n_images}"
        )
    steps = np.linspace(0, n_images - 1, min(n_images, MOST_IMAGES)).round().astype(int)
    sample = statistics[steps].astype(np.float64)
    mean, deviation = sample.mean(axis=0), sample.std(axis=0)
    scale = deviation + _LEAST_SPREAD * np.median(deviation) + 1e-6
    scores = _standardised(sample, mean, scale)
    covariance = (1 - SHRINKAGE) * np.cov(scores.T) + SHRINKAGE * np.eye(len(mean))
    variances, directions = np.linalg.eigh(covariance)
    whitening = directions / np.sqrt(variances)
    points = scores @ whitening
    distances = np.sort(_nearest_distances(points, points, n_skipped=1))
    arrays = mean, scale, whitening, points, distances
    return TrainingImages(*(array.astype(np.float32) for array in arrays))


def from_tensors(tensors: Mapping[str, np.ndarray]) -> TrainingImages:
    """Make ``TrainingImages`` from arrays that have the names of its fields; check their shapes.

    Raises
    ------
    ValueError
        If an array is missing or unknown, or does not fit the others.
    """
    names = [field.name for field in fields(TrainingImages)]
    if set(tensors) != set(names):
        raise ValueError(
            f"training images must have {', '.join(names)}, got {', '.join(sorted(tensors))}"
        )
    width, n_images = tensors["mean"].size, tensors["distances"].size
    shapes = [(width,), (width,), (width, width), (n_images, width), (n_images,)]
    for name, shape in zip(names, shapes, strict=True):
        if tensors[name].shape != shape or not n_images:
            raise ValueError(
                f"{name} of training images must be of shape {shape}, with one image at least, got "
                f"{tensors[name].shape}"
            )
    return TrainingImages(**tensors)


def _standardised(statistics: Statistics, mean: np.ndarray, scale: np.ndarray) -> Statistics:
    scores: Statistics = ((statistics - mean) / scale).clip(-LARGEST_SCORE, LARGEST_SCORE)
    return scores


def _nearest_distances(
    images: Float[np.ndarray, "image component"],
    points: Float[np.ndarray, "point component"],
    *,
    n_skipped: int = 0,
) -> Float[np.ndarray, " image"]:
    """Mean distance of each image from its nearest points, without the ``n_skipped`` nearest."""
    # In double precision: squares of distances are differences of large numbers.
    first, second = images.astype(np.float64), points.astype(np.float64)
    squares = (first**2).sum(1)[:, np.newaxis] + (second**2).sum(1) - 2 * first @ second.T
    nearest = np.sqrt(np.sort(squares.clip(0), axis=1)[:, n_skipped : n_skipped + N_NEAREST])
    mean: Float[np.ndarray, " image"] = nearest.mean(axis=1)
    return mean
