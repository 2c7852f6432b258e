"""Coordinates of images, by which heads know a view, and heads that read statistics instead."""

import numpy as np
import pytest

from pipeline.heads.image_axes import FIRST, ImageAxes, fit_axes
from pipeline.heads.kinds import KINDS_BY_NAME, OURS, OneCycle
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import STANDARD, predict
from pipeline.heads.training import Rows, train_heads

N_STATISTICS, N_OTHERS = 6, 4
PLAN = OneCycle(epochs=30, batch_size=32, learning_rate=0.01, weight_decay=0.05)


def seen_in_views(n_images: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of images in three views, which move two of them, and the number of each view."""
    rng = np.random.default_rng(seed)
    statistics = rng.normal(5, [1, 3, 0.1, 2, 0.5, 1], (3, n_images, N_STATISTICS))
    statistics[1, :, 2] += 0.4
    statistics[2, :, 4] -= 2
    view = np.repeat(np.arange(3), n_images)
    return statistics.reshape(-1, N_STATISTICS).astype(np.float32), view


def coordinates(axes: ImageAxes, statistics: np.ndarray) -> np.ndarray:
    return axes.folded(statistics)


def test_new_images_of_a_view_lie_nearest_to_the_centre_of_the_view() -> None:
    axes = fit_axes(*seen_in_views(200))
    statistics, view = seen_in_views(100, seed=1)
    places = coordinates(axes, statistics)
    assert places.shape == (300, 2)
    centres = np.stack([places[view == number].mean(axis=0) for number in range(3)])
    distances = np.linalg.norm(places[:, np.newaxis] - centres, axis=2)
    assert np.mean(distances.argmin(axis=1) == view) > 0.9  # 0.33 by chance


def test_one_view_has_no_axis_and_leaves_the_other_inputs() -> None:
    statistics, view = seen_in_views(20)
    axes = fit_axes(statistics, np.zeros_like(view))
    others = np.arange(60 * N_OTHERS, dtype=np.float32).reshape(60, N_OTHERS)
    inputs = np.concatenate([others, statistics], axis=1)
    np.testing.assert_array_equal(axes.folded(inputs), others)


def test_a_constant_statistic_is_no_division_by_zero() -> None:
    statistics, view = seen_in_views(20)
    statistics[:, 3] = 7
    assert np.isfinite(coordinates(fit_axes(statistics, view), statistics)).all()


@pytest.mark.parametrize("n_views", [1, 3])
def test_an_unfolded_layer_answers_statistics_as_the_layer_answers_coordinates(
    n_views: int,
) -> None:
    statistics, view = seen_in_views(50)
    axes = fit_axes(statistics, view % n_views)
    rng = np.random.default_rng(2)
    inputs = np.concatenate([rng.normal(size=(150, N_OTHERS)), statistics], axis=1)
    inputs = inputs.astype(np.float32)
    width = N_OTHERS + n_views - 1
    layer = {
        FIRST[0]: rng.normal(size=(5, width)).astype(np.float32),
        FIRST[1]: rng.normal(size=5).astype(np.float32),
        STANDARD[0]: rng.normal(size=width).astype(np.float32),
        STANDARD[1]: rng.uniform(0.5, 2, width).astype(np.float32),
    }
    unfolded = axes.unfolded(layer)
    weight, bias, mean, scale = (layer[name] for name in (*FIRST, *STANDARD))
    expected = (axes.folded(inputs) - mean) / scale @ weight.T + bias
    weight, bias, mean, scale = (unfolded[name] for name in (*FIRST, *STANDARD))
    assert weight.shape == (5, N_OTHERS + N_STATISTICS)
    np.testing.assert_allclose((inputs - mean) / scale @ weight.T + bias, expected, atol=1e-4)


def test_heads_that_learn_coordinates_read_statistics_and_know_the_view() -> None:
    statistics, view = seen_in_views(60)
    axes = fit_axes(statistics, view)
    rng = np.random.default_rng(3)
    inputs = np.concatenate([rng.normal(size=(180, N_OTHERS)), statistics], axis=1)
    inputs = inputs.astype(np.float32)
    target = np.array([0.9, 0.5, 0.1], np.float32)[view]
    data = TrainingSet(axes.folded(inputs), {"a": target, "b": 1 - target}, np.arange(180), axes)
    rows = Rows(np.arange(0, 180, 2), np.arange(1, 180, 2))
    heads = train_heads(data, rows, ["a", "b"], PLAN, seed=0, kind=KINDS_BY_NAME[OURS])
    weights = {name: head.weights for name, head in heads.items()}
    errors = predict(weights, inputs[rows.validation])["a"] - target[rows.validation]
    assert heads["a"].validation_mse == pytest.approx(np.square(errors).mean(), rel=1e-3)
    assert heads["a"].validation_mse < 0.05  # 0.11 by the mean of the targets
    assert all(weights["a"][name] is weights["b"][name] for name in (*FIRST, *STANDARD))
