"""Chooses a correction for each object by expected gain and cost, and scores the choices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from pipeline.heads.kinds import HEAD_KINDS
from pipeline.proposals import Values
from pipeline.scoring.bootstrap import Measured, Resampled, Resamples, ranked, resampled_means
from pipeline.scoring.scores import Keys, Statistic
from pipeline.scoring.tasks import JudgedMasks

COSTS: Final = (0.02, 0.05, 0.08, 0.12)
"""Costs of a correction, in IoU."""

DECISIONS: Final = (
    Statistic(
        "regret",
        "regret",
        "mean IoU, costs deducted, that a way to choose loses to the best choice of each object",
        better="low",
    ),
    Statistic(
        "fixed_margin",
        "margin over fixed",
        "mean IoU, costs deducted, that a way to choose gains over the best choice for all alike",
    ),
)

GAIN_MEASURES: Final = {"prompt": "delta_xp_star", "model": "delta_theta_star"}
"""For each correction, the measure by which heads predict its gain in IoU."""


def choose(
    gains: Float[np.ndarray, "object choice"], costs: Float[np.ndarray, "choice"]
) -> Int[np.ndarray, "object"]:
    """For each object, the index of the choice with the highest expected gain less its cost.

    Among equal choices, the first.

    >>> choose(np.array([[0, 0.2, 0.3]]), np.array([0, 0.05, 0.2])).tolist()
    [1]
    """
    chosen: Int[np.ndarray, "object"] = (gains - costs).argmax(axis=1)
    return chosen


@dataclass(frozen=True)
class Decisions:
    """True gain in IoU of every choice for each object, less the cost of the choice."""

    net: Float[np.ndarray, "object choice"]

    @property
    def best_fixed(self) -> Values:
        """Net gain of every object if all objects get the one choice with the highest mean."""
        best: Values = self.net[:, self.net.mean(axis=0).argmax()]
        return best

    def chosen(self, numbers: Int[np.ndarray, "object"]) -> Values:
        """Net gain of every object under its own choice, given as the choice's index."""
        net: Values = self.net[np.arange(len(self.net)), numbers]
        return net

    def by_score(self, score: Values) -> Values:
        """Net gain of every object under the best rule of one correction and one threshold.

        The rule corrects the objects whose score is at most the threshold, and keeps the masks of
        the others. Correction and threshold are chosen in hindsight: no other pair gains more on
        these objects. A rule with several corrections or thresholds may gain more.
        """
        order, is_last = ranked(score)
        sums = np.cumsum(self.net[order], axis=0)[is_last]
        sums = np.concatenate([np.zeros((1, sums.shape[1])), sums])
        n_below, correction = np.unravel_index(sums.argmax(), sums.shape)
        highest = np.append(-np.inf, score[order][is_last])[n_below]
        by_score: Values = np.where(score <= highest, self.net[:, correction], 0.0)
        return by_score

    def statistics(self, net: Values, resamples: Resamples) -> dict[str, Resampled]:
        """Statistics ``regret`` and ``fixed_margin``, in IoU, of a rule for each object.

        ``regret`` is the mean loss to the best choice of each object in hindsight; ``fixed_margin``
        is the mean gain over ``best_fixed``. ``net`` is the net gain of every object under the
        rule.
        """
        values = {"regret": self.net.max(axis=1) - net, "fixed_margin": net - self.best_fixed}
        means = resampled_means(np.stack(list(values.values()), axis=1), resamples).T
        return dict(zip(values, means, strict=True))


def decision_scores(masks: Sequence[JudgedMasks], resamples: Resamples) -> Iterator[Measured]:
    """Yield regret and margin of every rule that chooses a correction, at each of ``COSTS``.

    The rules are each choice for all objects alike, ``sam_score`` by a threshold, and, for each
    train split and kind of heads, the highest gain that the heads expect (``gaps_star``).

    Parameters
    ----------
    masks
        The judged masks, grouped by protocol, the models of a protocol from small to large; one
        judged proposal per protocol, as in ``own_masks``. The smallest model answers. The choices
        are to keep its mask, to click again and, with two models or more, to ask the largest model.
    """
    for protocol, of_protocol in groupby(masks, key=lambda judged: judged.protocol):
        smallest, *larger = of_protocol
        gains = _gains(smallest, larger)
        predicted = _predicted_gains(smallest, list(gains))
        sam_score = smallest.scores.proposals.judged_sam_score(protocol)
        for cost in COSTS:
            costs = np.array([0.0 if choice == "keep" else cost for choice in gains])
            decisions = Decisions(np.stack(list(gains.values()), axis=1) - costs)
            nets = {("", choice): decisions.net[:, i] for i, choice in enumerate(gains)}
            nets["", "sam_score"] = decisions.by_score(sam_score)
            nets |= {
                key: decisions.chosen(choose(expected, costs))
                for key, expected in predicted.items()
            }
            for (train_split, choice), net in nets.items():
                keys = Keys(protocol=protocol, train_split=train_split, choice=choice, cost=cost)
                yield keys, decisions.statistics(net, resamples)


def _gains(smallest: JudgedMasks, larger: Sequence[JudgedMasks]) -> dict[str, Values]:
    """True gain in IoU of every object over the smallest model's mask, by choice.

    The choices are ``keep``, ``prompt`` (click again) and, if there are larger models, ``model``
    (ask the largest).
    """
    refined = smallest.scores.proposals.judged_refined_iou(smallest.judged)
    corrected = {"keep": smallest.iou, "prompt": refined.astype(np.float64)}
    if larger:
        corrected["model"] = larger[-1].iou
    return {choice: iou - smallest.iou for choice, iou in corrected.items()}


def _predicted_gains(
    smallest: JudgedMasks, choices: Sequence[str]
) -> dict[tuple[str, str], Float[np.ndarray, "object choice"]]:
    """Gain in IoU that heads expect from each choice, by train split and name of the rule.

    ``choices`` begins with ``keep``, which gains 0. Kinds of heads without training are left out.
    """
    measures = smallest.measures
    train_splits = dict.fromkeys(train_split for train_split, _ in measures if train_split)
    predicted = {}
    for train_split, kind in product(train_splits, HEAD_KINDS):
        names = [kind.named(GAIN_MEASURES[choice]) for choice in choices[1:]]
        if (train_split, names[0]) in measures:  # heads of this kind were trained
            gains = [measures[train_split, name] for name in names]
            keep = np.zeros_like(gains[0])
            predicted[train_split, kind.named("gaps_star")] = np.stack([keep, *gains], axis=1)
    return predicted
