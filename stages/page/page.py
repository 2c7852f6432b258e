"""Results as a page: one HTML file that needs no network."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from pipeline.scoring.measures import MEASURES, TASK_MEASURES
from pipeline.vocabulary import PROTOCOLS
from stages.page import figures, grid, labels, pictures, provenance, svg, verdict
from stages.tables import report_table
from stages.tables.auc import overview_table
from stages.tables.catalogue import CORRELATION, RADAR, REPORT_TABLES, RUNTIME, TRIALS, Tables
from stages.tables.paper import FAMILY, PAPER, DataSets, paper_numbers
from storage.outputs.results import Gallery, SplitResults

FOLDER: Final = Path(__file__).parent

N_NAMED: Final = 5
"""Most changed files that the page names; the rest are counted."""

OF_TASKS: Final = [
    row
    for row in REPORT_TABLES
    if row.section == "curves" and "{task}" in row.name and row.is_by_protocol
]
"""Tables that stand with the curves of their task."""

SHOWN_PROTOCOLS: Final = tuple(sorted(PROTOCOLS, key=lambda name: name != verdict.USED))
"""Protocols in the order of the page: what a user has comes first."""

OF_ALL: Final[tuple[report_table.Section, ...]] = ("trials", "runtime")
"""Sections that stand once, after those of the protocols."""


@dataclass(frozen=True)
class Contents:
    """All that the page is made from."""

    title: str
    results: report_table.Results
    tables: Tables
    """As ``report_tables`` gives them."""
    galleries: Mapping[str, Gallery]
    """Galleries by split."""
    data_sets: DataSets
    commit: provenance.Commit | None
    """Commit of the code and the settings; None if it is unknown."""


@dataclass(frozen=True)
class Opening:
    """The head of the page: what a split's results mean for a user."""

    sentences: Mapping[str, str]
    """By subject."""
    table: pd.DataFrame
    """As ``verdict_table`` gives it."""
    figure: Markup
    surprises: pictures.GallerySection | None


@dataclass(frozen=True)
class TaskSection:
    """All that the page shows of a task; ``correction`` in words.

    ``figures`` by split: some measures, then all.
    """

    key: str
    label: str
    correction: str
    model: str
    figures: Mapping[str, list[Markup]]
    tables: list[grid.PrintedTable]


@dataclass(frozen=True)
class ProtocolPart:
    """All that the page shows of a protocol; mappings are by split."""

    key: str
    label: str
    meaning: str
    truth_mark: str
    """Note in headings; empty if no measure knows the truth."""
    masks: str
    """The judged masks, in a sentence."""
    data_sets: DataSets
    """Data sets of the paper whose numbers stand here."""
    overviews: Mapping[str, grid.Grid]
    tasks: list[TaskSection]
    radars: Mapping[str, tuple[Markup, grid.Grid]]
    galleries: Mapping[str, Mapping[str, pictures.GallerySection]]
    correlations: Mapping[str, Mapping[tuple[str, str], pd.DataFrame]]
    uses: Mapping[str, Mapping[str, list[Markup]]]
    """Figures of how useful measures are, by the section that shows them."""
    printed: Mapping[report_table.Section, list[grid.PrintedTable]]
    """Tables of the catalogue by section."""


def render_report(contents: Contents) -> str:
    """Render the page; equal contents give an equal page."""
    results = contents.results
    first = next(iter(results.values()))
    printed = _printed(contents, "")
    page = page_template().render(
        title=contents.title,
        commit=contents.commit,
        paper_trials=paper_numbers("trials") if contents.data_sets else None,
        data_sets=contents.data_sets,
        unlike_paper=unlike_paper(results, contents.data_sets),
        runs={split: found.run for split, found in results.items()},
        n_resamples=first.run["n_resamples"],
        openings={split: opening(contents, split) for split in results},
        lines=verdict.LINES,
        parts=[protocol_part(contents, protocol) for protocol in SHOWN_PROTOCOLS],
        printed=printed,
        of_both=[name for name, tables in printed.items() if tables and name not in OF_ALL],
        of_all=OF_ALL,
        measures=[
            one for one in MEASURES if not one.compares_models or len(first.run["models"]) > 1
        ],
        runtime=contents.tables[RUNTIME.file()],
        trials=trial_blocks(contents.tables.get(TRIALS.file())),
    )
    return page.rstrip() + "\n"


def opening(contents: Contents, split: str) -> Opening:
    """What a split's results mean for a user."""
    found = contents.results[split]
    rows = verdict.comparisons(contents.results, split)
    (used,) = report_table.of_protocol({split: found}, verdict.USED).values()
    name = f"opening-{list(contents.results).index(split)}"
    return Opening(
        verdict.sentences(rows, found.run["n_groups"]),
        verdict.verdict_table(rows),
        svg.page_svg(figures.opening_figure(figures.first_curves(used)), name),
        pictures.surprises(contents.galleries[split], split),
    )


def unlike_paper(results: report_table.Results, data_sets: DataSets) -> dict[str, str]:
    """Family of each split beside the paper's numbers, if other than the paper's."""
    families = {split: found.run["entropy"]["family"] for split, found in results.items()}
    return {
        split: family
        for split, family in families.items()
        if split in data_sets and family != FAMILY
    }


