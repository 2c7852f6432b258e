"""Results as a page for people: one HTML file that needs no network."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, Final

import jinja2
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from stages.figures import task_figure
from stages.labels import (
    COLOURS,
    CORRECTIONS,
    TASK_LABELS,
    column_label,
    is_dashed,
    measure_label,
)
from stages.tables import (
    BOUNDS_OF,
    Results,
    absolute_table,
    correlation_table,
    first_train_split,
    iou_table,
    overview_table,
    relative_table,
    task_models,
    view_table,
)

NOTHING: Final = "–"
"""Stands for a value that does not exist."""


@dataclass(frozen=True)
class TaskSection:
    """All that the page tells of a task; ``figures`` by split, ``correction`` in words."""

    key: str
    label: str
    correction: str
    model: str
    figures: Mapping[str, Markup]
    relative: pd.DataFrame
    absolute: pd.DataFrame


@dataclass(frozen=True)
class Settings:
    """Settings of several things: what they share, and what each has of its own."""

    shared: Mapping[str, Any]
    own: pd.DataFrame
    """A row a thing, its name first."""


def render_report(results: Results, title: str, template: str) -> str:
    """Fill the page; equal results give an equal page.

    Parameters
    ----------
    template
        Source of the Jinja template.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        measure_label=measure_label,
        column_label=column_label,
        number=number,
        with_bounds=with_bounds,
        tint=tint,
    )
    page = environment.from_string(template).render(
        title=title,
        runs={split: found.run for split, found in results.items()},
        overviews={split: overview_table(results, split) for split in results},
        tasks=[task_section(results, task) for task in task_models(results)],
        iou=iou_table(results),
        views=view_table(results),
        correlations={split: correlation_blocks(results, split) for split in results},
        models={split: settings(found.run["models"], "model") for split, found in results.items()},
        heads=head_settings(results),
        n_resamples=next(iter(results.values())).run["n_resamples"],
        colours=COLOURS,
        is_dashed=is_dashed,
        first_train_split=first_train_split(next(iter(results.values()))),
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - the library's own script
    )
    return page.rstrip() + "\n"


def task_section(results: Results, task: str) -> TaskSection:
    """Figures and tables of a task."""
    figures = {
        split: task_figure(found.curves, task, list(found.run["heads"]), f"curves-{task}-{i}")
        for i, (split, found) in enumerate(results.items())
    }
    return TaskSection(
        task,
        TASK_LABELS[task],
        CORRECTIONS[task],
        task_models(results)[task],
        {k: Markup(html) for k, html in figures.items()},  # noqa: S704 - names are in JSON
        relative_table(results, task),
        absolute_table(results, task),
    )


def correlation_blocks(results: Results, split: str) -> dict[tuple[str, str], pd.DataFrame]:
    """Correlations of a split, square, by model and train split."""
    table = correlation_table(results[split])
    return {
        (model, train_split): table[
            (table["model"] == model) & (table["train_split"] == train_split)
        ].drop(columns=["model", "train_split"])
        for model, train_split in zip(table["model"], table["train_split"], strict=True)
    }


def settings(things: Mapping[str, Mapping[str, Any]], what: str) -> Settings:
    """Tell what several things share from what is each one's own."""
    first = next(iter(things.values()), {})
    shared = {
        key: value
        for key, value in first.items()
        if all(key in thing and thing[key] == value for thing in things.values())
    }
    own = pd.DataFrame(
        [
            {what: name} | {k: v for k, v in thing.items() if k not in shared}
            for name, thing in things.items()
        ],
        dtype=object,
    )
    return Settings(shared, own)


def head_settings(results: Results) -> dict[str, Settings]:
    """What the heads of each train split were trained on; all eval splits use the same heads."""
    first = next(iter(results.values()))
    return {name: settings(heads, "head") for name, heads in first.run["heads"].items()}


def number(value: float, n_digits: int = 1) -> str:
    """Write a number for people, a missing one as a dash."""
    # Not "-0.0": a sign without a value.
    return NOTHING if isnan(value) else f"{round(value, n_digits) + 0.0:.{n_digits}f}"


def with_bounds(row: "pd.Series[Any]", column: str) -> str:
    """Write a number of a row, and in brackets its bounds in whole numbers."""
    low, high = (row[column + end] for end in BOUNDS_OF)
    told = number(row[column])
    return told if isnan(low) else f"{told} ({number(low, 0)}–{number(high, 0)})"


def tint(correlation: float) -> str:
    """Background of a correlation: red for +1, blue for -1, none for 0 or a missing one."""
    if isnan(correlation):
        return "none"
    colour = "239,68,68" if correlation > 0 else "59,130,246"
    return f"rgba({colour},{0.7 * abs(correlation):.2f})"
