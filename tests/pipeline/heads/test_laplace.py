"""The last layer's posterior against scikit-learn, autograd and a slow loop."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, WhiteKernel
from sklearn.linear_model import BayesianRidge

from pipeline.heads.deviations import deviations
from pipeline.heads.laplace import (
    Curvature,
    Scales,
    curvature,
    greatest_evidence,
    laplace,
    last_weights,
    posterior_root,
)
from pipeline.heads.predict import LAPLACE, predict
from tests.pipeline.heads.test_predict import draw_module, head_of

N_INPUTS, HIDDEN = 6, 9
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(80, N_INPUTS)).astype(np.float32)
TARGETS = RNG.uniform(size=80).astype(np.float32)
NEW = RNG.normal(size=(7, N_INPUTS)).astype(np.float32)
MODULE = draw_module(N_INPUTS, HIDDEN)
HEAD = head_of(MODULE)
BLOCKS = [(INPUTS, TARGETS)]
WHOLE = {**HEAD, **laplace("x", HEAD, BLOCKS)}
"""The head with its posterior."""


def slopes_by_autograd(inputs: np.ndarray) -> np.ndarray:
    """Gradient of each row's output with respect to weights and bias of the last layer."""
    last = list(MODULE[-2].parameters())
    rows = []
    for row in torch.from_numpy(inputs):
        gradients = torch.autograd.grad(MODULE(row).sum(), last)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]).numpy())
    return np.array(rows, dtype=np.float64)


def log_evidence(found: Curvature, weights: np.ndarray, scales: Scales) -> float:
    """Laplace's approximation of the log evidence, term by term."""
    tau, variance = scales.precision, scales.variance
    precision = found.gram / variance + tau * np.eye(len(weights))
    return float(
        -found.squared_error / (2 * variance)
        - found.n_rows / 2 * np.log(2 * np.pi * variance)
        - tau * weights @ weights / 2
        + len(weights) / 2 * np.log(tau)
        - np.linalg.slogdet(precision)[1] / 2
    )


def test_scales_and_covariance_are_those_of_bayesian_ridge_where_outputs_are_linear() -> None:
    features = RNG.normal(size=(60, 5))
    targets = features @ RNG.normal(size=5) + RNG.normal(0, 0.3, 60)
    ridge = BayesianRidge(
        max_iter=10_000,
        tol=1e-12,
        alpha_1=0,
        alpha_2=0,
        lambda_1=0,
        lambda_2=0,
        fit_intercept=False,
        compute_score=True,
    ).fit(features, targets)
    error = float(np.square(features @ ridge.coef_ - targets).sum())
    found = Curvature(features.T @ features, error, len(targets))
    scales = greatest_evidence(found, ridge.coef_)
    assert scales.precision == pytest.approx(ridge.lambda_, rel=1e-4)
    assert scales.variance == pytest.approx(1 / ridge.alpha_, rel=1e-4)
    assert log_evidence(found, ridge.coef_, scales) == pytest.approx(ridge.scores_[-1], rel=1e-6)
    root = posterior_root(found.gram, scales)
    np.testing.assert_allclose(root @ root.T, ridge.sigma_, rtol=1e-3, atol=1e-9)


def test_deviations_are_those_of_a_gaussian_process_on_the_slopes() -> None:
    found = curvature("x", HEAD, BLOCKS)
    scales = greatest_evidence(found, last_weights(HEAD))
    kernel = ConstantKernel(1 / scales.precision) * DotProduct(0, "fixed") + WhiteKernel(
        scales.variance
    )
    process = GaussianProcessRegressor(kernel, optimizer=None)
    process.fit(slopes_by_autograd(INPUTS), TARGETS)
    _, expected = process.predict(slopes_by_autograd(NEW), return_std=True)
    np.testing.assert_allclose(deviations({"x": WHOLE}, NEW)["x"], expected, rtol=1e-4)


def test_deviations_are_those_of_a_slow_loop() -> None:
    slopes, new = (slopes_by_autograd(rows) for rows in (INPUTS, NEW))
    scales = greatest_evidence(curvature("x", HEAD, BLOCKS), last_weights(HEAD))
    precision = np.diag([scales.precision] * (HIDDEN + 1))
    for row in slopes:
        precision += np.outer(row, row) / scales.variance
    covariance = np.linalg.inv(precision)
    expected = [np.sqrt(row @ covariance @ row + scales.variance) for row in new]
    np.testing.assert_allclose(deviations({"x": WHOLE}, NEW)["x"], expected, rtol=1e-4)


def test_no_other_scales_have_a_greater_evidence() -> None:
    found, weights = curvature("x", HEAD, BLOCKS), last_weights(HEAD)
    scales = greatest_evidence(found, weights)
    best = log_evidence(found, weights, scales)
    for tau, variance in product([0.5, 0.99, 1.01, 2], repeat=2):
        other = Scales(tau * scales.precision, variance * scales.variance)
        assert log_evidence(found, weights, other) < best


def test_blocks_sum_to_the_whole() -> None:
    whole = curvature("x", HEAD, BLOCKS)
    parts = curvature("x", HEAD, [(INPUTS[:33], TARGETS[:33]), (INPUTS[33:], TARGETS[33:])])
    np.testing.assert_allclose(parts.gram, whole.gram, rtol=1e-6, atol=1e-9)
    assert parts.squared_error == pytest.approx(whole.squared_error)
    assert parts.n_rows == whole.n_rows == len(INPUTS)


def test_more_data_leave_less_open_and_what_was_never_seen_most() -> None:
    few, many = (posterior_root(n * np.diag([1.0, 0.0]), Scales(1.0, 0.1)) for n in (1, 100))
    seen, unseen = np.eye(2)
    assert np.linalg.norm(seen @ many) < np.linalg.norm(seen @ few)
    assert np.linalg.norm(unseen @ many) == np.linalg.norm(unseen @ few) == 1


@pytest.mark.parametrize("bias", [0, 1e6])
def test_a_head_without_any_error_or_whose_outputs_are_all_1_has_a_posterior(bias: float) -> None:
    head = {**HEAD, "layers.2.bias": np.array([bias], np.float32)}
    tensors = laplace("x", head, [(INPUTS, predict({"x": head}, INPUTS)["x"])])
    assert all(np.isfinite(tensors[name]).all() for name in LAPLACE)
    assert np.isfinite(deviations({"x": {**head, **tensors}}, NEW)["x"]).all()


def test_rows_that_leave_nothing_open_have_a_posterior() -> None:
    gram = np.diag([1e9, 1e9, 1e9, 0.0, 0.0])
    scales = greatest_evidence(Curvature(gram, squared_error=0.0, n_rows=3), np.ones(5))
    assert np.isfinite(posterior_root(gram, scales)).all()


def test_a_head_with_a_posterior_predicts_what_it_predicted() -> None:
    np.testing.assert_array_equal(predict({"x": WHOLE}, NEW)["x"], predict({"x": HEAD}, NEW)["x"])
