"""Conclusions from the results of a split: at most five sentences, and a table.

Every claim follows from a confidence interval.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from pipeline.scoring.measures import BASELINE, UNTRAINED_MEASURES
from pipeline.scoring.scores import LEVEL
from pipeline.vocabulary import TASKS
from stages.page.labels import NOTHING, measure_label, number, with_bounds
from stages.tables import report_table
from stages.tables.pivot import in_percent, is_shown, pivot, score_rows
from stages.tables.special_tables import RADAR_LINES

USED: Final = "selected"
"""The protocol of users: without ground truth, they cannot know the best proposal."""

SUBJECTS: Final[Mapping[str, str]] = {
    "model": "Where a larger model helps",
    "prompt": "Where more clicks help",
    "task": "Where another proposal is better",
    "segmentation": "How wrong a mask is",
}
"""Beginning of the conclusion about each task: the question that its measures answer."""

BASELINE_LABEL: Final = "1 − SamScore"

AFTERWARDS: Final = ("sam_score_largest", "sam_score_gain", "dice_ends")
"""Measures that need the large model's answer, so they cannot say whether to ask for it."""

Verdict = Literal["better", "no better", "worse"]


@dataclass(frozen=True)
class Line:
    """A row of the table of conclusions: a label, a measure for each task, and their meaning."""

    label: str
    measures: Mapping[str, str]
    meaning: str


RADAR_MEASURES: Final = {line.name: line.measures for line in RADAR_LINES}
"""Measure for each task, by the name of the line of the radar."""

LINES: Final = (
    Line(BASELINE_LABEL, dict.fromkeys(TASKS, BASELINE), "the model's own score of the mask"),
    Line(
        "1 − SamScore × stability",
        dict.fromkeys(TASKS, "stable_score"),
        "the same, times the IoU of the mask cut a little higher and lower",
    ),
    Line("H_Std", dict.fromkeys(TASKS, "h_std"), "how unsure the mask's own pixels are: entropy"),
    Line(
        "1 − SDC",
        dict.fromkeys(TASKS, "soft_dice"),
        "the same: Dice of the soft mask with the thresholded one",
    ),
    Line(
        "H_Θ, H_Xp, H_A, H_T",
        {"model": "h_theta", "prompt": "h_xp", "task": "h_a", "segmentation": "h_t"},
        "entropy over the models, eight clicks, three proposals or the views",
    ),
    Line(
        "heads, paper",
        RADAR_MEASURES["gaps_star"],
        "Δ* or 1 − USAM: small networks that read the model's tokens, as the paper's",
    ),
    Line(
        "heads, ours",
        RADAR_MEASURES["gaps_star_ours"],
        "the same, by networks that also read figures of the mask",
    ),
)
"""Rows of the table: measures without extra cost, measures from more predictions, and heads."""


def lines_of(tasks: Collection[str]) -> tuple[Line, ...]:
    """Rows of the table for the tasks; without ``model``, labels do not name its measures."""
    if "model" in tasks:
        return LINES
    return tuple(
        replace(
            line,
            label=line.label.replace("H_Θ, ", ""),
            meaning=line.meaning.replace("the models, ", ""),
        )
        for line in LINES
    )


OF_LINES: Final = {
    task: tuple(line.measures[task] for line in LINES if task in line.measures) for task in TASKS
}
"""Measures of ``LINES`` for each task."""


def comparisons(results: report_table.Results, split: str) -> pd.DataFrame:
    """Compare the relative AUC of each measure with 1 - SamScore's on a split, in both protocols.

    Returns
    -------
    ``protocol``, ``task``, ``measure`` (``measure_name``), ``relative`` and ``margin`` in percent
    with their bounds, and ``verdict``: ``better`` or ``worse`` where the interval of the margin
    lies on one side of 0 and Holm's procedure rejects that it is 0. The baseline's verdict is NaN.

    Notes
    -----
    All comparisons are one family of tests (Holm 1979). In the task ``task``, a measure without
    heads has the same numbers in both protocols: its two rows count as one comparison and have the
    same verdict.
    """
    scores = score_rows({split: results[split]}, ["relative", "margin", "margin_p"])
    scores = in_percent(scores[is_shown(scores)])
    first = report_table.first_train_split(results[split])
    scores = scores.assign(measure=report_table.measure_names(scores, first))
    rows = pivot(scores, ["protocol", "task", "measure"], "statistic")
    compared = rows[(rows["measure"] != BASELINE) & ~is_repeated(rows)]
    ends = compared[["margin_low", "margin_high"]].to_numpy(float).tolist()
    verdicts = list(map(_verdict, ends, holm(compared["margin_p"].fillna(1).tolist())))
    by_key = dict(zip(map(_verdict_key, compared.to_dict("records")), verdicts, strict=True))
    rows["verdict"] = [by_key.get(_verdict_key(row)) for row in rows.to_dict("records")]
    return rows


