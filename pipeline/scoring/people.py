"""Compares measures and masks with how several persons divided the same image."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.proposals import Values, judged_proposals
from pipeline.scoring import bootstrap
from pipeline.scoring.corrections import aucs_by_draw
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import BASELINE
from pipeline.scoring.scores import Keys, Score, Statistic
from pipeline.scoring.tasks import Correction, JudgedMasks
from pipeline.vocabulary import JUDGED, USED

TRUTHS: Final[Mapping[str, str]] = {
    "hand": "the annotation at hand, whose click it is",
    "drawn": "a person drawn at random: the mean over all persons",
    "nearest": "the nearest person: the highest of all persons",
    "left_out": "the other persons, without the annotation at hand: their mean",
}
"""Truths of a click that has several, by name: with whose segment a mask is compared."""

TASK_AMBIGUITY: Final = {
    "h_a": ("h_theta", "h_xp"),
    "delta_a_ours": ("delta_theta_ours", "delta_xp_ours"),
    "delta_a_star_ours": ("delta_theta_star_ours", "delta_xp_star_ours"),
}
"""Measures of task ambiguity, each with the same measure of the models and of the clicks."""

PLAN: Final[Mapping[str, tuple[str, ...]]] = {
    "people_rank": tuple(TASK_AMBIGUITY),
    "people_rank_area": tuple(TASK_AMBIGUITY),
    "people_margin": tuple(TASK_AMBIGUITY),
    "people_margin_model": tuple(TASK_AMBIGUITY),
    "people_margin_prompt": tuple(TASK_AMBIGUITY),
    "people_rise": ("",),
    **{f"truth_margin_{name}": ("usam_ours",) for name in TRUTHS},
}
"""Statistics that hypotheses say are above 0, each with the measures that they speak of.

Each combination is tested for every model, and Holm's procedure takes all tests together. The plan
was written down before people's segments were compared with these models on the test photographs.
"""

FOLLOWED: Final = (
    *(BASELINE, "stable_score", "usam_ours"),
    *(name for task, peers in TASK_AMBIGUITY.items() for name in (task, *peers)),
)
"""Measures whose correlations with disagreement are drawn, and told of drawn clicks."""

DRAWN: Final[Mapping[str, str]] = {
    f"people_{name}": f"drawn_{name}" for name in ("agreement", "rank", "rank_area", "margin")
} | {f"truth_iou_{name}": f"drawn_iou_{name}" for name in TRUTHS}
"""Statistics that are told of drawn clicks, too, and their names there."""

_OF_FIRST_CLICKS: Final = (
    Statistic("people_agreement", "agreement", "mean IoU of two persons' segments around a click"),
    *(
        Statistic(f"truth_iou_{name}", f"IoU, {name.replace('_', ' ')}", f"mean IoU with {meaning}")
        for name, meaning in TRUTHS.items()
    ),
    Statistic(
        "people_rank", "ρ", "Spearman's correlation of the measure with people's disagreement"
    ),
    Statistic("people_rank_area", "ρ given area", "the same, given the area of people's segments"),
    Statistic("people_margin", "ρ beyond 1 − SamScore", "`people_rank` minus that of 1 − SamScore"),
    *(
        Statistic(
            f"people_margin_{reason}",
            f"ρ beyond {words}",
            f"`people_rank` minus that of H_{x}, Δ_{x} or Δ\\*_{x}, for H_A, Δ_A or Δ\\*_A",
        )
        for reason, words, x in (("model", "models", "Θ"), ("prompt", "clicks", "Xp"))
    ),
    Statistic(
        "people_rise",
        "rise",
        "how much the IoU with a person drawn at random rises, minus the same of the nearest "
        "person, if the best proposal replaces the selected one",
    ),
    *(
        Statistic(
            f"truth_margin_{name}",
            f"margin, {name.replace('_', ' ')}",
            f"relative AUC of *segmentation* minus that of `stable_score`; the truth is {meaning}",
        )
        for name, meaning in TRUTHS.items()
    ),
    *(
        Statistic(f"{name}_p", "p", f"p-value that `{name}` is 0", better="", unit="")
        for name in PLAN
    ),
)

PEOPLE: Final = (
    *_OF_FIRST_CLICKS,
    *(
        replace(
            statistic,
            name=DRAWN[statistic.name],
            meaning=f"`{statistic.name}` of clicks that stand for the pixels of the images",
        )
        for statistic in _OF_FIRST_CLICKS
        if statistic.name in DRAWN
    ),
)

PERSON: Final = "person"
"""Name of the masks of persons, who stand in the model's place."""

