"""Conclusions from the results of a split: at most five sentences, and a table.

Every claim follows from a confidence interval.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from pipeline.heads.scope import DRAWN_ONLY
from pipeline.sam.families import DRAWN
from pipeline.scoring.measures import BASELINE, KNOWS_TRUTH, UNTRAINED_MEASURES
from pipeline.scoring.scores import LEVEL
from pipeline.vocabulary import TASKS, USED
from stages.page.labels import DASH, TASK_LABELS, measure_label, number, with_bounds
from stages.tables import report_table
from stages.tables.paper import FAMILY, DataSets
from stages.tables.pivot import in_percent, is_shown, pivot, score_rows
from stages.tables.special_tables import RADAR_LINES

SUBJECTS: Final[Mapping[str, str]] = {
    "model": "Where a larger model helps",
    "prompt": "Where more clicks help",
    "task": "Where another proposal is better",
    "segmentation": "How wrong a mask is",
}
"""Beginning of the conclusion about each task: the question that its measures answer."""

BASELINE_LABEL: Final = "1 − SamScore"

PAPER_SUBJECT: Final = "The paper's heads"

LAST_SUBJECT: Final = "What these images cannot tell"
"""Subject of the sentence about all comparisons."""

Verdict = Literal["better", "no better", "worse"]


@dataclass(frozen=True)
class Line:
    """A row of the table of conclusions: a label, a measure for each task, and their meaning."""

    label: str
    measures: Mapping[str, str]
    meaning: str


RADAR_MEASURES: Final = {line.name: line.measures for line in RADAR_LINES}
"""Measure for each task, by the name of the line of the radar."""

PAPER_LINE: Final = "gaps_star"
"""Name of the line of the paper's heads, whose direct gaps are its method."""

HEAD_NAMES: Final = {
    PAPER_LINE: "a head as in the paper",
    "gaps_star_ours": "a head of this project",
}
"""Lines of the radar -> names of their measures in sentences."""

AFTERWARDS: Final = Line(
    "SamScore_L − SamScore",
    {"model": "sam_score_gain"},
    "what the large model's own score has over the model's: both models have run",
)
"""Row of a measure that needs the large model's answer, and cannot say whether to ask for it."""

OWN_HEADS: Final = Line(
    "heads, ours",
    RADAR_MEASURES["gaps_star_ours"],
    "the same, by networks that also read statistics of the mask",
)

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
        "the same: overlap (Dice) of the mask's probabilities with the mask cut from them",
    ),
    Line(
        "H_Θ, H_Xp, H_A, H_T",
        {"model": "h_theta", "prompt": "h_xp", "task": "h_a", "segmentation": "h_t"},
        "entropy over the models, eight clicks, three proposals or altered images (views)",
    ),
    Line(
        "heads, paper",
        RADAR_MEASURES[PAPER_LINE],
        "small networks that read SAM2's inner outputs (tokens) and predict a gain (Δ*) or the "
        "IoU (USAM)",
    ),
    OWN_HEADS,
    AFTERWARDS,
)
"""Rows of the table: measures without extra cost, measures from more predictions, and heads."""


def lines_of(tasks: Collection[str]) -> tuple[Line, ...]:
    """Rows of the table of conclusions; without the task ``model``, none mentions ``H_Θ``."""
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
    task: tuple(line.measures[task] for line in LINES if line is not AFTERWARDS) for task in TASKS
}
"""Names of the measures in ``LINES`` that need no answer of a larger model, by task."""