def is_repeated(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each row repeats a comparison of the users' protocol, and so is not counted."""
    is_untrained = rows["measure"].isin(UNTRAINED_MEASURES)
    return (rows["protocol"] != USED) & (rows["task"] == "task") & is_untrained


def _verdict_key(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    """Key of a comparison: protocol, task and measure.

    A comparison that is the same in both protocols has the key of the users' protocol.
    """
    is_of_both = row["task"] == "task" and row["measure"] in UNTRAINED_MEASURES
    return USED if is_of_both else row["protocol"], row["task"], row["measure"]


def _verdict(ends: Sequence[float], is_sure: bool) -> Verdict:  # noqa: FBT001
    low, high = ends
    if is_sure and low > 0:
        return "better"
    return "worse" if is_sure and high < 0 else "no better"


def holm(p_values: Sequence[float], alpha: float = 1 - LEVEL) -> list[bool]:
    """Whether Holm's procedure rejects each null hypothesis, at family-wise error rate ``alpha``.

    >>> holm([0.01, 0.04, 0.03, 0.005])
    [True, False, False, True]
    """
    order = np.argsort(p_values)
    is_below = np.array(p_values)[order] <= alpha / np.arange(len(order), 0, -1)
    is_rejected = np.empty(len(order), bool)
    is_rejected[order] = np.logical_and.accumulate(is_below)
    return is_rejected.tolist()


def sentences(rows: pd.DataFrame, n_images: int) -> dict[str, str]:
    """Conclusions for a user by subject: a sentence per task, and one about all comparisons.

    Parameters
    ----------
    rows
        Table of comparisons, as ``comparisons`` returns it.
    n_images
        Number of images, or of videos, in the split.
    """
    used = rows[rows["protocol"] == USED]
    n_compared = int(rows["verdict"].notna().sum())
    by_subject = {
        subject: _task_sentence(used[used["task"] == task], n_compared)
        for task, subject in SUBJECTS.items()
        if task in set(used["task"])
    }
    return by_subject | {"What these images cannot tell": _last_sentence(rows, n_images)}


def undecided(rows: pd.DataFrame) -> list[str]:
    """Subjects for which no measure is sure to beat 1 - SamScore, from a table of comparisons.

    Measures that need the large model's answer do not count.
    """
    is_better = (rows["protocol"] == USED) & (rows["verdict"] == "better")
    decided = set(rows[is_better & ~rows["measure"].isin(AFTERWARDS)]["task"])
    tasks = dict.fromkeys(rows["task"])
    return [SUBJECTS[task] for task in SUBJECTS if task in tasks and task not in decided]


def _task_sentence(rows: pd.DataFrame, n_compared: int) -> str:
    is_late = rows["measure"].isin(AFTERWARDS)
    late = rows[is_late & (rows["verdict"] == "better")].sort_values("relative", ascending=False)
    early = rows[~is_late & (rows["measure"] != BASELINE)]
    better = early[early["verdict"] == "better"]
    top = (early if better.empty else better).sort_values("relative", ascending=False).iloc[0]
    name, margin = measure_label(top["measure"]).replace(", ours", " of ours"), _margin(top)
    if better.empty:
        sentence = (
            f"nothing surely beats {BASELINE_LABEL}; the highest, {name}, differs by {margin}"
        )
        if top["margin_low"] > 0 or top["margin_high"] < 0:
            sentence += f", an interval without 0, as chance gives some of {n_compared}"
    else:
        n_more = len(better) - 1
        verb = "others beat" if n_more > 1 else "other beats"
        also = f"; {n_more} {verb} it, too" if n_more else ""
        sentence = f"{name} beats {BASELINE_LABEL} by {margin} of relative AUC{also}"
    return f"{sentence}{_afterwards(late)}."


def _afterwards(late: pd.DataFrame) -> str:
    """Clause about the best measure that needs the large model's answer; empty without rows."""
    if late.empty:
        return ""
    top = late.iloc[0]
    return f"; once both models ran, {measure_label(top['measure'])} does by {_margin(top)}"


def _margin(row: "pd.Series[Any]") -> str:
    value, low, high = (number(row[f"margin{end}"]) for end in report_table.WITH_BOUNDS)
    return f"{value} points" if isnan(row["margin_low"]) else f"{value} points ({low} to {high})"


def _last_sentence(rows: pd.DataFrame, n_images: int) -> str:
    compared = rows[~is_repeated(rows)].dropna(subset=["verdict"])
    counts = compared["verdict"].value_counts().reindex(["better", "worse", "no better"]).fillna(0)
    better, worse, undecided = counts.astype(int)
    half = ((compared["margin_high"] - compared["margin_low"]) / 2).median()
    reach = "" if isnan(half) else f", intervals of {number(half, 0)} points to either side"
    return (
        f"of {len(compared)} comparisons on {n_images} images{reach}, {better} are sure gains, "
        f"{worse} sure losses (Holm) and {undecided} neither."
    )


def verdict_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Table of the relative AUC in percent, under the users' protocol: a row per line of ``LINES``.

    Returns
    -------
    Columns: ``label``; ``<task>``, the relative AUC with its bounds, as text; ``<task>_better``,
    whether the measure is sure to beat 1 - SamScore. Lines without a number are left out.
    """
    used = rows[rows["protocol"] == USED]
    by_name = {(row["task"], row["measure"]): row for row in used.to_dict("records")}
    tasks = list(dict.fromkeys(used["task"]))
    lines: list[dict[str, Any]] = []
    for line in lines_of(tasks):
        cells = {task: by_name.get((task, line.measures.get(task, ""))) for task in tasks}
        if not any(cells.values()):
            continue
        shown: dict[str, Any] = {"label": line.label}
        for task, row in cells.items():
            shown[task] = NOTHING if row is None else with_bounds(row, "relative")
            shown[f"{task}_better"] = row is not None and row["verdict"] == "better"
        lines.append(shown)
    return pd.DataFrame(lines)
