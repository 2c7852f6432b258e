"""Selective prediction: how bad the kept masks are when the least uncertain ones are kept first."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pipeline.scoring.bootstrap import Resamples, resampled_areas
from pipeline.scoring.ranking import Ranking


@dataclass(frozen=True)
class RiskCoverage:
    """Risk of the kept objects by their share, averaged over all orders of ties."""

    coverage: Float[np.ndarray, "point"]
    """Share of the objects that is kept, in (0, 1]."""
    selective_risk: Float[np.ndarray, "point"]
    """Mean risk of the kept objects."""
    generalised_risk: Float[np.ndarray, "point"]
    """Summed risk of the kept objects, divided by the number of all objects."""


def risk_coverage(
    risk: Float[np.ndarray, "object"], uncertainty: Float[np.ndarray, "object"], n_points: int
) -> RiskCoverage:
    """Risk-coverage curve at ``n_points`` evenly spaced coverages, the last one 1.

    Raises
    ------
    ValueError
        If ``n_points`` is below 1.
    """
    if n_points < 1:
        raise ValueError(f"n_points must be at least 1, got {n_points}")
    ranking = Ranking.of(uncertainty)
    ordered = risk[ranking.order].astype(np.float64)
    n = len(risk)
    kept = np.concatenate([[0], np.cumsum(ranking.by_tie(np.ones(n)))])
    summed = np.concatenate([[0], np.cumsum(ranking.by_tie(ordered))])
    coverage = np.arange(1, n_points + 1) / n_points
    generalised = np.interp(coverage, kept / n, summed / n)
    return RiskCoverage(coverage, generalised / coverage, generalised)


def aurc(
    risk: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: Resamples,
) -> Float[np.ndarray, "resample"]:
    """Area under the risk-coverage curve of each resample, its mean over all orders of ties.

    Notes
    -----
    The mean over k = 1..n of the mean risk of the k least uncertain objects (Geifman, Uziel and
    El-Yaniv, arXiv 1805.08206). The object at rank r weighs ``(1/r + ... + 1/n) / n``, which is
    ``(H_n - H_(r-1)) / n`` with harmonic numbers H; its mean over the ranks a+1..b of a tie is
    ``(H_n + 1 - (b H_b - a H_a) / (b - a)) / n``. Excess AURC is what lies above the oracle's,
    ``aurc(risk, risk, resamples)``.
    """
    # Numba takes half a second, which whoever reads results need not spend.
    from pipeline.scoring.passes.areas import write_aurc  # noqa: PLC0415

    ranking = Ranking.of(uncertainty)
    n_most = resamples.n_objects.max(initial=0)
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, n_most + 1))])
    areas = resamples.empty()
    write_aurc(
        resamples.drawn,
        resamples.group[ranking.order],
        ranking.is_last,
        risk[ranking.order].astype(np.float64),
        harmonic,
        resamples.by_lane(resamples.n_objects),
        areas,
    )
    return resamples.by_resample(areas)


def augrc(
    risk: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: Resamples,
) -> Float[np.ndarray, "resample"]:
    """Area under the generalised risk-coverage curve of each resample (arXiv 2407.01032).

    Notes
    -----
    Trapezoid rule from zero coverage, where the generalised risk is 0. For the risk 1 - IoU it is
    1 - the AUC of the correction *segmentation*, since the objects that one keeps are those that
    the other has not corrected yet.
    """
    by_risk = risk.astype(np.float64)[:, np.newaxis]
    return resampled_areas(by_risk, -uncertainty, resamples)[:, 0]
