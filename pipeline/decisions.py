"""Corrections chosen for their expected gain and their cost, and what the choices are worth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pipeline.result_rows import Interval
from pipeline.scoring.bootstrap import Resamples, interval, ranked, resampled_means


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
    """What every choice truly gains for each object, less its cost."""

    net: Float[np.ndarray, "object choice"]

    @property
    def best_fixed(self) -> Float[np.ndarray, "object"]:
        """What the choice nets that is the best for all objects together."""
        best: Float[np.ndarray, "object"] = self.net[:, self.net.mean(axis=0).argmax()]
        return best

    def chosen(self, numbers: Int[np.ndarray, "object"]) -> Float[np.ndarray, "object"]:
        """What one choice of each object nets."""
        taken: Float[np.ndarray, "object"] = self.net[np.arange(len(self.net)), numbers]
        return taken

    def by_score(self, score: Float[np.ndarray, "object"]) -> Float[np.ndarray, "object"]:
        """What one correction of all objects below a score nets, both chosen in hindsight.

        The others are kept. Without the truth, no rule by the score can do better.
        """
        order, is_last = ranked(score)
        sums = np.cumsum(self.net[order], axis=0)[is_last]
        sums = np.concatenate([np.zeros((1, sums.shape[1])), sums])
        n_below, correction = np.unravel_index(sums.argmax(), sums.shape)
        highest = np.append(-np.inf, score[order][is_last])[n_below]
        by_score: Float[np.ndarray, "object"] = np.where(
            score <= highest, self.net[:, correction], 0.0
        )
        return by_score

    def worth(
        self, ways: Mapping[str, Float[np.ndarray, "object"]], resamples: Resamples
    ) -> dict[str, dict[str, Mean]]:
        """What some ways to choose net, in IoU per object, by their names.

        ``regret``, how far a way falls short of the best choice in hindsight, made for each object
        anew; ``margin``, how far it lies above the best fixed choice, made once for all objects.

        Parameters
        ----------
        ways
            What each nets for every object.
        """
        hindsight, fixed = self.net.max(axis=1), self.best_fixed
        return {
            name: {
                "regret": mean(hindsight - net, resamples),
                "margin": mean(net - fixed, resamples),
            }
            for name, net in ways.items()
        }


def mean(values: Float[np.ndarray, "object"], resamples: Resamples) -> Mean:
    """Mean of a value of each object."""
    resampled = resampled_means(values[:, np.newaxis], resamples)
    return Mean(float(values.mean()), interval(resampled[:, 0]))
