"""Plans the weight of every mask in mixtures, and the masks to compare, before masks are read."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8

from pipeline.mask_statistics import (
    AGREEMENTS,
    ENTROPIES,
    OF_FEATURES,
    CellMasks,
    MaskStatistic,
    Shares,
)
from pipeline.proposals import judged_proposals
from pipeline.vocabulary import JUDGED, N_PROPOSALS, PROMPTS, SINGLE_CLICKS


@runtime_checkable
class Masks(Protocol):
    """Mask codes of many objects: an array, or a lazy reader with the same indexing."""

    def __getitem__(self, objects: slice, /) -> UInt8[np.ndarray, "object prompt proposal y x"]:
        """Return the mask codes of consecutive objects; the next call may overwrite the array."""
        ...


@dataclass(frozen=True)
class CellRows:
    """Masks, SamScores, IoUs and mask statistics of one model in one view, for some objects.

    Raises
    ------
    ValueError
        If a SamScore is negative or infinite, an IoU lies outside [0, 1], or one is NaN.
    """

    mask_code: Masks
    sam_score: Float32[np.ndarray, "object prompt proposal"]
    iou: Float32[np.ndarray, "object prompt proposal"]
    statistics: Mapping[str, Float32[np.ndarray, "object prompt proposal"]]
    """Arrays of features by name, among them those of ``OF_FEATURES``."""
    prompts: tuple[str, ...] = PROMPTS
    """Prompt sets of the axis ``prompt``, in its order; ``SINGLE_CLICKS`` come first."""

    def __post_init__(self) -> None:
        # NaN fails every comparison.
        is_score = (self.sam_score >= 0) & (self.sam_score < math.inf)
        if not is_score.all():
            raise ValueError(
                f"sam_score must be >= 0 and finite, got {self.sam_score[~is_score][0]}"
            )
        is_iou = (self.iou >= 0) & (self.iou <= 1)
        if not is_iou.all():
            raise ValueError(f"iou must lie in [0, 1], got {self.iou[~is_iou][0]}")


Clicks = tuple[str, ...]
"""Prompt sets whose masks a statistic uses."""

StatisticOfJudged = tuple[MaskStatistic, str]
"""A statistic, and the one of ``JUDGED`` for which it is computed; a statistic that does not depend
on the judged proposal is computed for the first alone."""


def _by_judged(statistics: Sequence[MaskStatistic]) -> tuple[StatisticOfJudged, ...]:
    return tuple(
        (statistic, judged)
        for statistic in statistics
        for judged in (JUDGED if statistic.follows_judged else JUDGED[:1])
    )


MIXTURES: Final = _by_judged(ENTROPIES)
"""Every mean of masks whose entropy is computed: each entropy, for each judged proposal."""

COMPARISONS: Final = _by_judged(AGREEMENTS)
"""Every group of masks to compare with each other: each agreement, for each judged proposal."""

_N_CLICKS: Final = len(SINGLE_CLICKS)
_CENTER: Final = SINGLE_CLICKS.index("center")
_ONE_HOT: Final = np.eye(N_PROPOSALS)


@dataclass(frozen=True)
class PlannedCell:
    """A cell (a model in a view): rows of some objects, and the use of its masks in statistics.

    An entropy is that of a mixture, a weighted mean of masks over cells; an agreement compares
    masks.
    """

    model: str
    view: str
    rows: CellRows
    weight: Float64[np.ndarray, "object mixture prompt proposal"]
    """Result of ``mixture_weights``."""
    members: Int[np.ndarray, "object member"]
    """Indices of the masks to compare: ``prompt * N_PROPOSALS + proposal``."""
    compared: Mapping[StatisticOfJudged, slice]
    """Columns of ``members`` that each comparison uses; comparisons that use none are left out."""
    judged: Int[np.ndarray, "object judged"]
    """The judged proposals of the click ``center``, in the order of ``JUDGED``."""

    @property
    def of_judged(self) -> dict[str, Float64[np.ndarray, "object judged"]]:
        """Statistics of the masks ``judged`` alone, by their names in the entropy store."""
        return {
            name: np.take_along_axis(
                self.rows.statistics[array][:, _CENTER].astype(np.float64), self.judged, axis=1
            )
            for name, array in OF_FEATURES.items()
        }


def plan_cells(
    read_cell: Callable[[str, str], CellRows], *, models: Sequence[str], views: Sequence[str]
) -> list[PlannedCell]:
    """Read each cell's rows of some objects; plan the masks that entropies and agreements use.

    Parameters
    ----------
    read_cell
        Takes a model and a view; returns the cell's rows of the objects.
    models
        The models Θ, from small to large.
    views
        The views T, or a subset with ``identity``.

    Returns
    -------
    A cell for each model and view; the cells of a model are consecutive.
    """
    return [
        _planned(read_cell(model, view), model, view, models=models, n_views=len(views))
        for model in models
        for view in views
    ]


def _planned(
    rows: CellRows, model: str, view: str, *, models: Sequence[str], n_views: int
) -> PlannedCell:
    cell_masks = partial(
        CellMasks,
        is_identity=view == "identity",
        n_models=len(models),
        n_views=n_views,
        is_end=model in {models[0], models[-1]},
    )
    columns = _prompt_columns(rows.prompts)
    masks = {
        clicks: _masks_by_judged(rows, prompt_columns, cell_masks)
        for clicks, prompt_columns in columns.items()
    }
    single = masks[SINGLE_CLICKS]
    judged = [single[name].is_judged[:, _CENTER].argmax(axis=-1) for name in JUDGED]
    return PlannedCell(
        model,
        view,
        rows,
        mixture_weights(single, rows.iou.shape[1]),
        *_members(masks, columns),
        np.stack(judged, axis=1),
    )


def _prompt_columns(prompts: tuple[str, ...]) -> dict[Clicks, list[int]]:
    """Indices on the cell's axis ``prompt`` of the prompt sets that a statistic uses.

    The keys are tuples of prompt sets; left out is a tuple of which the cell lacks a prompt set.
    """
    click_sets = dict.fromkeys((SINGLE_CLICKS, *(agreement.clicks for agreement in AGREEMENTS)))
    return {
        clicks: [prompts.index(name) for name in clicks]
        for clicks in click_sets
        if {*clicks} <= {*prompts}
    }


def mixture_weights(
    masks: Mapping[str, CellMasks], n_prompts: int
) -> Float64[np.ndarray, "object mixture prompt proposal"]:
    """Weight of each mask of a cell in each of ``MIXTURES``; 0 if no single click made the mask.

    ``masks`` are of the single clicks, for each of ``JUDGED``; ``n_prompts`` counts all prompt sets
    of the cell.
    """
    n_objects = len(masks[JUDGED[0]].is_judged)
    weight = np.zeros((n_objects, len(MIXTURES), n_prompts, N_PROPOSALS))
    for k, (entropy, judged) in enumerate(MIXTURES):
        weight[:, k, :_N_CLICKS] = entropy.shares(masks[judged])
    return weight


def _members(
    masks: Mapping[Clicks, Mapping[str, CellMasks]], columns: Mapping[Clicks, Sequence[int]]
) -> tuple[Int[np.ndarray, "object member"], dict[StatisticOfJudged, slice]]:
    numbers, compared, n_members = [], {}, 0
    for agreement, judged in COMPARISONS:
        clicks = agreement.clicks
        if clicks not in masks:
            continue
        is_member = agreement.shares(masks[clicks][judged]) > 0
        n_objects = len(is_member)
        # The same number for every object.
        n_compared = int(np.count_nonzero(is_member)) // max(1, n_objects)
        if n_compared or not n_objects:
            _, click, proposal = np.nonzero(is_member)
            number = np.array(columns[clicks])[click] * N_PROPOSALS + proposal
            numbers.append(number.reshape(n_objects, n_compared))
            compared[agreement, judged] = slice(n_members, n_members + n_compared)
            n_members += n_compared
    return np.concatenate(numbers, axis=1), compared


def _masks_by_judged(
    rows: CellRows, columns: list[int], cell_masks: Callable[[Shares, Shares], CellMasks]
) -> dict[str, CellMasks]:
    """Properties of the masks of some prompt sets, for each of ``JUDGED``.

    ``columns`` are the prompt sets' indices on the cell's axis ``prompt``. Every prompt set has a
    best and a selected proposal of its own.
    """
    sam_score, iou = rows.sam_score[:, columns], rows.iou[:, columns]
    shares = task_probability(sam_score)
    return {
        judged: cell_masks(shares, _ONE_HOT[judged_proposals(judged, iou=iou, sam_score=sam_score)])
        for judged in JUDGED
    }


def task_probability(
    sam_score: Float32[np.ndarray, "*batch proposal"],
) -> Float64[np.ndarray, "*batch proposal"]:
    """Probability that each proposal of a prompt set is the object that the prompt set means.

    Eq. 10: the SamScores, divided by their sum. Uniform if all SamScores are 0.
    """
    score = sam_score.astype(np.float64)
    total = score.sum(axis=-1, keepdims=True)
    probability = np.full_like(score, 1 / score.shape[-1])
    np.divide(score, total, out=probability, where=total > 0)
    return probability