def protocol_part(contents: Contents, protocol: str) -> ProtocolPart:
    """What the page shows of a protocol."""
    own = replace(contents, results=report_table.of_protocol(contents.results, protocol))
    return ProtocolPart(
        key=protocol,
        label=labels.PROTOCOL_LABELS[protocol],
        meaning=labels.PROTOCOL_MEANINGS[protocol],
        truth_mark=labels.TRUTH_MARKS[protocol],
        masks=labels.MASK_LABELS[protocol],
        data_sets=contents.data_sets if protocol == report_table.PAPER_PROTOCOL else {},
        overviews={
            split: _by_task(overview_table(own.results, split), "") for split in own.results
        },
        tasks=[task_section(own, protocol, task) for task in report_table.task_models(own.results)],
        radars={
            split: _radar(own, protocol, split, f"radar-{protocol}-{i}")
            for i, split in enumerate(own.results)
        },
        galleries={
            split: pictures.gallery_sections(gallery.of_protocol(protocol), protocol, split)
            for split, gallery in own.galleries.items()
        },
        correlations={
            split: correlation_blocks(own.tables, protocol, split) for split in own.results
        },
        uses={
            split: _uses(found, own.tables[RUNTIME.file()], f"{protocol}-{i}")
            for i, (split, found) in enumerate(own.results.items())
        },
        printed=_printed(own, protocol),
    )


def task_section(contents: Contents, protocol: str, task: str) -> TaskSection:
    """Figures and tables of a task; the results are those of the protocol."""
    results = contents.results
    key = f"{task}-{protocol}"
    some = verdict.OF_LINES[task]
    drawn = {
        split: [
            svg.page_svg(figures.curves_figure(curves, task, measures), f"{name}-{key}-{i}")
            for name, measures in {"curves": some, "all-curves": TASK_MEASURES[task]}.items()
        ]
        for i, (split, found) in enumerate(results.items())
        for curves in [found.curves]
    }
    return TaskSection(
        key,
        labels.TASK_LABELS[task],
        labels.correction(protocol, task),
        report_table.task_models(results)[task],
        drawn,
        grid.print_tables(OF_TASKS, contents.tables, results, protocol=protocol, task=task),
    )


def correlation_blocks(
    tables: Tables, protocol: str, split: str
) -> dict[tuple[str, str], pd.DataFrame]:
    """Correlations of a split, square, by model and train split."""
    return _blocks(tables[CORRELATION.file(split, protocol)], ["model", "train_split"])


def _uses(found: SplitResults, timed: pd.DataFrame, key: str) -> dict[str, list[Markup]]:
    task = figures.MASKS_OF
    drawn = {
        "selective": [
            figures.coverage_figure(found, measures)
            for measures in (verdict.OF_LINES[task], TASK_MEASURES[task])
        ],
        "calibration": [figures.reliability_figure(found)],
        "routing": [figure for figure in [figures.routing_figure(found, timed)] if figure],
    }
    return {
        name: [svg.page_svg(one, f"{name}-{key}-{i}") for i, one in enumerate(shown)]
        for name, shown in drawn.items()
        if shown
    }


def _printed(
    contents: Contents, protocol: str
) -> dict[report_table.Section, list[grid.PrintedTable]]:
    """Tables of the catalogue by section, apart from those that stand with their task."""
    of_sections = {
        section: [row for row in REPORT_TABLES if row.section == section and row not in OF_TASKS]
        for section in get_args(report_table.Section)
    }
    return {
        section: grid.print_tables(rows, contents.tables, contents.results, protocol=protocol)
        for section, rows in of_sections.items()
    }


def trial_blocks(trials: pd.DataFrame | None) -> dict[tuple[str, str], pd.DataFrame]:
    """Trials by train split and objective."""
    return {} if trials is None else _blocks(trials, ["trained_on", "objective"])


def _blocks(table: pd.DataFrame, keys: list[str]) -> dict[tuple[str, str], pd.DataFrame]:
    return {
        (str(one), str(other)): rows.drop(columns=keys)
        for (one, other), rows in table.groupby(keys, sort=False)
    }


def _radar(contents: Contents, protocol: str, split: str, name: str) -> tuple[Markup, grid.Grid]:
    table = contents.tables[RADAR.file(split, protocol)]
    first_heads = report_table.first_train_split(contents.results[split])
    return svg.page_svg(figures.radar_figure(table), name), _by_task(table, first_heads)


def _by_task(table: pd.DataFrame, first_heads: str) -> grid.Grid:
    """A grid of a table that has a column per task."""
    columns = {
        task + end: label + end
        for task, label in labels.TASK_LABELS.items()
        for end in ("", *report_table.BOUNDS_OF)
    }
    tasks = [label for task, label in labels.TASK_LABELS.items() if task in table]
    return grid.make_grid(table.rename(columns=columns), tasks, first_heads=first_heads)


def page_template() -> jinja2.Template:
    """The page, which lacks only the results."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= FILTERS
    environment.globals.update(
        colours=labels.COLOURS,
        dashed=labels.DASHED,
        task_labels=labels.TASK_LABELS,
        section_labels=labels.SECTION_LABELS,
        mask_colours=labels.MASK_COLOURS,
        ends=labels.ENDS,
        paper=PAPER,
        paper_family=FAMILY,
        n_named=N_NAMED,
        words=labels.GLOSSARY,
    )
    return environment.get_template("report.html.j2")


def interval(cell: grid.Cell, n_digits: int) -> str:
    """Write the ends of an interval, with a word between them if a dash could be a minus."""
    between = " to " if cell.low < 0 else "–"
    return labels.number(cell.low, n_digits) + between + labels.number(cell.high, n_digits)


def coded(text: str) -> Markup:
    """Text with what stands between backticks as code.

    >>> coded("heads `a` & b")
    Markup('heads <code>a</code> &amp; b')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "caption": labels.caption,
    "column_label": labels.column_label,
    "model_label": labels.model_label,
    "method_label": labels.METHOD_LABELS.__getitem__,
    "number": labels.number,
    "interval": interval,
    "significant": labels.significant,
    "timed_ratio": labels.timed_ratio,
    "tint": labels.tint,
    "coded": coded,
}
"""How the page words what it shows."""
