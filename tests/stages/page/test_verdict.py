"""What the results say: each word follows from an interval, and from how many are compared."""

import re
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from pipeline.scoring.measures import TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.vocabulary import PROTOCOLS, TASKS
from stages.page.verdict import (
    BASELINE_LABEL,
    LINES,
    SUBJECTS,
    USED,
    comparisons,
    holm,
    is_repeated,
    sentences,
    verdict_table,
)
from stages.tables.report_table import Results
from tests.fixtures.eval_split import SPLITS

SPLIT = SPLITS[0]
NUMBERS = ["value", "low", "high"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_as_its_adjusted_p_values_say(p_values: list[float]) -> None:
    in_order = sorted(p_values)
    n = len(in_order)
    adjusted = np.maximum.accumulate([p * (n - k) for k, p in enumerate(in_order)])
    by_value = dict(zip(in_order[::-1], adjusted[::-1], strict=True))
    assert holm(p_values, 0.05) == [bool(by_value[p] <= 0.05) for p in p_values]


def said_of(
    results: Results,
    margin: tuple[float, float, float],
    measure: str = "h_xp",
    task: str = "prompt",
) -> tuple[str, str, bool]:
    """Verdict and sentence if one measure has this margin and no other differs from 0."""
    found = results[SPLIT]
    scores = found.scores.copy()
    scores.loc[scores["statistic"] == "margin", NUMBERS] = (0.0, -0.1, 0.1)
    scores.loc[scores["statistic"] == "margin_p", "value"] = 1.0
    keys = scores["protocol"] + scores["task"] + scores["measure"]
    is_it = keys == f"selected{task}{measure}"
    scores.loc[is_it & (scores["statistic"] == "margin"), NUMBERS] = margin
    scores.loc[is_it & (scores["statistic"] == "relative"), "value"] = 0.9
    # A p-value as of a margin that is normal with the interval's width.
    value, low, high = margin
    p = 2 * norm.sf(abs(value) / ((high - low) / 3.92))
    scores.loc[is_it & (scores["statistic"] == "margin_p"), "value"] = p
    rows = comparisons({SPLIT: replace(found, scores=scores)}, SPLIT)
    own = rows[(rows["protocol"] == "selected") & (rows["task"] == task)].set_index("measure")
    shown = verdict_table(rows).set_index("label")
    marked = shown[f"{task}_better"]["H_Θ, H_Xp, H_A, H_T"]
    return own["verdict"][measure], sentences(rows, 9)[SUBJECTS[task]], bool(marked)


def test_a_margin_is_sure_only_among_all_that_are_compared(results: Results) -> None:
    sure, narrow = (
        said_of(results, (0.2, 0.1, 0.3)),
        said_of(results, (0.2, 0.01, 0.4)),
    )
    assert sure == (
        "better",
        "H_Xp beats 1 − SamScore by 20.0 points (10.0 to 30.0) of relative AUC.",
        True,
    )
    # Alone it would be sure, among some eighty it is not.
    highest = "the highest, H_Xp, differs by 20.0 points (1.0 to 40.0)"
    assert narrow[::2] == ("no better", False)
    assert re.fullmatch(
        rf"nothing surely beats {BASELINE_LABEL}; {re.escape(highest)}, an interval without 0, as "
        r"chance gives some of \d+\.",
        narrow[1],
    )
    assert said_of(results, (-0.2, -0.3, -0.1))[0] == "worse"


def test_what_takes_the_large_models_answer_is_told_apart(results: Results) -> None:
    verdict, said, is_marked = said_of(results, (0.2, 0.1, 0.3), "sam_score_gain", "model")
    assert (verdict, is_marked) == ("better", False)
    both = "; once both models ran, SamScore_L − SamScore does by 20.0 points (10.0 to 30.0)."
    assert said.startswith(f"nothing surely beats {BASELINE_LABEL}; ")
    assert said.endswith(both)


def test_the_last_sentence_counts_all_comparisons(results: Results) -> None:
    rows = comparisons(results, SPLIT)
    compared = rows[~is_repeated(rows)].dropna(subset=["verdict"])
    *_, last = sentences(rows, 9).values()
    better, worse = (sum(compared["verdict"] == name) for name in ("better", "worse"))
    assert last.startswith(f"of {len(compared)} comparisons on 9 images")
    assert f" {better} are sure gains, {worse} sure losses" in last
    assert set(rows["protocol"]) == set(PROTOCOLS)
    # Measures without heads stand in both protocols of "task" with the same numbers.
    is_of_both = is_repeated(rows)
    numbers = ["task", "measure", "relative", "margin", "verdict"]
    used = rows.loc[rows["protocol"] == USED, numbers].to_numpy().tolist()
    assert all(row in used for row in rows.loc[is_of_both, numbers].to_numpy().tolist())
    assert is_of_both.sum() == len(set(TASK_MEASURES["task"]) & set(UNTRAINED_MEASURES)) - 1


def test_the_table_has_a_number_of_each_task_in_each_line(results: Results) -> None:
    rows = comparisons(results, SPLIT)
    shown = verdict_table(rows)
    assert shown["label"].tolist() == [line.label for line in LINES]
    own = rows[(rows["protocol"] == "selected")].set_index(["task", "measure"])["relative"]
    for line, row in zip(LINES, shown.to_dict("records"), strict=True):
        for task in TASKS:
            assert row[task].startswith(f"{own[task, line.measures[task]]:.1f}".replace("-", "−"))