STABLE: Final = ("", "stable_score")
"""Key of the measure with which heads are compared under each truth, 1 − SamScore × stability."""

OF_TRUTHS: Final = (BASELINE, "usam", "usam_ours")
"""Measures that are compared under each truth."""


AMONG_REASONS: Final = ("people_margin_model", "people_margin_prompt")
"""Statistics that compare a measure with its two peers in ``TASK_AMBIGUITY``."""

NO_SPREAD: Final = 1e-12
"""Share of a variance up to which what is left of it in a draw is a rounding error."""

Measures = Mapping[tuple[str, str], Values]
"""Measures by train split and name."""

Statistics = dict[str, bootstrap.Resampled]
"""Statistics of one measure by name."""


@dataclass(frozen=True)
class People:
    """Segments of several persons around each click; NaN where a person has no segment."""

    pair_iou: Float[np.ndarray, "object person person"]
    """IoU of the segments of each two persons."""
    area: Float[np.ndarray, "object person"]
    """Area of each segment, as a share of the image."""
    hand: Int[np.ndarray, "object"]
    """The person whose segment is the annotation at hand."""
    mask_iou: Mapping[str, Float[np.ndarray, "object proposal person"]]
    """IoU of each proposal with each segment, by model, at the size of the mask codes."""
    weight: Values
    """How much each click counts: 1, or its share of the image that it stands for."""

    @cached_property
    def agreement(self) -> Values:
        """Mean IoU of all pairs of persons; NaN with fewer than two segments."""
        first, second = np.triu_indices(self.area.shape[1], 1)
        return _mean(self.pair_iou[:, first, second])

    @property
    def log_area(self) -> Values:
        """Mean logarithm of the areas of the segments."""
        return _mean(np.log(self.area))

    def of(self, is_there: Bool[np.ndarray, "click"]) -> "People":
        """Keep some of the clicks."""
        ious = {model: iou[is_there] for model, iou in self.mask_iou.items()}
        arrays = (self.pair_iou[is_there], self.area[is_there], self.hand[is_there])
        return People(*arrays, ious, self.weight[is_there])

    def truths(self, iou: Float[np.ndarray, "object person"]) -> dict[str, Values]:
        """IoU under each of ``TRUTHS``, from a mask's IoU with each person's segment."""
        is_hand = self.hand[:, np.newaxis] == np.arange(iou.shape[1])
        return {
            "hand": _mean(np.where(is_hand, iou, np.nan)),
            "drawn": _mean(iou),
            "nearest": np.fmax.reduce(iou, axis=1),
            "left_out": _mean(np.where(is_hand, np.nan, iou)),
        }

    @property
    def of_person(self) -> dict[str, Values]:
        """IoU under each of ``TRUTHS`` of a person in the model's place.

        It is the mean over all persons but the one of the annotation at hand. The truths of each
        are the segments of all others. NaN for a truth that nobody has.
        """
        of_each = []
        for person in range(self.area.shape[1]):
            iou = self.pair_iou[:, person].copy()
            iou[:, person] = iou[self.hand == person] = np.nan
            of_each.append(self.truths(iou))
        return {name: _mean(np.stack([of[name] for of in of_each], axis=1)) for name in TRUTHS}


def _mean(values: Float[np.ndarray, "object column"]) -> Values:
    """Mean of each row without its NaN; NaN for a row of these alone."""
    n = (~np.isnan(values)).sum(axis=1)
    mean: Values = np.where(n > 0, np.nansum(values, axis=1) / np.maximum(n, 1), np.nan)
    return mean


def people_scores(
    masks: Iterable[JudgedMasks], people: People, resamples: bootstrap.Resamples
) -> Iterator[Score]:
    """Yield scores of selected masks of the first clicks; none if persons never share a click.

    ``masks`` are those of ``trained_masks``. Clicks around which fewer than two persons have a
    segment are left out, and images without others: intervals are for the number of images left.
    """
    is_there = ~np.isnan(people.agreement)
    if not is_there.any():
        return
    people, resamples = people.of(is_there), resamples.of(is_there)
    agreement = weighted_means(people.agreement[:, np.newaxis], people.weight, resamples)[:, 0]
    measured = [(Keys(protocol=USED), {"people_agreement": agreement})]
    yield from bootstrap.scores(measured, resamples.n_groups)
    yield from _scores_of_persons(people, resamples)
    yield from bootstrap.scores(_of_masks(masks, people, is_there, resamples), resamples.n_groups)


