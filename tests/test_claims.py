"""No sentence about the results outlives the interval that it came from."""

from typing import Any

import pytest

from docs.claims import COUNTS, SUBJECTS, claims, verdict
from pipeline.vocabulary import TASKS


def row(measure: str, low: float, high: float, task: str = "prompt") -> dict[Any, Any]:
    return {
        "task": task,
        "measure": measure,
        "margin": (low + high) / 2,
        "margin_low": low,
        "margin_high": high,
    }


def test_every_task_has_its_claim() -> None:
    assert tuple(SUBJECTS) == TASKS


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 5, "better"),
        (0, 5, "no better"),
        (-5, 5, "no better"),
        (-5, 0, "no better"),
        (-5, -0.1, "worse"),
        (float("nan"), float("nan"), "no better"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(low: float, high: float, said: str) -> None:
    assert verdict(row("h_xp", low, high)) == said


def test_a_flipped_interval_changes_its_sentences() -> None:
    heads, lines = zip(
        *(claims([row("delta_xp", *ends)]).split("\n\n") for ends in ((1, 5), (-1, 5), (-5, -1))),
        strict=True,
    )
    lead = "Of the measures of the heads `paper`, one in all,"
    none = "none beats 1 − SamScore of the same mask"
    assert heads == (
        f"{lead} one beats 1 − SamScore of the same mask.",
        f"{lead} {none} and one does not clearly differ from it.",
        f"{lead} {none} and one falls short of it.",
    )
    assert lines == tuple(
        f"- {SUBJECTS['prompt']}: Δ_Xp {verb} 1 − SamScore of the same mask."
        for verb in ("beats", "does not clearly differ from", "falls short of")
    )


def test_a_line_groups_all_measures_of_its_task_by_verdict() -> None:
    rows = [row("h_std", 1, 5), row("h_y", -9, -2), row("h_xp", 2, 6), row("h_std", -9, 1, "model")]
    baseline = "1 − SamScore of the same mask"
    assert claims(rows).splitlines() == [
        f"- {SUBJECTS['model']}: H_Std does not clearly differ from {baseline}.",
        f"- {SUBJECTS['prompt']}: H_Std and H_Xp beat {baseline}; H_Y falls short of it.",
    ]


def test_counts_are_in_words_as_far_as_there_are_words() -> None:
    n_heads = len(COUNTS)
    said = claims([row(f"delta_xp@split{i}", 1, 2) for i in range(n_heads)])
    lead = f"Of the measures of the heads `paper`, {n_heads} in all,"
    assert said.startswith(f"{lead} {n_heads} beat 1 − SamScore")


def test_each_kind_of_heads_has_its_sentence_and_a_name_without_a_comma() -> None:
    rows = [row("delta_xp", -5, -1), row("delta_xp_ours", 1, 5), row("delta_xp_star_ours", 2, 5)]
    baseline = "1 − SamScore of the same mask"
    heads, tasks = claims(rows).split("\n\n")
    assert heads == (
        f"Of the measures of the heads `paper`, one in all, none beats {baseline} and one falls "
        f"short of it. Of the measures of the heads `ours`, two in all, two beat {baseline}."
    )
    assert tasks == (
        f"- {SUBJECTS['prompt']}: Δ_Xp of ours and Δ\\*_Xp of ours beat {baseline}; Δ_Xp falls "
        "short of it."
    )
