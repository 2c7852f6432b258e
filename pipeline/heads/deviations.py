"""How sure heads are of what they predict, as a standard deviation."""

from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Float, Float32

from pipeline.head_sets import std_of
from pipeline.heads.laplace import laplace_variance
from pipeline.heads.predict import (
    GREATEST_VARIANCE,
    LAPLACE,
    MAX_OUTPUTS,
    N_LAYERS,
    HeadWeights,
    hidden_features,
    last_outputs,
)


def answers(
    heads: Mapping[str, HeadWeights],
    inputs: Float32[np.ndarray, "row input"],
    names: Collection[str],
) -> dict[str, Float[np.ndarray, " row"]]:
    """What heads predict of each row, and how sure they are, as far as they tell.

    Parameters
    ----------
    names
        Objectives, and ``std_of`` them, that are asked for: other heads cost nothing.

    Raises
    ------
    ValueError
        As ``pipeline.heads.predict.predict``.
    """
    found: dict[str, Float[np.ndarray, " row"]] = {}
    for objective, head in heads.items():
        std = std_of(objective)
        is_told = std in names and _has_variance(head)
        if objective in names or is_told:
            hidden = hidden_features(objective, head, inputs)
        if objective in names:
            found[objective] = last_outputs(head, hidden)[..., 0].mean(axis=0)
        if is_told:
            found[std] = np.sqrt(_variance(head, hidden))
    return found


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
    stds = {std_of(objective): objective for objective in heads}
    return {stds[name]: value for name, value in answers(heads, inputs, stds).items()}


def _has_variance(head: HeadWeights) -> bool:
    last = head[f"layers.{N_LAYERS - 1}.bias"]
    return LAPLACE[0] in head or last.ndim > 1 or last.shape[-1] == MAX_OUTPUTS


def _variance(
    head: HeadWeights, hidden: Float32[np.ndarray, "member row hidden"]
) -> Float[np.ndarray, " row"]:
    if LAPLACE[0] in head:
        return laplace_variance(head, hidden)
    outputs = last_outputs(head, hidden).astype(np.float64)
    means, shares = outputs[..., 0], outputs[..., 1:]
    variance: Float[np.ndarray, " row"] = means.var(axis=0) + GREATEST_VARIANCE * shares.sum(
        axis=-1
    ).mean(axis=0)
    return variance