def comparisons(
    results: report_table.Results, split: str, chosen_on: str | None = None
) -> pd.DataFrame:
    """Compare the relative AUC of each measure with 1 - SamScore's on a split, in both protocols.

    Parameters
    ----------
    chosen_on
        Split of ``results`` whose images choose the winners; None for the compared split itself.

    Returns
    -------
    A row per protocol, task and measure, with the columns of ``_compared`` and:

    - ``chosen_on``, empty for the compared split; ``chosen_by`` and ``choosing_margin``, the
      relative AUC and the margin there;
    - ``model``, whose masks the task shows;
    - ``verdict``: ``better`` or ``worse`` where the interval of the margin lies on one side of 0,
      Holm's procedure rejects that the margin is 0, and the margin on ``chosen_on`` has the same
      sign; else ``no better``. The verdict about a measure of heads must hold for the heads of each
      training seed. 1 - SamScore itself and measures that know the ground truth have None.

    Notes
    -----
    All comparisons are one family of tests (Holm 1979). In the task ``task``, a measure without
    heads has the same numbers in both protocols: its two rows count as one comparison and have the
    same verdict.
    """
    rows = _compared(results, split)
    chosen_elsewhere = chosen_on if chosen_on != split else None
    choosing = _compared(results, chosen_elsewhere) if chosen_elsewhere else rows
    of_choosing = choosing.set_index(_KEYS)[["relative", "margin"]]
    of_choosing.columns = pd.Index(["chosen_by", "choosing_margin"])
    models = report_table.task_models({split: results[split]})
    rows = rows.join(of_choosing, on=_KEYS).assign(
        chosen_on=chosen_elsewhere or "", model=rows["task"].map(models)
    )
    is_left_out = rows["measure"].str.partition("@")[0].isin([BASELINE, *KNOWS_TRUTH])
    compared = rows[~is_left_out & ~is_repeated(rows)]
    is_rejected = holm(compared["largest_p"].tolist())
    verdicts = map(_verdict, compared.to_dict("records"), is_rejected)
    by_key = dict(zip(map(_verdict_key, compared.to_dict("records")), verdicts, strict=True))
    rows["verdict"] = [by_key.get(_verdict_key(row)) for row in rows.to_dict("records")]
    return rows


_KEYS: Final = ["protocol", "task", "measure"]
"""Columns that identify a comparison with 1 - SamScore."""


def _compared(results: report_table.Results, split: str) -> pd.DataFrame:
    """Relative AUC of each measure on a split, and its margin over 1 - SamScore.

    Returns
    -------
    A row per ``protocol``, ``task`` and ``measure`` (a ``measure_name``) that the task shows:

    - ``relative``, the AUC, and ``margin``, in percent with their bounds; ``margin_p``, its
      p-value. For measures of heads, they are of the first training seed.
    - ``lowest`` and ``highest``: the lowest and highest bound of the margin over all seeds.
    - ``largest_p``: the largest p-value of the seeds, so that a margin of 0 is rejected only if
      each seed rejects it (Berger 1982); a missing p-value counts as 1.
    """
    statistics = ["relative", "margin", "margin_p"]
    scores = score_rows({split: results[split]}, statistics, every_seed=True)
    scores = in_percent(scores[is_shown(scores)])
    first = report_table.first_train_split(results[split])
    scores = scores.assign(measure=report_table.measure_names(scores, first))
    margins = scores[scores["statistic"] == "margin"].groupby(_KEYS)
    of_tests = scores[scores["statistic"] == "margin_p"].fillna({"value": 1})
    extremes = {
        "lowest": margins["low"].min(),
        "highest": margins["high"].max(),
        "largest_p": of_tests.groupby(_KEYS)["value"].max(),
    }
    rows = pivot(scores[scores["seed"].isna()], _KEYS, "statistic")
    return rows.join(pd.DataFrame(extremes), on=_KEYS)


