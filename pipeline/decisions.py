"""Corrections chosen for their expected gain and their cost, and the value of such choices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from pipeline.heads.kinds import HEAD_KINDS
from pipeline.proposals import Values
from pipeline.scoring.bootstrap import Resamples, interval, ranked, resampled_means
from pipeline.scoring.scores import Interval, Keys, Score
from pipeline.scoring.tasks import JudgedMasks

COSTS: Final = (0.02, 0.05, 0.08, 0.12)
"""Costs of a correction, in IoU."""

GAIN_MEASURES: Final = {"prompt": "delta_xp_star", "model": "delta_theta_star"}
"""Measures that predict the gain of a correction, as heads learned it."""


def choose(
    gains: Float[np.ndarray, "object choice"], costs: Float[np.ndarray, "choice"]
) -> Int[np.ndarray, "object"]:
    """The choice of each object that is expected to gain most beyond its cost.

    Of those that tie, the first.

    >>> choose(np.array([[0, 0.2, 0.3]]), np.array([0, 0.05, 0.2])).tolist()
    [1]
    """
    chosen: Int[np.ndarray, "object"] = (gains - costs).argmax(axis=1)
    return chosen


@dataclass(frozen=True)
class Mean:
    """Mean over objects, and its interval over the images."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Decisions:
    """True gain of every choice for each object, less its cost."""

    net: Float[np.ndarray, "object choice"]

    @property
    def best_fixed(self) -> Values:
        """Net gain of the choice that is the best for all objects together."""
        best: Values = self.net[:, self.net.mean(axis=0).argmax()]
        return best

    def chosen(self, numbers: Int[np.ndarray, "object"]) -> Values:
        """Net gain of one choice of each object."""
        net: Values = self.net[np.arange(len(self.net)), numbers]
        return net

    def by_score(self, score: Values) -> Values:
        """Net gain of one correction of all objects below a score, both chosen in hindsight.

        The other objects are kept. No other threshold and correction net more on these objects; a
        rule with several corrections or thresholds may.
        """
        order, is_last = ranked(score)
        sums = np.cumsum(self.net[order], axis=0)[is_last]
        sums = np.concatenate([np.zeros((1, sums.shape[1])), sums])
        n_below, correction = np.unravel_index(sums.argmax(), sums.shape)
        highest = np.append(-np.inf, score[order][is_last])[n_below]
        by_score: Values = np.where(score <= highest, self.net[:, correction], 0.0)
        return by_score

    def scores(self, keys: Keys, net: Values, resamples: Resamples) -> Iterator[Score]:
        """Regret and margin of a way to choose, in IoU per object.

        ``regret``: the loss to the best choice in hindsight, made for each object anew;
        ``fixed_margin``: the gain over the best fixed choice, made once for all objects.

        Parameters
        ----------
        net
            Net gain of the way to choose for every object.
        """
        differences = {
            "regret": self.net.max(axis=1) - net,
            "fixed_margin": net - self.best_fixed,
        }
        for statistic, values in differences.items():
            mean_value = mean(values, resamples)
            yield Score(keys, statistic, mean_value.value, mean_value.interval)


def mean(values: Values, resamples: Resamples) -> Mean:
    """Mean of a value of each object."""
    resampled = resampled_means(values[:, np.newaxis], resamples)
    return Mean(float(values.mean()), interval(resampled[:, 0], resamples.n_groups))


def decision_scores(masks: Sequence[JudgedMasks], resamples: Resamples) -> Iterator[Score]:
    """Regret and margin of each way to choose, at each cost of a correction.

    Parameters
    ----------
    masks
        Each protocol's own, of models from small to large. The smallest model answers; the choices
        are to keep its mask, to click again and, with two models or more, to ask the largest.
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
                yield from decisions.scores(keys, net, resamples)


def _gains(smallest: JudgedMasks, larger: Sequence[JudgedMasks]) -> dict[str, Values]:
    """True gain of each choice."""
    refined = smallest.scores.proposals.judged_refined_iou(smallest.judged)
    corrected = {"keep": smallest.iou, "prompt": refined.astype(np.float64)}
    if larger:
        corrected["model"] = larger[-1].iou
    return {choice: iou - smallest.iou for choice, iou in corrected.items()}


def _predicted_gains(
    smallest: JudgedMasks, choices: Sequence[str]
) -> dict[tuple[str, str], Float[np.ndarray, "object choice"]]:
    """Gains that heads expect of each choice, by train split and kind of heads."""
    measures = smallest.measures
    train_splits = dict.fromkeys(train_split for train_split, _ in measures if train_split)
    predicted = {}
    for train_split, kind in product(train_splits, HEAD_KINDS):
        names = [kind.named(GAIN_MEASURES[choice]) for choice in choices[1:]]
        if (train_split, names[0]) in measures:  # heads of this kind were trained
            gains = [measures[train_split, name] for name in names]
            # To keep a mask gains nothing.
            keep = np.zeros_like(gains[0])
            predicted[train_split, kind.named("gaps_star")] = np.stack([keep, *gains], axis=1)
    return predicted
