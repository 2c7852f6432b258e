"""Which masks of every cell count, and how much: planned for many objects before any is read."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8

from pipeline.mask_statistics import AGREEMENTS, ENTROPIES, CellMasks, MaskStatistic, Shares
from pipeline.proposals import judged_proposals
from pipeline.vocabulary import JUDGED, N_PROPOSALS, PROMPTS, SINGLE_CLICKS


@runtime_checkable
class Masks(Protocol):
    """Coded masks of many objects, an array or what reads them when it is asked for some."""

    def __getitem__(self, some: slice, /) -> UInt8[np.ndarray, "object prompt proposal y x"]:
        """Return the masks of some objects, which are valid until the next call."""
        ...


@dataclass(frozen=True)
class CellRows:
    """What one model predicts for some objects in one view.

    Raises
    ------
    ValueError
        If a score is out of its range.
    """

    mask_code: Masks
    sam_score: Float32[np.ndarray, "object prompt proposal"]
    iou: Float32[np.ndarray, "object prompt proposal"]
    prompts: tuple[str, ...] = PROMPTS
    """Prompt sets in their order, those of one click first, as in ``SINGLE_CLICKS``."""

    def __post_init__(self) -> None:
        """Check that mixtures can be made of the rows."""
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
"""Prompt sets of a statistic."""

Chosen = tuple[MaskStatistic, str]
"""A statistic, and the judged proposal where it follows that."""


def _by_judged(statistics: Sequence[MaskStatistic]) -> tuple[Chosen, ...]:
    return tuple(
        (one, judged)
        for one in statistics
        for judged in (JUDGED if one.follows_judged else JUDGED[:1])
    )


MIXTURES: Final = _by_judged(ENTROPIES)
"""Every mean of masks."""

COMPARED: Final = _by_judged(AGREEMENTS)
"""Every comparison of masks."""

_N_CLICKS: Final = len(SINGLE_CLICKS)
_CENTER: Final = SINGLE_CLICKS.index("center")
_ONE_OF_ALL: Final = np.eye(N_PROPOSALS)


@dataclass(frozen=True)
class PlannedCell:
    """Rows of one cell, and what is done with their masks."""

    model: str
    view: str
    rows: CellRows
    weight: Float64[np.ndarray, "object mixture prompt proposal"]
    """As ``mixture_weights`` gives it."""
    members: Int[np.ndarray, "object member"]
    """Masks that are compared, as ``prompt * N_PROPOSALS + proposal``."""
    compared: Mapping[Chosen, slice]
    """Members of each comparison that takes any."""
    judged: Int[np.ndarray, "object judged"]
    """The judged proposals of the click ``center``, in the order of ``JUDGED``."""


def plan_cells(
    read_cell: Callable[[str, str], CellRows], *, models: Sequence[str], views: Sequence[str]
) -> list[PlannedCell]:
    """Plan every cell of some objects, model by model.

    Parameters
    ----------
    read_cell
        Returns the rows of the same objects for a model and a view.
    models
        Θ, from small to large.
    views
        T, or a subset that includes ``identity``.
    """
    return [
        _planned(read_cell(model, view), model, view, models=models, n_views=len(views))
        for model in models
        for view in views
    ]


def _planned(
    rows: CellRows, model: str, view: str, *, models: Sequence[str], n_views: int
) -> PlannedCell:
    of_cell = partial(
        CellMasks,
        is_identity=view == "identity",
        n_models=len(models),
        n_views=n_views,
        is_end=model in {models[0], models[-1]},
    )
    places = _places(rows.prompts)
    chosen = {clicks: _cell_masks(rows, own, of_cell) for clicks, own in places.items()}
    single = chosen[SINGLE_CLICKS]
    judged = [single[name].is_judged[:, _CENTER].argmax(axis=-1) for name in JUDGED]
    return PlannedCell(
        model,
        view,
        rows,
        mixture_weights(single, rows.iou.shape[1]),
        *_members(chosen, places),
        np.stack(judged, axis=1),
    )


def _places(prompts: tuple[str, ...]) -> dict[Clicks, list[int]]:
    """Places of the clicks of every statistic whose masks the cell has."""
    known = dict.fromkeys((SINGLE_CLICKS, *(one.clicks for one in AGREEMENTS)))
    return {
        clicks: [prompts.index(name) for name in clicks]
        for clicks in known
        if {*clicks} <= {*prompts}
    }


def mixture_weights(
    chosen: Mapping[str, CellMasks], n_prompts: int
) -> Float64[np.ndarray, "object mixture prompt proposal"]:
    """Share of each mask of a cell in each of ``MIXTURES``; ``refined`` has no share.

    Parameters
    ----------
    chosen
        ``CellMasks`` of the single clicks, by judged proposal.
    """
    n_objects = len(chosen[JUDGED[0]].is_judged)
    weight = np.zeros((n_objects, len(MIXTURES), n_prompts, N_PROPOSALS))
    for k, (entropy, judged) in enumerate(MIXTURES):
        weight[:, k, :_N_CLICKS] = entropy.shares(chosen[judged])
    return weight


def _members(
    chosen: Mapping[Clicks, Mapping[str, CellMasks]], places: Mapping[Clicks, Sequence[int]]
) -> tuple[Int[np.ndarray, "object member"], dict[Chosen, slice]]:
    numbers, compared, n_members = [], {}, 0
    for agreement, judged in COMPARED:
        clicks = agreement.clicks
        if clicks not in chosen:
            continue
        is_member = agreement.shares(chosen[clicks][judged]) > 0
        n_objects = len(is_member)
        # As many for every object.
        n_own = int(np.count_nonzero(is_member)) // max(1, n_objects)
        if n_own or not n_objects:
            _, click, proposal = np.nonzero(is_member)
            number = np.array(places[clicks])[click] * N_PROPOSALS + proposal
            numbers.append(number.reshape(n_objects, n_own))
            compared[agreement, judged] = slice(n_members, n_members + n_own)
            n_members += n_own
    return np.concatenate(numbers, axis=1), compared


def _cell_masks(
    rows: CellRows, columns: list[int], of_cell: Callable[[Shares, Shares], CellMasks]
) -> dict[str, CellMasks]:
    """Masks of some prompt sets as mixtures weigh them, for each judged proposal.

    Notes
    -----
    The judged proposal is chosen for each prediction; ties go to the first.
    """
    sam_score, iou = rows.sam_score[:, columns], rows.iou[:, columns]
    shares = task_probability(sam_score)
    return {
        judged: of_cell(shares, _ONE_OF_ALL[judged_proposals(judged, iou=iou, sam_score=sam_score)])
        for judged in JUDGED
    }


def task_probability(
    sam_score: Float32[np.ndarray, "*batch proposal"],
) -> Float64[np.ndarray, "*batch proposal"]:
    """Probability that each proposal is what was meant; uniform where all scores are 0.

    Notes
    -----
    Eq. 10.
    """
    score = sam_score.astype(np.float64)
    total = score.sum(axis=-1, keepdims=True)
    probability = np.full_like(score, 1 / score.shape[-1])
    np.divide(score, total, out=probability, where=total > 0)
    return probability
