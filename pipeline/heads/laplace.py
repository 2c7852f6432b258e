"""The last layer's Laplace approximation: how far the data leave the weights of a head open."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Float32

from pipeline.head_sets import MODEL_IOUS
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import (
    LAPLACE,
    N_LAYERS,
    HeadWeights,
    hidden_features,
    last_outputs,
)
from pipeline.vocabulary import OBJECTIVES

LEAST: Final = 1e-12
"""Lower bound of both scales: heads without any error, or with nothing but 0 or 1, have a
posterior, too."""

MAX_STEPS: Final = 1000
"""Steps towards the greatest evidence; tens are the rule."""

TOLERANCE: Final = 1e-6
"""Relative change of both scales at which the steps end."""

BLOCK_ROWS: Final = 4096
"""Rows whose derivatives are taken at once: bounds their memory."""

Block = tuple[Float32[np.ndarray, "_ input"], Float32[np.ndarray, " _"]]
"""Inputs and targets of some rows."""


@dataclass(frozen=True)
class Curvature:
    """Sums over the rows that a head learned from: all that its posterior depends on.

    Attributes
    ----------
    gram
        J^T J, where J has the derivatives of the outputs with respect to the last layer.
    squared_error
        Sum over the outputs.
    """

    gram: Float[np.ndarray, "weight weight"]
    squared_error: float
    n_rows: int


@dataclass(frozen=True)
class Scales:
    """What the evidence chooses, given what the head learned."""

    precision: float
    """Prior precision of every weight of the last layer, around 0."""
    variance: float
    """Variance of a target around the output."""


def posteriors(
    heads: Mapping[str, HeadWeights], data: TrainingSet
) -> dict[str, dict[str, np.ndarray]]:
    """Posterior of each head that predicts the IoU of a model's own mask, by objective.

    Parameters
    ----------
    data
        What the heads learned from, every row of it.

    Raises
    ------
    ValueError
        If the tensors do not form a head, or it expects inputs of another width.
    """
    starts = range(0, len(data.inputs), BLOCK_ROWS)
    found = {}
    for objective in MODEL_IOUS:
        targets = data.targets[:, OBJECTIVES.index(objective)]
        blocks = ((data.inputs[i:][:BLOCK_ROWS], targets[i:][:BLOCK_ROWS]) for i in starts)
        found[objective] = laplace(objective, heads[objective], blocks)
    return found


def laplace(objective: str, head: HeadWeights, blocks: Iterable[Block]) -> dict[str, np.ndarray]:
    """Posterior of a head's last layer, as tensors that join those of the head.

    Parameters
    ----------
    blocks
        All rows that the head learned from.

    Raises
    ------
    ValueError
        If the tensors do not form a head, or it expects inputs of another width.

    Notes
    -----
    The mean squared error is the likelihood of a Gaussian of constant variance s^2 around the
    sigmoid's output, so that the Gauss-Newton posterior precision is J^T J / s^2 + tau I. Both
    scales are those of the greatest evidence (Daxberger et al., arXiv 2106.14806).
    """
    found = curvature(objective, head, blocks)
    scales = greatest_evidence(found, last_weights(head))
    values = posterior_root(found.gram, scales), np.sqrt([scales.variance])
    return {name: value.astype(np.float32) for name, value in zip(LAPLACE, values, strict=True)}


def laplace_variance(
    head: HeadWeights, hidden: Float32[np.ndarray, "1 row hidden"]
) -> Float[np.ndarray, " row"]:
    """Variance of the target of each row, given the data that the head learned from.

    Parameters
    ----------
    hidden
        As ``hidden_features`` gives it.

    Notes
    -----
    The output is linear in the weights around those that were learned, so that its mean is the
    output itself.
    """
    _, slopes = _outputs_and_slopes(head, hidden)
    root, noise = (head[name].astype(np.float64) for name in LAPLACE)
    variance: Float[np.ndarray, " row"] = np.square(slopes @ root).sum(axis=1) + noise**2
    return variance


def curvature(objective: str, head: HeadWeights, blocks: Iterable[Block]) -> Curvature:
    """Sum over blocks of rows, in double precision."""
    gram = np.zeros((len(last_weights(head)),) * 2)
    squared_error, n_rows = 0.0, 0
    for inputs, targets in blocks:
        outputs, slopes = _outputs_and_slopes(head, hidden_features(objective, head, inputs))
        gram += slopes.T @ slopes
        squared_error += float(np.square(outputs - targets).sum())
        n_rows += len(targets)
    return Curvature(gram, squared_error, n_rows)


def last_weights(head: HeadWeights) -> Float[np.ndarray, " weight"]:
    """Weights and bias of the last layer, in double precision."""
    last = f"layers.{N_LAYERS - 1}"
    return np.append(head[f"{last}.weight"], head[f"{last}.bias"]).astype(np.float64)


def greatest_evidence(found: Curvature, weights: Float[np.ndarray, " weight"]) -> Scales:
    """Scales of the greatest evidence.

    Parameters
    ----------
    weights
        Those of the last layer, as learned.

    Notes
    -----
    With the eigenvalues e of J^T J, the derivatives of the evidence vanish where the effective
    number of weights, g = sum e / (e + tau s^2), gives tau = g / |w|^2 and s^2 = squared error /
    (n - g). These are MacKay's steps (Neural Computation 4, 1992), with the weights held.
    """
    eigenvalues = np.linalg.eigvalsh(found.gram).clip(0)
    square = max(float(weights @ weights), LEAST)
    scales = Scales(1.0, max(found.squared_error / found.n_rows, LEAST))
    for _ in range(MAX_STEPS):
        ridge = scales.precision * scales.variance
        n_effective = float((eigenvalues / (eigenvalues + ridge)).sum())
        # Fewer rows than weights may all be effective, as far as a double can tell.
        variance = found.squared_error / max(found.n_rows - n_effective, LEAST)
        last, scales = scales, Scales(max(n_effective / square, LEAST), max(variance, LEAST))
        if np.allclose(astuple(last), astuple(scales), rtol=TOLERANCE, atol=0):
            break
    return scales


def posterior_root(
    gram: Float[np.ndarray, "weight weight"], scales: Scales
) -> Float[np.ndarray, "weight weight"]:
    """R, where R R^T is the inverse of ``gram / variance + precision * I``."""
    eigenvalues, vectors = np.linalg.eigh(gram)
    return vectors / np.sqrt(eigenvalues.clip(0) / scales.variance + scales.precision)


def _outputs_and_slopes(
    head: HeadWeights, hidden: Float32[np.ndarray, "1 row hidden"]
) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, "row weight"]]:
    """Outputs, and their derivatives with respect to weights and bias of the last layer."""
    (outputs,) = last_outputs(head, hidden)[..., 0].astype(np.float64)
    read = np.column_stack([*hidden, np.ones(len(outputs))])
    return outputs, (outputs * (1 - outputs))[:, np.newaxis] * read
