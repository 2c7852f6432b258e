"""Scores of measures that predict corrections (AUC, curves, correlations), and of models (IoU)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from pipeline.proposals import ProposalScores, Values
from pipeline.scoring import bootstrap, tasks
from pipeline.scoring.auc import correction_curve
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import BASELINE, BOUNDS, IOU_GT, predicted_iou
from pipeline.scoring.scores import Keys, Statistic
from pipeline.vocabulary import JUDGED, PROTOCOLS, TASKS

MeasureKey = tuple[str, str, str]
"""Train split, tokens and name of a measure; without heads, the first two are empty."""

_BASELINE: Final[MeasureKey] = ("", "", BASELINE)

_JUDGED_OF: Final = {name: name for name in JUDGED} | {tasks.REFINED[name]: name for name in JUDGED}
"""The judged proposal, by the names of masks in ``ProposalScores.by_proposal``."""


AUCS: Final = (
    Statistic("auc", "AUC", "area under the mean IoU, the most uncertain objects corrected first"),
    Statistic("oracle", "oracle", "AUC in the order of the true gain", better=""),
    Statistic("worst", "worst", "AUC in the reverse order", better=""),
    Statistic("relative", "relative AUC", "where `auc` lies between `worst` (0) and `oracle` (1)"),
    Statistic(
        "margin",
        "margin",
        "`relative` minus that of 1 − SamScore, same task and model; like the other differences, "
        "its interval is that of the difference itself, which is narrower than the two intervals "
        "suggest: both measures see the same resamples",
    ),
    Statistic(
        "margin_p",
        "p",
        "two-sided p-value that `margin` is 0, of this comparison alone",
        better="",
        unit="",
    ),
    Statistic(
        "tokens_margin",
        "margin of tokens",
        "`relative` minus that of the same measure from both tokens of the judged proposal; of "
        "measures without heads, there is none",
    ),
)

MEAN_IOUS: Final = (
    Statistic("mean_iou", "mean IoU", "mean IoU of the masks"),
    Statistic(
        "gain",
        "gain",
        "mean IoU minus that of the mask, best or selected, of one click in the first view",
    ),
)


def auc_scores(
    models: Mapping[str, ModelScores], resamples: bootstrap.Resamples, run: tasks.Each = map
) -> list[bootstrap.Measured]:
    """AUC of every protocol, task, model and measure, for heads of every token set and seed.

    The statistics are ``AUCS``; ``tokens_margin`` is of heads alone. Scores are in the order
    of ``PROTOCOLS``, then of ``TASKS``. ``models`` are the smallest first; ``run`` applies a
    function to every measure of a model: ``map``, or threads. Raises a ValueError if models have
    different numbers of objects, an entropy, an agreement or a head is missing, or a measure is NaN
    for an object.
    """
    ious = tasks.ious_of(models)
    measured: list[bootstrap.Measured] = []
    for masks in tasks.trained_masks(models):
        corrected = {
            task: correction
            for task, correction in tasks.corrections(ious, masks.model, masks.protocol).items()
            if tasks.judged_proposal(masks.protocol, task) == masks.judged
        }
        measures = masks.measures_of_tokens
        _check_measures(measures, masks.model)
        gains = np.stack([correction.gain for correction in corrected.values()], axis=1)
        work = partial(bootstrap.resampled_areas, gains, resamples=resamples)
        areas = dict(zip(measures, run(work, measures.values()), strict=True))
        for place, (task, correction) in enumerate(corrected.items()):
            of_task = {measure: of_measure[:, place] for measure, of_measure in areas.items()}
            measured += _statistics_of_task(masks, task, correction, of_task, resamples)
    return sorted(measured, key=_place)


def _place(measured: bootstrap.Measured) -> tuple[int, int]:
    keys, _ = measured
    return PROTOCOLS.index(keys.protocol), TASKS.index(keys.task)


def iou_scores(
    views: Mapping[tuple[str, str], ProposalScores], resamples: bootstrap.Resamples
) -> Iterator[bootstrap.Measured]:
    """Yield the mean IoU of every model, view and proposal, and its gain over the first view.

    The statistics are ``MEAN_IOUS``. ``views`` has scores of the proposals by model and
    view. The first view's mask of one click is also the start of the gain of eight clicks.
    """
    columns = {
        (model, view, proposal): iou.astype(np.float64)
        for (model, view), proposals in views.items()
        for proposal, iou in proposals.by_proposal().items()
    }
    means = bootstrap.resampled_means(np.stack(list(columns.values()), axis=1), resamples)
    start: dict[tuple[str, str], bootstrap.Resampled] = {}
    for (model, view, proposal), mean_iou in zip(columns, means.T, strict=True):
        # Masks of one click come before those of eight.
        first = start.setdefault((model, _JUDGED_OF[proposal]), mean_iou)
        keys = Keys(model=model, view=view, proposal=proposal)
        statistics = {"mean_iou": mean_iou, "gain": mean_iou - first}
        yield keys, statistics


def curves(
    ious: tasks.Ious, masks: Sequence[tasks.JudgedMasks], n_points: int
) -> Iterator[pd.DataFrame]:
    """Yield correction curves of ``BOUNDS`` and of every measure, for each protocol and task.

    A curve is the mean IoU against the corrected fraction, a row per point. The most uncertain
    objects are corrected first.

    They are for the model of ``default_model``: the smallest or, for ``segmentation``, the largest.
    ``ious`` is a result of ``ious_of``, ``masks`` of ``judged_masks``, for the same models.
    """
    by_place = {(judged.protocol, judged.judged, judged.model): judged for judged in masks}
    for protocol in PROTOCOLS:
        for task, model, correction in tasks.default_corrections(ious, protocol):
            place = protocol, tasks.judged_proposal(protocol, task), model
            measures = bounds(correction.gain) | by_place[place].measures
            for (train_split, measure), uncertainty in measures.items():
                fraction, mean_iou = correction_curve(
                    correction.iou, correction.corrected_iou, uncertainty, n_points=n_points
                )
                curve = pd.DataFrame({"corrected_fraction": fraction, "mean_iou": mean_iou})
                keys = {"protocol": protocol, "task": task, "model": model, "measure": measure}
                yield curve.assign(**keys, train_split=train_split)


def correlations(masks: Iterable[tasks.JudgedMasks]) -> Iterator[pd.DataFrame]:
    """Yield Pearson correlations of the true IoU and measures, by judged masks and train split.

    Yields
    ------
    A table with the columns of ``CORRELATION_COLUMNS`` and one column for each row: ``iou_gt``,
    then the measures. A measure that is 1 - a predicted IoU is replaced by that IoU. The
    correlation with a constant is NaN, and so are all correlations over a single object.
    """
    for judged in masks:
        measures = judged.measures
        for train_split in _train_splits(measures):
            columns = {IOU_GT: judged.iou} | {
                name: predicted_iou(name, value)
                for (trained_on, name), value in measures.items()
                if trained_on in {"", train_split}
            }
            block = pd.DataFrame(columns).corr().reset_index(names="row")
            keys = {
                "protocol": judged.protocol,
                "train_split": train_split,
                "model": judged.model,
            }
            yield block.assign(**keys)[[*keys, *block.columns]]


def aucs_by_draw(
    correction: tasks.Correction,
    areas: Float[np.ndarray, "measure draw"],
    resamples: bootstrap.Resamples,
) -> tuple[
    Float[np.ndarray, "measure draw"],
    bootstrap.Resampled,
    bootstrap.Resampled,
    Float[np.ndarray, "measure draw"],
]:
    """AUC of each measure, of the oracle and of the worst order, and relative AUC of each measure.

    ``areas`` lie between each measure's correction curve and its start. A relative AUC is NaN where
    all orders have the same area.
    """
    before = correction.iou[:, np.newaxis].astype(np.float64)
    start = bootstrap.resampled_means(before, resamples)[:, 0]
    oracle, worst = (
        start + bootstrap.resampled_areas(correction.gain[:, np.newaxis], order, resamples)[:, 0]
        for order in (correction.gain, -correction.gain)
    )
    # No order leaves these bounds (rearrangement inequality), but rounding may, by an ulp.
    aucs = np.clip(start + areas, worst, oracle)
    span = np.where(oracle > worst, oracle - worst, np.nan)
    return aucs, oracle, worst, (aucs - worst) / span


def _statistics_of_task(
    masks: tasks.JudgedMasks,
    task: str,
    correction: tasks.Correction,
    areas: Mapping[MeasureKey, bootstrap.Resampled],
    resamples: bootstrap.Resamples,
) -> Iterator[bootstrap.Measured]:
    measures, by_measure = list(areas), np.stack(list(areas.values()))
    aucs, oracle, worst, relative = aucs_by_draw(correction, by_measure, resamples)
    margins = relative - relative[measures.index(_BASELINE)]
    p_values = np.array(bootstrap.p_values(margins, resamples.n_groups))
    for row, (train_split, tokens, measure) in enumerate(measures):
        if masks.seed is not None and not tokens:
            continue
        statistics = {
            "auc": aucs[row],
            "oracle": oracle[:1],
            "worst": worst[:1],
            "relative": relative[row],
            "margin": margins[row],
            "margin_p": p_values[row : row + 1],
        }
        if tokens:
            # The peers of heads of any token set read both tokens of the judged mask.
            peer = measures.index((train_split, masks.judged, measure))
            statistics["tokens_margin"] = relative[row] - relative[peer]
        yield masks.keys(train_split, measure, tokens=tokens, task=task), statistics


def _check_measures(measures: Mapping[MeasureKey, np.ndarray], model: str) -> None:
    for (train_split, tokens, measure), value in measures.items():
        n_faulty = int(np.isnan(value).sum())
        if n_faulty:
            heads = f" by heads of {train_split} on {tokens} tokens" if train_split else ""
            raise ValueError(
                f"{measure} of {model}{heads} must not be NaN, got NaN for {n_faulty} of "
                f"{value.size} objects"
            )


def _train_splits(measures: Mapping[tuple[str, str], Values]) -> list[str]:
    """Train splits of the measures' heads; a single empty name if no measure has heads."""
    return list(dict.fromkeys(name for name, _ in measures if name)) or [""]


def bounds(gain: Values) -> dict[tuple[str, str], Values]:
    """Uncertainties that give the orders ``BOUNDS``: by true gain, by its reverse, and random.

    The random order is one tie of all objects, which counts as the mean over all orders.
    """
    orders = (gain, -gain, np.zeros_like(gain))
    return {("", name): order for name, order in zip(BOUNDS, orders, strict=True)}