def drawn_scores(
    models: Mapping[str, ModelScores], people: People, resamples: bootstrap.Resamples
) -> Iterator[Score]:
    """Yield the scores ``DRAWN`` of drawn clicks, from the scores of the models' answers to them.

    Measures are ``FOLLOWED``, and heads those of the first seed.
    """
    masks = [JudgedMasks(USED, USED, model, models[model], measured=FOLLOWED) for model in models]
    for score in people_scores(masks, people, resamples):
        if score.statistic in DRAWN:
            yield replace(score, statistic=DRAWN[score.statistic])


def _scores_of_persons(people: People, resamples: bootstrap.Resamples) -> Iterator[Score]:
    """Yield the mean IoU of a person in the model's place under each truth that a click has."""
    for truth, iou in people.of_person.items():
        has_truth = ~np.isnan(iou)
        if has_truth.any():
            with_truth, weight = resamples.of(has_truth), people.weight[has_truth]
            mean = weighted_means(iou[has_truth, np.newaxis], weight, with_truth)[:, 0]
            measured = [(Keys(protocol=USED, choice=PERSON), {f"truth_iou_{truth}": mean})]
            yield from bootstrap.scores(measured, with_truth.n_groups)


def _of_masks(
    masks: Iterable[JudgedMasks],
    people: People,
    is_there: Bool[np.ndarray, "click"],
    resamples: bootstrap.Resamples,
) -> Iterator[bootstrap.Measured]:
    """Yield the statistics of selected masks; ``people`` and ``resamples`` are of clicks there."""
    stable: dict[str, Values] = {}
    for judged in masks:
        if (judged.protocol, judged.judged) != (USED, USED):
            continue
        measures = {key: values[is_there] for key, values in judged.measures.items()}
        ious = _judged_ious(judged, people, is_there)
        if judged.seed is None:
            yield from _scores_of_masks(judged.model, ious, people.weight, resamples)
            stable |= {judged.model: measures[STABLE]} if STABLE in measures else {}
        compared = stable.get(judged.model)
        margins = {} if compared is None else _margins(measures, compared, ious[USED], resamples)
        for key, statistics in rank_statistics(measures, people, resamples).items():
            if judged.seed is None or key[0]:
                yield judged.keys(*key), statistics | margins.get(key, {})


def _judged_ious(
    judged: JudgedMasks, people: People, is_there: Bool[np.ndarray, "click"]
) -> dict[str, dict[str, Values]]:
    """IoU of the best and the selected proposals of a model, by proposal, then by truth."""
    scores, iou = judged.scores.proposals, people.mask_iou[judged.model]
    places = {
        name: judged_proposals(name, iou=scores.iou, sam_score=scores.sam_score)[is_there]
        for name in JUDGED
    }
    return {name: people.truths(iou[np.arange(len(iou)), place]) for name, place in places.items()}


def _scores_of_masks(
    model: str,
    ious: Mapping[str, Mapping[str, Values]],
    weight: Values,
    resamples: bootstrap.Resamples,
) -> Iterator[bootstrap.Measured]:
    """Yield the mean IoU of both proposals under each truth, and the rise from one to the other."""
    means = {name: _mean_ious(of_name, weight, resamples) for name, of_name in ious.items()}
    for name, statistics in means.items():
        yield Keys(protocol=USED, model=model, choice=name), statistics
    drawn, nearest = (
        means["best"][truth] - means[USED][truth]
        for truth in ("truth_iou_drawn", "truth_iou_nearest")
    )
    rise = _with_p({"people_rise": drawn - nearest}, "", resamples)
    yield Keys(protocol=USED, model=model), rise


def _mean_ious(
    ious: Mapping[str, Values], weight: Values, resamples: bootstrap.Resamples
) -> Statistics:
    """Mean IoU under each truth; of two persons or more, a mask has all truths."""
    columns = np.stack([ious[name] for name in TRUTHS], axis=1)
    means = weighted_means(columns, weight, resamples)
    return {f"truth_iou_{name}": mean for name, mean in zip(TRUTHS, means.T, strict=True)}


