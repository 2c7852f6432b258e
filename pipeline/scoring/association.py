"""Correlations between two values of the objects, in each resample."""

from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.scoring.bootstrap import Resamples, resampled_means
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
    mean_x, mean_y, xx, yy, xy = resampled_means(columns, resamples).T
    return _correlation(
        xy - mean_x * mean_y,
        _spread(xx - mean_x**2, float(np.mean(x * x))),
        _spread(yy - mean_y**2, float(np.mean(y * y))),
    )


def spearman(
    x: Float[np.ndarray, "object"], y: Float[np.ndarray, "object"], resamples: Resamples
) -> Float[np.ndarray, "resample"]:
    """Spearman correlation (Pearson's, of mean ranks); NaN where all objects tie."""
    # Numba takes half a second, which whoever reads results need not spend.
    from pipeline.scoring.passes.ranks import write_rank_moments  # noqa: PLC0415

    first, second = rankings = [Ranking.of(value) for value in (x, y)]
    place = np.empty_like(first.order)
    place[first.order] = np.arange(len(place))
    moments = resamples.empty(3)
    write_rank_moments(
        resamples.drawn,
        np.stack([resamples.group[ranking.order] for ranking in rankings]),
        np.stack([ranking.is_last for ranking in rankings]),
        place[second.order],
        resamples.by_lane(resamples.n_objects.astype(np.float64)),
        moments,
    )
    both, of_x, of_y = resamples.by_resample(moments)
    return _correlation(both, _spread(of_x, 0.0), _spread(of_y, 0.0))


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
