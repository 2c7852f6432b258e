"""Correlations between two values of the objects, in each resample."""

from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.scoring.bootstrap import Resamples
from pipeline.scoring.ranking import Ranking

NO_SPREAD: Final = 1e-12
"""Share of a value's variance below which its spread in a resample is rounding error."""


def pearson(
    x: Float[np.ndarray, "object"], y: Float[np.ndarray, "object"], resamples: Resamples
) -> Float[np.ndarray, "resample"]:
    """Pearson correlation; NaN where a value is the same for all objects, or infinite."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.full(len(resamples), np.nan)
    # Centred first, so that the moments lose no digits.
    x, y = (value.astype(np.float64) - np.mean(value, dtype=np.float64) for value in (x, y))
    columns = np.stack([x, y, x * x, y * y, x * y], axis=1)
    moments = [
        weights @ columns / weights.sum(axis=1, keepdims=True) for weights in resamples.blocks()
    ]
    mean_x, mean_y, xx, yy, xy = np.concatenate(moments).T
    return _correlation(
        xy - mean_x * mean_y,
        _spread(xx - mean_x**2, float(np.mean(x * x))),
        _spread(yy - mean_y**2, float(np.mean(y * y))),
    )


def spearman(
    x: Float[np.ndarray, "object"], y: Float[np.ndarray, "object"], resamples: Resamples
) -> Float[np.ndarray, "resample"]:
    """Spearman correlation (Pearson's, of mean ranks); NaN where all objects tie."""
    rankings = tuple(Ranking.of(value) for value in (x, y))
    back = tuple(np.argsort(ranking.order) for ranking in rankings)
    blocks = []
    for weights in resamples.blocks():
        centre = (weights.sum(axis=1, keepdims=True) + 1) / 2
        a, b = (
            np.take(ranking.mean_ranks(np.take(weights, ranking.order, axis=1)), place, axis=1)
            - centre
            for ranking, place in zip(rankings, back, strict=True)
        )
        sums = [np.einsum("ro,ro,ro->r", weights, u, v) for u, v in ((a, b), (a, a), (b, b))]
        blocks.append(_correlation(sums[0], _spread(sums[1], 0.0), _spread(sums[2], 0.0)))
    return np.concatenate(blocks)


def _spread(
    variance: Float[np.ndarray, "resample"], of_all: float
) -> Float[np.ndarray, "resample"]:
    return np.where(variance > NO_SPREAD * of_all, variance, np.nan)


def _correlation(
    covariance: Float[np.ndarray, "resample"],
    variance_x: Float[np.ndarray, "resample"],
    variance_y: Float[np.ndarray, "resample"],
) -> Float[np.ndarray, "resample"]:
    found: Float[np.ndarray, "resample"] = covariance / np.sqrt(variance_x * variance_y)
    return found.clip(-1, 1)