def weighted_means(
    columns: Float[np.ndarray, "object column"], weight: Values, resamples: bootstrap.Resamples
) -> Float[np.ndarray, "draw column"]:
    """Mean of each column over the objects of each draw; ``weight`` says what each counts."""
    sums = resamples.sums(np.column_stack([columns * weight[:, np.newaxis], weight]))
    means: Float[np.ndarray, "draw column"] = sums[:, :-1] / sums[:, -1:]
    return means


def rank_statistics(
    measures: Measures, people: People, resamples: bootstrap.Resamples
) -> dict[tuple[str, str], Statistics]:
    """Correlations of each measure's ranks with those of people's disagreement, with p-values.

    Ranks are those of all clicks: a resample does not rank again.
    """
    weight = people.weight
    disagreement, area = _ranked(-people.agreement, weight), _ranked(people.log_area, weight)
    of_area = pearson(disagreement, area, weight, resamples)
    ranks = {key: _ranked(values, weight) for key, values in measures.items()}
    rank = {key: pearson(values, disagreement, weight, resamples) for key, values in ranks.items()}
    by_measure = {}
    for (train_split, name), values in ranks.items():
        rho, with_area = rank[train_split, name], pearson(values, area, weight, resamples)
        unexplained = (1 - with_area**2) * (1 - of_area**2)
        unexplained = np.where(unexplained > NO_SPREAD, unexplained, np.nan)
        statistics = {
            "people_rank": rho,
            "people_rank_area": (rho - with_area * of_area) / np.sqrt(unexplained),
            "people_margin": rho - rank["", BASELINE],
        }
        for statistic, peer in zip(AMONG_REASONS, TASK_AMBIGUITY.get(name, ()), strict=False):
            if (train_split, peer) in rank:
                statistics[statistic] = rho - rank[train_split, peer]
        by_measure[train_split, name] = _with_p(statistics, name, resamples)
    return by_measure


def pearson(
    x: Values, y: Values, weight: Values, resamples: bootstrap.Resamples
) -> bootstrap.Resampled:
    """Weighted Pearson correlation of x and y in each draw; NaN if x or y is constant there."""
    # Centre x and y first, so that the moments lose no digits.
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    columns = np.stack([x, y, x * x, y * y, x * y], axis=1)
    mean_x, mean_y, xx, yy, xy = weighted_means(columns, weight, resamples).T
    spread = (xx - mean_x**2) * (yy - mean_y**2)
    # A spread this small is a rounding error.
    spread = np.where(spread > NO_SPREAD * np.mean(x * x) * np.mean(y * y), spread, np.nan)
    correlation: bootstrap.Resampled = (xy - mean_x * mean_y) / np.sqrt(spread)
    return correlation.clip(-1, 1)


def _margins(
    measures: Measures,
    stable: Values,
    ious: Mapping[str, Values],
    resamples: bootstrap.Resamples,
) -> dict[tuple[str, str], Statistics]:
    """Margins of measures over ``stable`` in the correction *segmentation*, under each truth."""
    compared = {key: values for key, values in measures.items() if key[1] in OF_TRUTHS}
    margins: dict[tuple[str, str], Statistics] = {key: {} for key in compared}
    for truth, iou in ious.items():
        correction = Correction(iou, np.ones_like(iou))
        gain = correction.gain[:, np.newaxis]
        areas = np.stack(
            [
                bootstrap.resampled_areas(gain, values, resamples)[:, 0]
                for values in (stable, *compared.values())
            ]
        )
        *_, relative = aucs_by_draw(correction, areas, resamples)
        for key, of_measure in zip(compared, relative[1:], strict=True):
            margins[key][f"truth_margin_{truth}"] = of_measure - relative[0]
    return {key: _with_p(of_key, key[1], resamples) for key, of_key in margins.items()}


def _ranked(values: Values, weight: Values) -> Values:
    """Weight of the lower values, and half of that of equal ones: ranks less 1/2 if all weigh 1."""
    _, place = np.unique(values, return_inverse=True)
    of_value = np.bincount(place, weight)
    ranks: Values = (np.cumsum(of_value) - of_value / 2)[place]
    return ranks


def _with_p(statistics: Statistics, measure: str, resamples: bootstrap.Resamples) -> Statistics:
    """Add p-values of the plan's hypotheses about a measure, whose name may be empty."""
    p_values = bootstrap.p_values(np.stack([*statistics.values()]), resamples.n_groups)
    planned = {
        f"{name}_p": np.array([p])
        for name, p in zip(statistics, p_values, strict=True)
        if measure in PLAN[name]
    }
    return statistics | planned