def is_repeated(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each row repeats a comparison of the users' protocol, and so is not counted."""
    is_untrained = rows["measure"].isin({*UNTRAINED_MEASURES} - {*KNOWS_TRUTH})
    return (rows["protocol"] != USED) & (rows["task"] == "task") & is_untrained


def _verdict_key(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    """Protocol, task and measure of a comparison.

    A comparison that is the same in both protocols has the key of the users' protocol.
    """
    is_of_both = row["task"] == "task" and row["measure"] in UNTRAINED_MEASURES
    return USED if is_of_both else row["protocol"], row["task"], row["measure"]


def _verdict(row: Mapping[Hashable, Any], is_rejected: bool) -> Verdict:  # noqa: FBT001
    if is_rejected and row["lowest"] > 0 and row["choosing_margin"] > 0:
        return "better"
    is_worse = is_rejected and row["highest"] < 0 and row["choosing_margin"] < 0
    return "worse" if is_worse else "no better"


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
    """Conclusions about the users' protocol: a text for each subject, by the subject.

    The subjects are the paper's heads, if they were evaluated; each task; and last, all
    comparisons. Only measures of ``verdict_table`` are named. ``rows`` is the table of
    ``comparisons``; ``n_images`` counts the split's images, or videos.
    """
    used = rows[rows["protocol"] == USED]
    n_compared = used["verdict"].notna().sum()
    by_subject = _paper_sentence(rows) | {
        subject: _task_sentence(used[used["task"] == task], n_compared)
        for task, subject in SUBJECTS.items()
        if task in set(used["task"])
    }
    return by_subject | {LAST_SUBJECT: last_sentence(rows, n_images)}


def cautions(results: report_table.Results, data_sets: DataSets) -> list[str]:
    """What numbers of drawn shapes, and numbers beside the paper's, do not tell.

    ``data_sets`` says which splits are data sets of the paper.
    """
    families = {split: of_split.run["entropy"]["family"] for split, of_split in results.items()}
    drawn = [split for split, family in families.items() if family == DRAWN]
    unlike = [
        f"{split} here of {family}"
        for split, family in families.items()
        if split in data_sets and family != FAMILY
    ]
    of_drawn = (
        f"{DRAWN_ONLY.capitalize()}: what holds for them on drawn shapes need not hold for Meta's "
        "models, and their numbers on photographs say nothing about either. They ran on "
        f"{', '.join(drawn)}."
    )
    of_paper = (
        f"Not like for like: the paper's numbers are of Meta's family {FAMILY}, those of "
        f"{', '.join(unlike)}. A difference between them may be due to the models."
    )
    return [of_drawn] * bool(drawn) + [of_paper] * bool(unlike)


def undecided(rows: pd.DataFrame) -> list[str]:
    """Subjects for which no measure of ``verdict_table`` is sure to beat 1 - SamScore.

    ``rows`` is the table of ``comparisons``.
    """
    shown = verdict_table(rows)
    return [
        subject
        for task, subject in SUBJECTS.items()
        if task in shown and not shown[f"{task}_better"].any()
    ]


def _paper_sentence(rows: pd.DataFrame) -> dict[str, str]:
    """Sentence that compares the paper's heads with the baseline in both protocols, by its subject.

    The mapping is empty if ``rows`` has no heads of the paper.
    """
    of_task = rows["task"].map(RADAR_MEASURES[PAPER_LINE])
    of_heads = rows[rows["measure"] == of_task]
    of_paper, of_best = (of_heads[of_heads["protocol"] == name] for name in (USED, "best"))
    if of_paper.empty:
        return {}
    models = [
        f"{model} ({', '.join(TASK_LABELS[task] for task in of_model['task'])})"
        for model, of_model in of_paper.groupby("model", sort=False)
    ]
    sentence = (
        f"for masks of {' and '.join(models)}, they surely beat {BASELINE_LABEL} in "
        f"{_sure_counts(of_paper)} of relative AUC; in the paper's own protocol, for the best of "
        f"the three masks, they surely beat it in {_sure_counts(of_best)}."
    )
    return {PAPER_SUBJECT: sentence}


def _sure_counts(rows: pd.DataFrame) -> str:
    """In which tasks, one in each row, a measure is surely better or worse, and the differences."""
    tasks = rows["task"].map(TASK_LABELS)
    better, worse = (tasks[rows["verdict"] == name].tolist() for name in ("better", "worse"))
    of_better, of_worse = (f" ({', '.join(names)})" * bool(names) for names in (better, worse))
    lowest, highest = (number(rows["margin"].agg(end)) for end in ("min", "max"))
    return (
        f"{len(better) or 'none'} of {len(rows)} tasks{of_better} and fall short of it in "
        f"{len(worse) or 'none'}{of_worse}; they differ by {lowest} to {highest} points"
    )


def _task_sentence(rows: pd.DataFrame, n_compared: int) -> str:
    rows = rows.sort_values("chosen_by", ascending=False)
    task, model = rows.iloc[0][["task", "model"]]
    late = rows[(rows["measure"] == AFTERWARDS.measures.get(task)) & (rows["verdict"] == "better")]
    early = rows[rows["measure"].isin(OF_LINES[task]) & (rows["measure"] != BASELINE)]
    better = early[early["verdict"] == "better"]
    chosen_on = early["chosen_on"].iloc[0]
    top = (early if chosen_on or better.empty else better).iloc[0]
    name, margin = _name(top["measure"], top["task"]), _margin(top)
    name += f", chosen on {chosen_on}," if chosen_on else f", the highest of {len(early)} here,"
    n_others = len(better) - (top["verdict"] == "better")
    if better.empty:
        sentence = f"no measure here surely beats {BASELINE_LABEL}; {name} differs by {margin}"
        sentence += _reservation(top, n_compared)
    elif top["verdict"] == "better":
        verb = "others beat" if n_others > 1 else "other beats"
        also = f"; {n_others} {verb} it, too" if n_others else ""
        sentence = f"{name} beats {BASELINE_LABEL} by {margin} of relative AUC{also}"
    else:
        also = f"{n_others} {'others do' if n_others > 1 else 'other does'}"
        sentence = (
            f"{name} does not surely beat {BASELINE_LABEL}, by {margin} of relative AUC"
            f"{_reservation(top, n_compared)}; {also}"
        )
    return f"for masks of {model}, {sentence}{_afterwards(late)}."


def _name(measure: str, task: str) -> str:
    """Name of a measure in a sentence: its name in ``HEAD_NAMES`` and its label in brackets.

    A measure that no line of ``HEAD_NAMES`` has for the task is named by its label alone.
    """
    for line, name in HEAD_NAMES.items():
        if RADAR_MEASURES[line].get(task) == measure:
            return f"{name} ({measure_label(measure).removesuffix(', ours')})"
    return measure_label(measure).replace(", ours", " of ours")


def _reservation(row: "pd.Series[Any]", n_compared: int) -> str:
    """Clause that says why a margin is not sure although its interval excludes 0; else empty."""
    if not (row["margin_low"] > 0 or row["margin_high"] < 0):
        return ""
    if row["margin"] * row["choosing_margin"] <= 0:
        return f", with the other sign on {row['chosen_on']}"
    if row["lowest"] <= 0 <= row["highest"]:
        return ", which heads of another training seed do not confirm"
    return f", an interval without 0, as chance gives some of {n_compared}"


def _afterwards(late: pd.DataFrame) -> str:
    """Clause about the measure that needs the large model's answer; empty if ``late`` is empty.

    ``late`` is its comparison, if that is ``better``.
    """
    if late.empty:
        return ""
    name = f"the rise of the SamScore ({AFTERWARDS.label})"
    return f"; once both models ran, {name} does by {_margin(late.iloc[0])}"


def _margin(row: "pd.Series[Any]") -> str:
    value, low, high = (number(row[f"margin{end}"]) for end in report_table.WITH_BOUNDS)
    return f"{value} points" if isnan(row["margin_low"]) else f"{value} points ({low} to {high})"


def last_sentence(rows: pd.DataFrame, n_images: int) -> str:
    """Numbers of comparisons of users' masks by verdict, and how far the intervals of all reach.

    ``rows`` is the table of ``comparisons``. Those of best masks, which only the ground truth
    tells, belong to the same family of tests.
    """
    compared = rows[~is_repeated(rows)].dropna(subset=["verdict"])
    used = compared[compared["protocol"] == USED]
    counts = used["verdict"].value_counts().reindex(["better", "worse", "no better"]).fillna(0)
    better, worse, undecided = counts.astype(int)
    half = ((compared["margin_high"] - compared["margin_low"]) / 2).median()
    reach = (
        ""
        if isnan(half)
        else f"; the median interval of all reaches {number(half)} points to either side"
    )
    return (
        f"of {len(used)} comparisons of a user's masks on {n_images} images, a gain is sure in "
        f"{better}, a loss in {worse}, neither in {undecided}; they are tested together with "
        f"{len(compared) - len(used)} of best masks{reach}."
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
            shown[task] = DASH if row is None else with_bounds(row, "relative")
            shown[f"{task}_better"] = row is not None and row["verdict"] == "better"
        lines.append(shown)
    return pd.DataFrame(lines)
