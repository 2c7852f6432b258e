"""What the results say: each word follows from an interval, and from how many are compared."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from pipeline.scoring.measures import KNOWS_TRUTH, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.vocabulary import PROTOCOLS, USED
from stages.page.labels import measure_label
from stages.page.verdict import (
    BASELINE_LABEL,
    LINES,
    PAPER_LINE,
    PAPER_SUBJECT,
    RADAR_MEASURES,
    SUBJECTS,
    comparisons,
    holm,
    is_repeated,
    sentences,
    undecided,
    verdict_table,
)
from stages.tables.report_table import Results, of_protocol
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS
from tests.fixtures.scores import made

SPLIT = SPLITS[0]
FIRST_HEADS = ["", TRAIN_SPLITS[0]]
Margin = tuple[float, float, float]
"""A margin and the ends of its interval."""

OF_TINY = "for masks of tiny, "
NOTHING_SURE = f"{OF_TINY}no measure here surely beats {BASELINE_LABEL}; "

NUMBERS = ["value", "low", "high"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_as_its_adjusted_p_values_say(p_values: list[float]) -> None:
    in_order = sorted(p_values)
    n = len(in_order)
    adjusted = np.maximum.accumulate([p * (n - k) for k, p in enumerate(in_order)])
    by_value = dict(zip(in_order[::-1], adjusted[::-1], strict=True))
    assert holm(p_values, 0.05) == [bool(by_value[p] <= 0.05) for p in p_values]


def changed_scores(
    scores: pd.DataFrame, measure: str, task: str, margin: Margin, p: float
) -> pd.DataFrame:
    """Scores in which one measure of a task has this margin and p-value, and no other differs."""
    scores = scores.copy()
    scores.loc[scores["statistic"] == "margin", NUMBERS] = (0.0, -0.1, 0.1)
    scores.loc[scores["statistic"] == "margin_p", "value"] = 1.0
    keys = scores["protocol"] + scores["task"] + scores["measure"]
    is_changed = (keys == f"selected{task}{measure}") & scores["train_split"].isin(FIRST_HEADS)
    scores.loc[is_changed & (scores["statistic"] == "margin"), NUMBERS] = margin
    scores.loc[is_changed & (scores["statistic"] == "relative"), "value"] = 0.9
    scores.loc[is_changed & (scores["statistic"] == "margin_p"), "value"] = p
    return scores


def said_of(
    results: Results,
    margin: Margin,
    measure: str = "h_xp",
    task: str = "prompt",
) -> tuple[str, str, bool]:
    """Verdict and sentence if one measure has this margin and no other differs from 0."""
    # A p-value as of a margin that is normal with the interval's width.
    value, low, high = margin
    p = 2 * norm.sf(abs(value) / ((high - low) / 3.92))
    scores = changed_scores(results[SPLIT].scores, measure, task, margin, p)
    rows = comparisons({SPLIT: replace(results[SPLIT], scores=scores)}, SPLIT)
    own = rows[(rows["protocol"] == "selected") & (rows["task"] == task)].set_index("measure")
    shown = verdict_table(rows).set_index("label")
    marked = shown[f"{task}_better"]["H_Θ, H_Xp, H_A, H_T"]
    return own["verdict"][measure], sentences(rows, 9)[SUBJECTS[task]], bool(marked)


def test_a_margin_is_sure_only_among_all_that_are_compared(results: Results) -> None:
    sure, narrow = (
        said_of(results, (0.2, 0.1, 0.3)),
        said_of(results, (0.2, 0.01, 0.4)),
    )
    highest = "H_Xp, the highest of 6 here, "
    assert sure == (
        "better",
        f"{OF_TINY}{highest}beats {BASELINE_LABEL} by 20.0 points (10.0 to 30.0) of relative AUC.",
        True,
    )
    # Alone it would be sure, among some eighty it is not.
    differs = f"{highest}differs by 20.0 points (1.0 to 40.0)"
    assert narrow[::2] == ("no better", False)
    assert re.fullmatch(
        rf"{NOTHING_SURE}{re.escape(differs)}, an interval without 0, as "
        r"chance gives some of \d+\.",
        narrow[1],
    )
    assert said_of(results, (-0.2, -0.3, -0.1))[0] == "worse"


NOT_CONFIRMED = ", which heads of another training seed do not confirm."


@pytest.mark.parametrize(
    ("of_seeds", "verdict", "end"),
    [
        ([], "better", "of relative AUC."),
        ([((0.25, 0.2, 0.3), 1e-9)], "better", "of relative AUC."),
        ([((0.25, 0.2, 0.3), 1e-9), ((0.1, -0.05, 0.25), 1e-9)], "no better", NOT_CONFIRMED),
        ([((0.25, 0.2, 0.3), 0.3)], "no better", "an interval without 0, as chance gives some of "),
    ],
)
def test_a_verdict_holds_for_the_heads_of_each_training_seed(
    of_seeds: list[tuple[Margin, float]], verdict: str, end: str, results: Results
) -> None:
    first = changed_scores(results[SPLIT].scores, "delta_xp_star", "prompt", (0.2, 0.1, 0.3), 1e-9)
    of_head = first[first["measure"] == "delta_xp_star"]
    further = [
        changed_scores(of_head, "delta_xp_star", "prompt", margin, p).assign(seed=float(seed))
        for seed, (margin, p) in enumerate(of_seeds, start=1)
    ]
    scores = pd.concat([first, *further], ignore_index=True)
    rows = comparisons({SPLIT: replace(results[SPLIT], scores=scores)}, SPLIT)
    (row,) = rows.query(OF_HEAD).to_dict("records")
    assert row["verdict"] == verdict
    assert row["margin"] == pytest.approx(20)
    assert end in sentences(rows, 9)[SUBJECTS["prompt"]]
    # Tables show the first seed alone.
    shown, expected = (
        made("{task}", of_protocol({SPLIT: replace(results[SPLIT], scores=rows)}, USED), "prompt")
        for rows in (scores, first)
    )
    pd.testing.assert_frame_equal(shown, expected)


OF_HEAD = "protocol == 'selected' and task == 'prompt' and measure == 'delta_xp_star'"


@pytest.mark.parametrize(("sign", "verdict"), [(1, "better"), (-1, "no better")])
def test_a_winner_is_chosen_on_one_split_and_measured_on_another(
    sign: int, verdict: str, results: Results
) -> None:
    measured = changed_scores(
        results[SPLIT].scores, "delta_xp_star", "prompt", (0.2, 0.1, 0.3), 1e-9
    )
    choosing = changed_scores(
        results[SPLIT].scores, "delta_xp_star", "prompt", (0.1 * sign, -1.0, 1.0), 1.0
    )
    both = {
        "further": replace(results[SPLIT], scores=measured),
        SPLIT: replace(results[SPLIT], scores=choosing),
    }
    rows = comparisons(both, "further", SPLIT)
    (row,) = rows.query(OF_HEAD).to_dict("records")
    assert row["verdict"] == verdict
    said = sentences(rows, 9)[SUBJECTS["prompt"]]
    of_heads = f"a head as in the paper (Δ*_Xp), chosen on {SPLIT}"
    assert said.startswith(
        {
            1: f"{OF_TINY}{of_heads}, beats {BASELINE_LABEL} by 20.0 points (10.0 to 30.0)",
            -1: f"{NOTHING_SURE}{of_heads}, differs by 20.0 "
            f"points (10.0 to 30.0), with the other sign on {SPLIT}",
        }[sign]
    )
    if sign > 0:
        others = changed_scores(results[SPLIT].scores, "h_xp", "prompt", (0.1, -1.0, 1.0), 1.0)
        of_delta = (others["measure"] == "delta_xp_star") & (others["statistic"] == "margin")
        others.loc[of_delta, "value"] = 0.05
        rows = comparisons(both | {SPLIT: replace(results[SPLIT], scores=others)}, "further", SPLIT)
        said = sentences(rows, 9)[SUBJECTS["prompt"]]
        assert said.startswith(
            f"{OF_TINY}H_Xp, chosen on {SPLIT}, does not surely beat {BASELINE_LABEL}, "
        )
        assert said.endswith("; 1 other does.")
    assert "highest of" in sentences(comparisons(both, SPLIT, SPLIT), 9)[SUBJECTS["prompt"]]


def test_the_paper_s_heads_are_told_of_in_both_protocols(results: Results) -> None:
    rows = comparisons(results, SPLIT)
    of_heads = rows["measure"] == rows["task"].map(RADAR_MEASURES[PAPER_LINE])
    rows = rows.assign(verdict="no better", margin=0.0)
    is_best = of_heads & (rows["protocol"] == "best")
    rows.loc[is_best, "margin"] = [2.0, -3.0, 1.0, 5.0]
    rows.loc[is_best, "verdict"] = ["no better", "worse", "better", "better"]
    assert sentences(rows, 9)[PAPER_SUBJECT] == (
        f"{OF_TINY[:-2]} (Model, Prompt, Task) and large (Segmentation), they surely beat "
        f"{BASELINE_LABEL} in none of 4 tasks and fall short of it in none; they differ by 0.0 to "
        "0.0 points of relative AUC; in the paper's own protocol, for the best of the three masks, "
        "they surely beat it in 2 of 4 tasks (Task, Segmentation) and fall short of it in 1 "
        "(Prompt); they differ by −3.0 to 5.0 points."
    )


def test_what_takes_the_large_models_answer_is_told_apart(results: Results) -> None:
    verdict, said, is_marked = said_of(results, (0.2, 0.1, 0.3), "sam_score_gain", "model")
    assert (verdict, is_marked) == ("better", False)
    gain = "the rise of the SamScore (SamScore_L − SamScore)"
    both = f"; once both models ran, {gain} does by 20.0 points (10.0 to 30.0)."
    assert said.startswith(NOTHING_SURE)
    assert said.endswith(both)


def test_a_subject_is_open_only_where_no_number_of_the_table_is_marked(results: Results) -> None:
    for measure, task in (("sam_score_gain", "model"), ("h_a", "task"), ("h_y", "prompt")):
        sure = (0.2, 0.1, 0.3)
        scores = changed_scores(results[SPLIT].scores, measure, task, sure, 1e-9)
        rows = comparisons({SPLIT: replace(results[SPLIT], scores=scores)}, SPLIT)
        is_marked = bool(verdict_table(rows)[f"{task}_better"].any())
        assert is_marked == (measure != "h_y")
        assert (SUBJECTS[task] in undecided(rows)) != is_marked
        others = [subject for of, subject in SUBJECTS.items() if of != task]
        assert [subject for subject in undecided(rows) if subject != SUBJECTS[task]] == others


def test_no_sentence_names_a_measure_that_the_table_lacks(results: Results) -> None:
    scores = results[SPLIT].scores.copy()
    in_table = {name for line in LINES for name in line.measures.values()}
    is_shown = scores["measure"].isin(in_table)
    for statistic, numbers in {"margin": (0.2, 0.1, 0.3), "relative": (0.9, 0.8, 1.0)}.items():
        is_of = scores["statistic"] == statistic
        scores.loc[is_of & is_shown, NUMBERS] = 0.0
        scores.loc[is_of & ~is_shown, NUMBERS] = numbers
    scores.loc[scores["statistic"] == "margin_p", "value"] = 1e-9
    rows = comparisons({SPLIT: replace(results[SPLIT], scores=scores)}, SPLIT)
    sure = set(rows.loc[rows["verdict"] == "better", "measure"])
    assert sure
    assert not sure & in_table
    shown = verdict_table(rows)
    said = sentences(rows, 9)
    for task, subject in SUBJECTS.items():
        assert not shown[f"{task}_better"].any()
        found = re.search(
            r"beats 1 − SamScore; (?:a head.*? \()?(.*?)\)?, the highest", said[subject]
        )
        assert found is not None, said[subject]
        labels = {measure_label(line.measures[task]) for line in LINES if task in line.measures}
        assert found[1] in {label.removesuffix(", ours") for label in labels}


def test_the_last_sentence_counts_the_comparisons_of_a_user_s_masks(results: Results) -> None:
    rows = comparisons(results, SPLIT)
    compared = rows[~is_repeated(rows)].dropna(subset=["verdict"])
    *_, last = sentences(rows, 9).values()
    of_users = compared[compared["protocol"] == USED]
    better, worse = (sum(of_users["verdict"] == name) for name in ("better", "worse"))
    assert last.startswith(f"of {len(of_users)} comparisons of a user's masks on 9 images, ")
    assert f" a gain is sure in {better}, a loss in {worse}, neither in " in last
    assert f" together with {len(compared) - len(of_users)} of best masks" in last
    assert set(rows["protocol"]) == set(PROTOCOLS)
    # Measures without heads stand in both protocols of "task" with the same numbers.
    is_of_both = is_repeated(rows)
    numbers = ["task", "measure", "relative", "margin", "verdict"]
    used = rows.loc[rows["protocol"] == USED, numbers].to_numpy().tolist()
    assert all(row in used for row in rows.loc[is_of_both, numbers].to_numpy().tolist())
    untrained = set(TASK_MEASURES["task"]) & set(UNTRAINED_MEASURES)
    # Protocol `best` alone has the measures that know the ground truth, and these have no verdict.
    assert is_of_both.sum() == len(untrained - {*KNOWS_TRUTH, "sam_score_highest"})
    is_told = rows["measure"].str.partition("@")[0].isin(KNOWS_TRUTH)
    assert set(rows.loc[is_told, "protocol"]) == {"best"}
    assert rows.loc[is_told, "verdict"].isna().all()


def test_the_table_has_a_number_of_each_task_in_each_line(results: Results) -> None:
    rows = comparisons(results, SPLIT)
    shown = verdict_table(rows)
    assert shown["label"].tolist() == [line.label for line in LINES]
    own = rows[(rows["protocol"] == "selected")].set_index(["task", "measure"])["relative"]
    for line, row in zip(LINES, shown.to_dict("records"), strict=True):
        for task, measure in line.measures.items():
            assert row[task].startswith(f"{own[task, measure]:.1f}".replace("-", "−"))
