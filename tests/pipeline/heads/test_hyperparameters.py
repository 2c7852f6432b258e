"""Hyperparameters that rule out training are refused, and trials have an order."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.heads.kinds import Hyperparameters

PLAN = Hyperparameters(epochs=5, batch_size=16, learning_rate=0.01, momentum=0.9)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": -3}, "batch_size must be at least 1, got -3"),
        ({"learning_rate": 0.0}, r"learning_rate must be positive, got 0\.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1\.0"),
    ],
)
def test_value_that_cannot_train_is_refused(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        replace(PLAN, **change)


@pytest.mark.parametrize(
    "change", [{"epochs": 1}, {"batch_size": 1}, {"learning_rate": 1e-12}, {"momentum": 0.0}]
)
def test_values_at_the_limits_are_taken(change: dict[str, Any]) -> None:
    ((name, value),) = change.items()
    assert getattr(replace(PLAN, **change), name) == value
