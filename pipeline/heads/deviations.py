"""How sure heads are of what they predict, as a standard deviation."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Float32

from pipeline.heads.laplace import laplace_variance
from pipeline.heads.predict import (
    GREATEST_VARIANCE,
    LAPLACE,
    MAX_OUTPUTS,
    N_LAYERS,
    HeadWeights,
    head_outputs,
)


def deviations(
    heads: Mapping[str, HeadWeights], inputs: Float32[np.ndarray, "row input"]
) -> dict[str, Float[np.ndarray, " row"]]:
    """Standard deviation of each row's target, by objective, from all heads that tell one.

    Raises
    ------
    ValueError
        As ``pipeline.heads.predict.predict``.

    Notes
    -----
    A posterior of the last layer has its own variance. An ensemble has that of its members' means
    and, if they predict variances, too, the mean of those (the law of total variance).
    """
    return {
        objective: np.sqrt(_variance(objective, head, inputs))
        for objective, head in heads.items()
        if _has_variance(head)
    }


def _has_variance(head: HeadWeights) -> bool:
    last = head[f"layers.{N_LAYERS - 1}.bias"]
    return LAPLACE[0] in head or last.ndim > 1 or last.shape[-1] == MAX_OUTPUTS


def _variance(
    objective: str, head: HeadWeights, inputs: Float32[np.ndarray, "row input"]
) -> Float[np.ndarray, " row"]:
    if LAPLACE[0] in head:
        return laplace_variance(objective, head, inputs)
    outputs = head_outputs(objective, head, inputs).astype(np.float64)
    means, shares = outputs[..., 0], outputs[..., 1:]
    variance: Float[np.ndarray, " row"] = means.var(axis=0) + GREATEST_VARIANCE * shares.sum(
        axis=-1
    ).mean(axis=0)
    return variance
