"""Results as a page for people: one HTML file that needs no network."""

import base64
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pipeline.vocabulary import TASKS
from stages.page.figures import task_figure
from stages.page.labels import (
    COLOURS,
    CORRECTIONS,
    ENDS,
    MASK_COLOURS,
    METHOD_LABELS,
    TASK_LABELS,
    column_label,
    is_dashed,
    measure_label,
    model_label,
    shown_mask,
)
from stages.page.numbers import number, tint
from stages.page.radar import radar_figure
from stages.tables.auc import overview_table
from stages.tables.catalogue import (
    ABLATION,
    ABSOLUTE,
    BEST_MODEL,
    CORRELATION,
    IOU,
    MARGIN,
    RADAR,
    RELATIVE,
    RUNTIME,
    SELECTED,
    TOKEN_MARGIN,
    TRIALS,
    VIEWS,
    Tables,
)
from stages.tables.paper import PAPER, DataSets, paper_numbers
from stages.tables.rows import Results, first_train_split, task_models
from storage.outputs.gallery import Gallery


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


@dataclass(frozen=True)
class TaskSection:
    """All that the page tells of a task; ``figures`` by split, ``correction`` in words."""

    key: str
    label: str
    number: int
    """Of the paper's table."""
    correction: str
    model: str
    figures: Mapping[str, Markup]
    relative: pd.DataFrame
    absolute: pd.DataFrame


@dataclass(frozen=True)
class Picture:
    """A picture of the gallery as the page shows it."""

    address: str
    """Data URI."""
    description: str
    """Of what the picture shows, for those who do not see it."""
    place: str
    """Among all objects."""
    uncertainty: str
    iou: str
    """Before and after the correction."""


@dataclass(frozen=True)
class GallerySection:
    """What the page shows of one task's objects."""

    shown_mask: str
    """In words."""
    ends: Mapping[str, list[Picture]]


@dataclass(frozen=True)
class Settings:
    """Settings of several things: what they share, and what each has of its own."""

    shared: Mapping[str, Any]
    own: pd.DataFrame
    """A row a thing, its name first."""


def render_report(contents: Contents, template: str, script: str) -> str:
    """Fill the page; equal contents give an equal page.

    Parameters
    ----------
    template
        Source of the Jinja template.
    script
        JavaScript that makes tables sort.
    """
    told = _told_of_splits(contents) | _told_of_tables(contents.tables)
    page = (
        _environment()
        .from_string(template)
        .render(
            title=contents.title,
            paper_trials=paper_numbers("trials") if contents.data_sets else None,
            data_sets=contents.data_sets,
            sorting_js=Markup(script),  # noqa: S704 - our own
            **told,
        )
    )
    return page.rstrip() + "\n"


def _told_of_splits(contents: Contents) -> dict[str, Any]:
    """What the template shows of each split, and of the first one's heads."""
    results = contents.results
    first = next(iter(results.values()))
    sections = {split: gallery_sections(found) for split, found in contents.galleries.items()}
    radars = {split: _radar(contents, split, f"radar-{i}") for i, split in enumerate(results)}
    models = {split: settings(found.run["models"], "model") for split, found in results.items()}
    return {
        "runs": {split: found.run for split, found in results.items()},
        "overviews": {split: overview_table(results, split) for split in results},
        "tasks": [task_section(contents, task) for task in task_models(results)],
        "radars": radars,
        "galleries": sections,
        "correlations": {split: correlation_blocks(contents.tables, split) for split in results},
        "models": models,
        "heads": head_settings(results),
        "n_resamples": first.run["n_resamples"],
        "first_train_split": first_train_split(first),
        "has_several_heads": len(first.run["heads"]) > 1,
    }


def _told_of_tables(tables: Tables) -> dict[str, Any]:
    """What the template shows of all splits at once."""
    return {
        "iou": tables[IOU.file()],
        "margins": tables[MARGIN.file()],
        "best_model": tables[BEST_MODEL.file()],
        "views": tables[VIEWS.file()],
        "runtime": tables[RUNTIME.file()],
        "token_tables": {
            row.heading: tables[row.file()]
            for row in (ABLATION, SELECTED, TOKEN_MARGIN)
            if row.file() in tables
        },
        "trials": trial_blocks(tables.get(TRIALS.file())),
    }


def task_section(contents: Contents, task: str) -> TaskSection:
    """Figures and tables of a task."""
    figures = {
        split: task_figure(found.curves, task, list(found.run["heads"]), f"curves-{task}-{i}")
        for i, (split, found) in enumerate(contents.results.items())
    }
    return TaskSection(
        task,
        TASK_LABELS[task],
        TASKS.index(task) + 1,
        CORRECTIONS[task],
        task_models(contents.results)[task],
        {k: Markup(html) for k, html in figures.items()},  # noqa: S704 - names are in JSON
        contents.tables[RELATIVE.file(task)],
        contents.tables[ABSOLUTE.file(task)],
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


def gallery_sections(gallery: Gallery) -> dict[str, GallerySection]:
    """Pictures by task; a task shows the masks of one model."""
    sections = {}
    for task, rows in gallery.table.groupby("task", sort=False):
        (model,) = rows["model"].unique()
        ends = {
            str(end): [
                _picture(gallery, row, rows["rank"].max()) for row in of_end.to_dict("records")
            ]
            for end, of_end in rows.groupby("end", sort=False)
        }
        sections[str(task)] = GallerySection(shown_mask(str(task), model), ends)
    return sections


def _picture(gallery: Gallery, row: Mapping[Hashable, Any], n_objects: int) -> Picture:
    jpeg = base64.b64encode(gallery.pictures[row["picture"]]).decode("ascii")
    return Picture(
        address=f"data:image/jpeg;base64,{jpeg}",
        description=f"Object {row['object_id']} of {row['file']}: truth, prediction and click",
        place=f"{row['rank']} of {n_objects}",
        uncertainty=f"{measure_label(row['measure'])}: {number(row['uncertainty'], 3)}",
        iou=f"IoU {number(row['iou'], 2)} → {number(row['corrected_iou'], 2)}",
    )


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


def _radar(contents: Contents, split: str, div_id: str) -> tuple[Markup, pd.DataFrame]:
    table = contents.tables[RADAR.file(split)]
    html = radar_figure(table, list(contents.results[split].run["heads"]), div_id)
    return Markup(html), table  # noqa: S704 - names are in JSON


def _environment() -> jinja2.Environment:
    """Jinja with the words, colours and scripts that are the same in every report."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        measure_label=measure_label,
        column_label=column_label,
        model_label=model_label,
        method_label=METHOD_LABELS.__getitem__,
        number=number,
        tint=tint,
    )
    environment.globals.update(
        colours=COLOURS,
        is_dashed=is_dashed,
        task_labels=TASK_LABELS,
        mask_colours=MASK_COLOURS,
        ends=ENDS,
        paper=PAPER,
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - the library's own script
    )
    return environment
