"""Tables of scores: a ``Pivot`` declares their rows and columns, and ``pivot`` arranges them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from pipeline.better_masks import SELECTED, SELECTED_CODES
from pipeline.scoring.measures import BOUNDS, TASK_MEASURES
from pipeline.scoring.people import PERSON
from pipeline.scoring.tasks import default_model, shown_model
from pipeline.views import view_order
from pipeline.vocabulary import ABLATIONS, JUDGED, OWN_ABLATIONS, TASKS, USED
from stages.tables.report_table import (
    DIFFERENCE,
    METHOD_TOKENS,
    WITH_BOUNDS,
    Inputs,
    Results,
    evaluated_models,
    first_train_split,
    measure_name,
)
from stages.tables.statistics import BY_NAME

NUMBERS: Final = ("value", "low", "high")
"""Columns of ``scores.csv`` with the number of a score and the bounds of its interval."""

BOTH_TOKENS: Final = "both"
"""Label of heads that read both tokens, as the paper's method does."""

TOKENS_READ: Final[Mapping[str, str]] = {
    **{f"{judged}_{lack}": lack for lack in ABLATIONS for judged in JUDGED},
    **{f"{USED}_{lack}": lack for lack in OWN_ABLATIONS},
    **dict.fromkeys(JUDGED, BOTH_TOKENS),
}
"""Token set -> label: the token that the heads lack, or ``BOTH_TOKENS``, as in Table 6.

The label omits the judged proposal, because it follows from the task.
"""

MASKS: Final = {
    SELECTED: "selected, cut at 0.5",
    "fixed_cut": "selected, best fixed cut",
    "learned_cut": "selected, learned cut",
    "learned_proposal": "learned proposal",
    "choice": "learned proposal and cut",
    SELECTED_CODES: "selected, mask codes at 0.5",
    "mean_views": "mean of the views",
    "mean_clicks": "mean of eight clicks",
    "mean_models": "mean of the models",
    "best": "best proposal",
    PERSON: "a person in the model's place",
}
"""Labels of the masks that are compared with the selected mask."""

Mask = Callable[[pd.DataFrame], "pd.Series[bool]"]
"""Function from scores to whether a table shows each score."""


def score_rows(
    results: Results, statistics: Iterable[str], *, every_seed: bool = False
) -> pd.DataFrame:
    """Stack the scores of the given statistics, of all splits: a row per score.

    Heads are those of the first training seed alone, unless ``every_seed``.

    Returns
    -------
    The columns of ``scores.csv``, of which ``train_split`` is renamed to ``trained_on``; ``split``;
    ``largest_model``; ``is_default``, whether the score is of the model that its task shows;
    ``other_heads``, the suffix ``@<train split>`` for measures whose heads are not of the first
    train split, else empty.
    """
    tables = [split_results.scores.assign(split=split) for split, split_results in results.items()]
    rows = pd.concat(tables).rename(columns={"train_split": "trained_on"})
    rows = rows[rows["statistic"].isin(list(statistics)) & (every_seed | rows["seed"].isna())]
    rows = rows.reset_index(drop=True)
    models = evaluated_models(results)
    default_models = rows["task"].map({task: default_model(task, models) for task in TASKS})
    first = first_train_split(next(iter(results.values())))
    return rows.assign(
        largest_model=shown_model(models),
        is_default=rows["model"] == default_models,
        other_heads=rows["trained_on"].map(lambda split: measure_name("", split, first)),
    )


def in_percent(rows: pd.DataFrame) -> pd.DataFrame:
    """Convert scores of statistics whose unit is %, with their bounds, to percent."""
    factors = rows["statistic"].map(lambda name: 100 if BY_NAME[name].unit == "%" else 1)
    return rows.assign(**{number: rows[number] * factors for number in NUMBERS})


