import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from pipeline.heads.kinds import Boosting
from pipeline.heads.predict import check_head, predict
from pipeline.heads.trees import LEFT, NODES, VALUE, fit_trees, predict_trees

PLAN = Boosting(n_trees=12, n_leaves=7, learning_rate=0.2)


def draw_rows(n_rows: int = 800) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, of which the first is an ablated one, and targets that two of them tell."""
    inputs = np.random.default_rng(0).random((n_rows, 5), np.float32)
    inputs[:, 0] = 0
    target = np.clip(0.5 * inputs[:, 2] + np.square(inputs[:, 4] - 0.3), 0, 1)
    return inputs, target.astype(np.float32)


def test_predictions_equal_those_of_scikit_learn() -> None:
    inputs, target = draw_rows()
    model = HistGradientBoostingRegressor(
        max_iter=PLAN.n_trees,
        max_leaf_nodes=PLAN.n_leaves,
        learning_rate=PLAN.learning_rate,
        early_stopping=False,
    )
    expected = model.fit(inputs, target).predict(inputs).clip(0, 1)
    head = {NODES: fit_trees(inputs, target, PLAN, seed=0)}
    check_head("iou_tiny", head)
    np.testing.assert_allclose(predict({"iou_tiny": head}, inputs)["iou_tiny"], expected, atol=1e-6)
    assert np.var(expected - target) < 0.1 * np.var(target)


def test_trees_have_the_same_bits_with_any_number_of_threads() -> None:
    inputs, target = draw_rows(20_000)
    nodes = fit_trees(inputs, target, PLAN, seed=0)
    with threadpool_limits(2, "openmp"):
        np.testing.assert_array_equal(fit_trees(inputs, target, PLAN, seed=0), nodes)


def test_a_prediction_lies_between_0_and_1() -> None:
    nodes = np.zeros((2, 1, 5), np.float32)
    nodes[..., VALUE] = 0.7
    assert predict_trees(nodes, np.zeros((3, 2), np.float32)).tolist() == [1, 1, 1]


def test_trees_that_would_never_end_are_refused() -> None:
    nodes = fit_trees(*draw_rows(), PLAN, seed=0)
    nodes[1, 2, LEFT] = 0
    with pytest.raises(ValueError, match="head iou_tiny must lead to later nodes, got earlier"):
        check_head("iou_tiny", {NODES: nodes})
    with pytest.raises(ValueError, match=r"must be \(tree, node, 5\), got shape \(2, 5\)"):
        check_head("iou_tiny", {NODES: nodes[0, :2]})


def test_inputs_too_few_for_the_trees_are_named() -> None:
    inputs, target = draw_rows()
    head = {NODES: fit_trees(inputs, target, PLAN, seed=0)}
    with pytest.raises(ValueError, match="head iou_tiny must be 5 wide, got 4"):
        predict({"iou_tiny": head}, inputs[:, :4])
