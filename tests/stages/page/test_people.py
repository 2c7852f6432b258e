"""Verdicts on the plan about people's segments."""

from itertools import chain
from typing import Any

import pandas as pd
import pytest

from stages.page.people import plan_table, verdicts

HEADS = "a_train"
Rows = list[dict[str, Any]]


def score(statistic: str, value: float, spread: float, p: float, **keys: object) -> Rows:
    """Rows of a statistic and of its p-value."""
    about = {"train_split": "", "seed": None, "model": "tiny", "measure": "", **keys}
    bounds = {"value": value, "low": value - spread, "high": value + spread}
    return [
        {**about, "statistic": statistic, **bounds},
        {**about, "statistic": f"{statistic}_p", "value": p, "low": None, "high": None},
    ]


def verdict_of(*rows: Rows) -> list[str]:
    return verdicts(pd.DataFrame([*chain(*rows)]), HEADS)["verdict"].tolist()


@pytest.mark.parametrize(
    ("value", "spread", "p", "verdict"),
    [
        (0.2, 0.1, 0.001, "repeated"),
        (-0.2, 0.1, 0.001, "reversed"),
        (0.2, 0.3, 0.001, "cannot tell"),
        (0.2, 0.1, 0.06, "cannot tell"),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_and_a_small_p_value(
    value: float, spread: float, p: float, verdict: str
) -> None:
    assert verdict_of(score("people_rise", value, spread, p)) == [verdict]


def test_holms_procedure_takes_all_tests_together() -> None:
    two = [score("people_rise", 0.2, 0.1, 0.03, model=model) for model in ("tiny", "large")]
    assert verdict_of(two[0]) == ["repeated"]
    assert verdict_of(*two) == ["cannot tell", "cannot tell"]


def test_heads_of_every_seed_must_agree() -> None:
    of_heads = {"train_split": HEADS, "measure": "usam_ours"}
    first = score("truth_margin_hand", 0.2, 0.1, 0.001, **of_heads)
    for value, p in ((0.05, 0.001), (0.2, 0.06)):
        second = score("truth_margin_hand", value, 0.1, p, **of_heads, seed=1)
        assert verdict_of(first) == ["repeated"]
        assert verdict_of(first, second) == ["cannot tell"]


def test_other_heads_and_measures_outside_the_plan_are_not_tested() -> None:
    others = score("truth_margin_hand", 0.2, 0.1, 0.001, train_split="b", measure="usam_ours")
    outside = score("people_rank", 0.2, 0.1, 0.001, measure="h_std")
    inside = score("people_rank", 0.2, 0.1, 0.001, measure="h_a")
    rows = verdicts(pd.DataFrame([*others, *outside, *inside]), HEADS)
    assert rows["measure"].tolist() == ["h_a"]
    (row,) = plan_table(rows)
    assert row["tests"]["tiny"]["verdict"] == "repeated"
