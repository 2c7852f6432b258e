"""Results as a page for people: one HTML file that needs no network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import pandas as pd
from markupsafe import Markup

from stages.page.commit import Commit
from stages.page.figures import task_figure
from stages.page.gallery import gallery_sections
from stages.page.grid import Grid, make_grid
from stages.page.labels import CORRECTIONS, TASK_LABELS
from stages.page.printed import PrintedTable, print_tables
from stages.page.radar import radar_figure
from stages.page.settings import head_settings, settings
from stages.page.template import page_template
from stages.tables.auc import overview_table
from stages.tables.catalogue import CORRELATION, RADAR, REPORT_TABLES, RUNTIME, TRIALS, Tables
from stages.tables.paper import FAMILY, DataSets, paper_numbers
from stages.tables.report_table import Section
from stages.tables.rows import BOUNDS_OF, Results, first_train_split, task_models
from storage.outputs.gallery import Gallery

OF_TASKS: Final = [row for row in REPORT_TABLES if row.section == "curves" and "{task}" in row.name]
"""Tables that stand with the curves of their task."""


@dataclass(frozen=True)
class Contents:
    """All that the page is made of."""

    title: str
    results: Results
    tables: Tables
    """As ``report_tables`` gives them."""
    galleries: Mapping[str, Gallery]
    """By split."""
    data_sets: DataSets
    commit: Commit | None
    """Of the code and the settings; None if it is unknown."""


@dataclass(frozen=True)
class TaskSection:
    """All that the page tells of a task; ``figures`` by split, ``correction`` in words."""

    key: str
    label: str
    correction: str
    model: str
    figures: Mapping[str, Markup]
    tables: list[PrintedTable]


def render_report(contents: Contents) -> str:
    """Fill the page; equal contents give an equal page."""
    told = _told_of_splits(contents) | _told_of_tables(contents)
    page = page_template().render(
        title=contents.title,
        commit=contents.commit,
        paper_trials=paper_numbers("trials") if contents.data_sets else None,
        data_sets=contents.data_sets,
        unlike_paper=unlike_paper(contents.results, contents.data_sets),
        **told,
    )
    return page.rstrip() + "\n"


def unlike_paper(results: Results, data_sets: DataSets) -> dict[str, str]:
    """Family of each split that stands beside the paper's numbers and is not of its family."""
    families = {split: found.run["entropy"]["family"] for split, found in results.items()}
    return {
        split: family
        for split, family in families.items()
        if split in data_sets and family != FAMILY
    }


def _told_of_splits(contents: Contents) -> dict[str, Any]:
    """What the template shows of each split, and of the first one's heads."""
    results = contents.results
    first = next(iter(results.values()))
    radars = {split: _radar(contents, split, f"radar-{i}") for i, split in enumerate(results)}
    models = {split: settings(found.run["models"], "model") for split, found in results.items()}
    return {
        "runs": {split: found.run for split, found in results.items()},
        "overviews": {split: _by_task(overview_table(results, split), "") for split in results},
        "tasks": [task_section(contents, task) for task in task_models(results)],
        "radars": radars,
        "galleries": {k: gallery_sections(found, k) for k, found in contents.galleries.items()},
        "correlations": {split: correlation_blocks(contents.tables, split) for split in results},
        "models": models,
        "heads": head_settings(results),
        "n_resamples": first.run["n_resamples"],
    }


def _told_of_tables(contents: Contents) -> dict[str, Any]:
    """What the template shows of all splits at once."""
    tables = contents.tables
    of_sections = {
        section: [row for row in REPORT_TABLES if row.section == section and row not in OF_TASKS]
        for section in get_args(Section)
    }
    return {
        "printed": {
            section: print_tables(rows, tables, contents.results)
            for section, rows in of_sections.items()
        },
        "runtime": tables[RUNTIME.file()],
        "trials": trial_blocks(tables.get(TRIALS.file())),
    }


def task_section(contents: Contents, task: str) -> TaskSection:
    """Figures and tables of a task."""
    results = contents.results
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
        print_tables(OF_TASKS, contents.tables, results, task),
    )


def correlation_blocks(tables: Tables, split: str) -> dict[tuple[str, str], pd.DataFrame]:
    """Correlations of a split, square, by model and train split."""
    table = tables[CORRELATION.file(split)]
    return {
        (model, train_split): table[
            (table["model"] == model) & (table["train_split"] == train_split)
        ].drop(columns=["model", "train_split"])
        for model, train_split in zip(table["model"], table["train_split"], strict=True)
    }


def trial_blocks(trials: pd.DataFrame | None) -> dict[tuple[str, str], pd.DataFrame]:
    """Trials by train split and objective."""
    if trials is None:
        return {}
    return {
        (str(split), str(objective)): rows.drop(columns=["trained_on", "objective"])
        for (split, objective), rows in trials.groupby(["trained_on", "objective"], sort=False)
    }


def _radar(contents: Contents, split: str, div_id: str) -> tuple[Markup, Grid]:
    table = contents.tables[RADAR.file(split)]
    found = contents.results[split]
    html = radar_figure(table, list(found.run["heads"]), div_id)
    first_heads = first_train_split(found)
    return Markup(html), _by_task(table, first_heads)  # noqa: S704 - names are in JSON


def _by_task(table: pd.DataFrame, first_heads: str) -> Grid:
    """A grid of a table that has a column a task."""
    labels = {
        task + end: label + end for task, label in TASK_LABELS.items() for end in ("", *BOUNDS_OF)
    }
    tasks = [label for task, label in TASK_LABELS.items() if task in table]
    return make_grid(table.rename(columns=labels), tasks, first_heads=first_heads)
