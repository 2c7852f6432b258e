"""Boosted regression trees: learned by scikit-learn, kept as one tensor, applied by NumPy."""

from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from pipeline.heads.kinds import Boosting

NODES: Final = "trees.nodes"
"""Name of the only tensor of boosted trees."""

Nodes = Float32[np.ndarray, "tree node column"]
"""Nodes of boosted trees by the columns ``FEATURE``, ``THRESHOLD``, ``LEFT``, ``RIGHT``, ``VALUE``.

An input of at most the threshold leads to the left node, which comes later, as does the right one.
A leaf leads to itself. The prediction is the sum over the trees of the values of their leaves."""

FEATURE, THRESHOLD, LEFT, RIGHT, VALUE = range(5)


def fit_trees(
    inputs: Float32[np.ndarray, "row input"],
    target: Float32[np.ndarray, " row"],
    plan: Boosting,
    *,
    seed: int,
) -> Nodes:
    """Boost trees for squared errors; equal arguments give equal nodes.

    Inputs that are 0 in every row, as ablated ones are, are left out: they cost time.
    """
    # Imported here: the import takes a second, and stages that only predict do not need it.
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    columns = np.flatnonzero(inputs.any(axis=0))
    model = HistGradientBoostingRegressor(
        max_iter=plan.n_trees,
        max_leaf_nodes=plan.n_leaves,
        learning_rate=plan.learning_rate,
        early_stopping=False,
        random_state=seed,
    )
    # The number of threads decides the order of a sum, and so its last digits.
    with threadpool_limits(1, "openmp"):
        model.fit(inputs[:, columns], target)
    return _nodes_of(model, columns)


def _nodes_of(model: Any, columns: np.ndarray) -> Nodes:  # noqa: ANN401 - scikit-learn has no types
    trees = [tree.nodes for (tree,) in model._predictors]  # noqa: SLF001 - no public way
    n_nodes = max(len(tree) for tree in trees)
    nodes = np.zeros((1 + len(trees), n_nodes, 5), np.float32)
    nodes[..., (LEFT, RIGHT)] = np.arange(n_nodes)[:, np.newaxis]
    nodes[0, 0, VALUE] = model._baseline_prediction.item()  # noqa: SLF001
    for of_tree, tree in zip(nodes[1:], trees, strict=True):
        n, is_split = len(tree), tree["is_leaf"] == 0
        of_tree[:n, VALUE] = tree["value"]
        of_tree[:n, FEATURE][is_split] = columns[tree["feature_idx"][is_split]]
        of_tree[:n, THRESHOLD][is_split] = _rounded_down(tree["num_threshold"][is_split])
        for column, name in ((LEFT, "left"), (RIGHT, "right")):
            of_tree[:n, column][is_split] = tree[name][is_split]
    return nodes


def _rounded_down(threshold: np.ndarray) -> np.ndarray:
    """The largest numbers in single precision that do not exceed thresholds in double precision.

    Inputs in single precision thus lie on the same sides of both.
    """
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def predict_trees(
    nodes: Nodes, inputs: Float32[np.ndarray, "row input"]
) -> Float32[np.ndarray, " row"]:
    """Predict a value in [0, 1] for each row of inputs."""
    n_trees, n_nodes, _ = nodes.shape
    feature, threshold, left, right, value = (
        nodes[..., column].ravel() for column in (FEATURE, THRESHOLD, LEFT, RIGHT, VALUE)
    )
    root = np.arange(n_trees) * n_nodes
    features, lower, upper = (of.astype(np.int64) for of in (feature, left, right))
    lower, upper = (of + np.repeat(root, n_nodes) for of in (lower, upper))
    rows = np.arange(len(inputs))[:, np.newaxis]
    node, at_leaf = np.tile(root, (len(inputs), 1)), False
    while not at_leaf:
        is_left = inputs[rows, features[node]] <= threshold[node]
        following = np.where(is_left, lower[node], upper[node])
        node, at_leaf = following, bool((following == node).all())
    total = value[node].sum(axis=1, dtype=np.float64)
    predicted: Float32[np.ndarray, " row"] = np.clip(total, 0, 1).astype(np.float32)
    return predicted


def check_nodes(objective: str, nodes: np.ndarray) -> None:
    """Check that a tensor holds the nodes of trees, of which each leads to a leaf.

    Raises
    ------
    ValueError
        If a number is missing, or a node leads to none that comes later.
    """
    if nodes.ndim != 3 or nodes.shape[2] != 5 or not nodes.size:  # noqa: PLR2004 - as in ``Nodes``
        raise ValueError(
            f"{NODES} of head {objective} must be (tree, node, 5), got shape {nodes.shape}"
        )
    own, children = np.arange(nodes.shape[1])[:, np.newaxis], nodes[..., (LEFT, RIGHT)]
    if (children < own).any() or (children >= len(own)).any() or (nodes[..., FEATURE] < 0).any():
        raise ValueError(f"{NODES} of head {objective} must lead to later nodes, got earlier ones")