def is_of_task(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each score is of its task's default model and of a measure that its task shows."""
    keys = zip(rows["task"], rows["measure"], strict=True)
    is_listed = [measure in TASK_MEASURES.get(task, ()) for task, measure in keys]
    return rows["is_default"] & np.array(is_listed, bool)


def is_of_largest(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each score is of the largest model."""
    return rows["model"] == rows["largest_model"]


def is_of_method(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each score is of a measure without heads, or of heads that read both tokens."""
    return rows["tokens"].isin(METHOD_TOKENS)


def is_shown(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each score is of a model and a measure that its task shows, without ablated heads."""
    return is_of_task(rows) & is_of_method(rows)


def pivot(rows: pd.DataFrame, keys: Sequence[str], across: str) -> pd.DataFrame:
    """Arrange scores as a table: a row per combination of ``keys``, columns per name in ``across``.

    Each name has three columns: ``<name>``, ``<name>_low`` and ``<name>_high``. Rows and names keep
    the order of the scores. A missing score is NaN. ``rows``, as ``score_rows`` returns them, has
    at most one score for each combination and name.
    """
    in_order = pd.MultiIndex.from_frame(rows[list(keys)].drop_duplicates())
    columns = {
        f"{name}{end}": of_name.set_index(list(keys))[number]
        for name, of_name in rows.groupby(across, sort=False)
        for end, number in zip(WITH_BOUNDS, NUMBERS, strict=True)
    }
    return pd.DataFrame(columns).reindex(in_order).reset_index()


def _measure(scores: pd.DataFrame) -> "pd.Series[str]":
    return scores["measure"].mask(scores["statistic"].isin(BOUNDS), scores["statistic"])


def _statistic(scores: pd.DataFrame) -> "pd.Series[str]":
    return scores["statistic"].map(lambda name: BY_NAME[name].symbol)


WORDS: Final[Mapping[str, Callable[[pd.DataFrame], "pd.Series[str]"]]] = {
    "tokens": lambda scores: scores["tokens"].map(TOKENS_READ),
    "measure": _measure,
    "statistic": _statistic,
    "sets": lambda scores: (
        scores["iou_at"].map("IoU ≥ {:g}".format)
        + scores["alpha"].map(lambda alpha: f" in {1 - alpha:.0%} of the sets")
    ),
    "mask": lambda scores: scores["choice"].map(MASKS) + scores["other_heads"],
}
"""Functions that make a column of labels from scores, for columns that are not copied from them."""


@dataclass(frozen=True)
class Pivot:
    """Declares a table of scores: columns of names, then a number with bounds for each split."""

    statistics: tuple[str, ...]
    keys: tuple[str, ...]
    """Columns of names: columns of the scores, or labels that ``WORDS`` makes from them."""
    where: Mask | None = None
    """Selects the scores that the table shows; None for all scores."""
    order: tuple[str, ...] = ()
    """Columns of names that sort the rows; rows with equal names keep the order of the scores."""
    difference: str = ""
    """Statistic with columns of its own, named with ``DIFFERENCE``, after the others; or empty."""

    def __call__(self, inputs: Inputs, task: str) -> pd.DataFrame:
        """Make the table of ``task``, or of all scores if it is empty, from ``inputs.results``."""
        return self.table(inputs.results, task)

    def table(self, results: Results, task: str = "") -> pd.DataFrame:
        """Make the table of a task, or of all scores if ``task`` is empty.

        Numbers are in percent if the statistic is a share. A split without scores has columns of
        NaN.
        """
        rows = score_rows(results, (*self.statistics, self.difference))
        rows = in_percent(rows[self.where(rows)] if self.where else rows)
        rows = rows[rows["task"] == task] if task else rows
        words = {key: WORDS[key](rows) for key in self.keys if key in WORDS}
        if self.order:
            rows = rows.assign(**{key: words[key] for key in words if key not in rows})
            rows = rows.sort_values(list(self.order), key=self._rank, kind="stable")
        suffix = np.where(rows["statistic"] == self.difference, DIFFERENCE, "")
        rows = rows.assign(column=rows["split"] + suffix, **words)
        suffixes = ("", DIFFERENCE) if self.difference else ("",)
        numbers = [f"{split}{s}{end}" for s in suffixes for split in results for end in WITH_BOUNDS]
        return pivot(rows, self.keys, "column").reindex(columns=[*self.keys, *numbers])

    def _rank(self, names: "pd.Series[str]") -> "pd.Series[float]":
        """Sort keys of the names in a column of ``order``: their places in the column's order.

        Names in other columns must be numbers, which are their own sort keys.
        """
        match names.name:
            case "statistic":
                return names.map(self.statistics.index)
            case "tokens":
                return names.map(TOKENS_READ).map([*ABLATIONS, *OWN_ABLATIONS, BOTH_TOKENS].index)
            case "view":
                return names.map(view_order)
            case "choice":
                return names.map(list(MASKS).index)
            case "model":  # from small to large
                return names.map(list(names.unique()).index)
        return names.astype(float)
