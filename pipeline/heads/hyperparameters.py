"""Hyperparameters of a head, and the ranges that are searched."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

RANGES: Final = {
    "epochs": (5, 80),
    "batch_size": (16, 256),
    "learning_rate": (1e-4, 1e-1),
    "momentum": (0.1, 0.9),
}
"""Search space of the paper's appendix; the learning rate on a log scale."""

WEIGHT_DECAY: Final = 0.001
"""Weight decay of every head; not searched."""


@dataclass(frozen=True)
class Hyperparameters:
    """How one head is trained.

    Raises
    ------
    ValueError
        If a value rules out training (bounds below). Values outside ``RANGES`` are allowed.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")


@dataclass(frozen=True)
class Trial:
    """Hyperparameters that were tried, and the mean squared error that they reached."""

    plan: Hyperparameters
    mse: float


def rank_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Sort trials, best first; ties keep the order in which they were tried."""
    return sorted(trials, key=lambda trial: trial.mse)
