"""Distance of an image from training images, by nearest neighbours of whitened statistics."""

import numpy as np
import pytest

from pipeline.heads.training_images import (
    LARGEST_SCORE,
    MOST_IMAGES,
    N_NEAREST,
    SHRINKAGE,
    fit_training_images,
    from_tensors,
)

ROWS = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32) * np.arange(1, 7)


def slow_share(rows: np.ndarray, image: np.ndarray) -> float:
    """The share by Mahalanobis distances, image by image."""
    deviation = rows.std(axis=0)
    scale = deviation + 0.1 * np.median(deviation) + 1e-6
    scores = [
        ((row - rows.mean(axis=0)) / scale).clip(-LARGEST_SCORE, LARGEST_SCORE)
        for row in (*rows, image)
    ]
    covariance = np.cov(np.array(scores[:-1]).T)
    precision = np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(len(image)))

    def mean_nearest(i: int) -> float:
        gaps = [scores[i] - other for j, other in enumerate(scores[:-1]) if j != i]
        distances = sorted(np.sqrt(gap @ precision @ gap) for gap in gaps)
        return float(np.mean(distances[:N_NEAREST]))

    own = mean_nearest(len(rows))
    return float(np.mean([mean_nearest(i) < own for i in range(len(rows))]))


def test_distances_are_those_of_mahalanobis_to_the_nearest_images() -> None:
    images = fit_training_images(ROWS)
    generator = np.random.default_rng(1)
    for spread in (0.5, 1, 1.5, 3):
        image = (spread * generator.normal(size=6) * np.arange(1, 7)).astype(np.float32)
        assert images.share_nearer(image) == pytest.approx(slow_share(ROWS, image), abs=1 / 60)
    assert images.share_nearer(ROWS.mean(axis=0)) < 0.1
    assert images.share_nearer(ROWS[0] + 100) == 1


def test_no_single_statistic_makes_an_image_unlike() -> None:
    fresh = np.random.default_rng(2).normal(size=(300, 40))
    images = fit_training_images(fresh[:250])
    spoiled = fresh[250:].copy()
    spoiled[:, 7] = 1e9
    shares = np.array(
        [[images.share_nearer(row) for row in rows] for rows in (fresh[250:], spoiled)]
    )
    assert ((shares > 0.97).mean(axis=1) < (0.15, 0.5)).all()
    assert (shares[1] >= shares[0]).all()


def test_of_many_images_some_at_equal_steps_are_kept() -> None:
    rows = np.random.default_rng(3).normal(size=(3 * MOST_IMAGES, 4)).astype(np.float32)
    assert len(fit_training_images(rows).points) == MOST_IMAGES


@pytest.mark.parametrize("rows", [np.zeros((4, 7)), np.full((9, 7), np.nan)])
def test_statistics_that_cannot_be_fitted_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be finite and of at least 5 images, got"):
        fit_training_images(rows)


def test_arrays_that_do_not_fit_each_other_are_refused() -> None:
    images = fit_training_images(ROWS)
    tensors = vars(images)
    assert vars(from_tensors(tensors)).keys() == tensors.keys()
    for changes, message in (
        ({"whitening": images.whitening[:, :3]}, r"whitening .* of shape \(6, 6\)"),
        ({"distances": images.distances[:0]}, "mean of training images must .* with one image"),
        ({"more": images.mean}, "training images must have mean, scale, whitening, points"),
    ):
        with pytest.raises(ValueError, match=message):
            from_tensors(tensors | changes)
    with pytest.raises(ValueError, match=r"must have the shape \(6,\) .*, got \(5,\)"):
        images.share_nearer(np.zeros(5, np.float32))
