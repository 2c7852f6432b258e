"""Renders the report of the results as a single HTML file that loads nothing from the network."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from pipeline.scoring.measures import MEASURES, TASK_MEASURES
from pipeline.vocabulary import USED
from stages.page import figures, gallery_sections, labels, people, printed_tables, svg, verdict
from stages.tables import report_table
from stages.tables.catalogue import CORRELATION, RADAR, RUNTIME, TRIALS, Tables
from stages.tables.paper import PAPER, DataSets, paper_numbers
from storage.outputs.results import Gallery, SplitResults

FOLDER: Final = Path(__file__).parent

SHOWN_PROTOCOLS: Final = (USED, report_table.PAPER_PROTOCOL)
"""Protocols in the order of the page: first the users' protocol, then the paper's."""

OF_ALL: Final = ("trials", "runtime")
"""Sections that belong to no protocol and stand once, at the end of the page."""

CODE: Final = ("pipeline", "stages", "storage", "params.yaml")
"""Folders of the code, and the file of the settings: a commit that changes them dates the page."""

N_SHA_DIGITS: Final = 12
"""Number of digits of the commit's name that the page shows."""


@dataclass(frozen=True)
class Commit:
    """The last commit that changed files of ``CODE``, and files of ``CODE`` changed after it."""

    sha: str
    """The first ``N_SHA_DIGITS`` digits of the commit's name."""
    date: str
    """Date of the commit, YYYY-MM-DD."""
    changed: tuple[str, ...]
    """Files of ``CODE`` with changes that are not committed."""


@dataclass(frozen=True)
class Contents:
    """The title, results, tables, pictures and commit that the page is made from."""

    title: str
    results: report_table.Results
    tables: Tables
    """Tables by path, as ``report_tables`` returns them."""
    galleries: Mapping[str, Gallery]
    """Galleries by eval split."""
    data_sets: DataSets
    """The data set of the paper that a split is, by split; other splits are left out."""
    chosen_on: str | None
    """Eval split that chooses the named measures; None if each split chooses its own."""
    commit: Commit | None
    """Last commit that changed the code or the settings; None if ``last_commit`` finds none."""


def render_report(contents: Contents) -> str:
    """Render the page as HTML; equal contents give equal HTML."""
    results = contents.results
    printed = printed_tables.print_tables(contents.tables, results)
    trials = contents.tables.get(TRIALS.file())
    page = page_template().render(
        _facts(results),
        title=contents.title,
        commit=contents.commit,
        paper_trials=paper_numbers("trials") if contents.data_sets else None,
        data_sets=contents.data_sets,
        cautions=verdict.cautions(results, contents.data_sets),
        openings={
            split: opening(contents, split, f"opening-{i}") for i, split in enumerate(results)
        },
        images=gallery_sections.images(contents.galleries.values()),
        parts=[protocol_part(contents, protocol) for protocol in SHOWN_PROTOCOLS],
        printed=printed,
        of_both=[name for name, tables in printed.items() if tables and name not in OF_ALL],
        of_all=OF_ALL,
        runtime=contents.tables[RUNTIME.file()],
        trials={} if trials is None else _blocks(trials, ["trained_on", "objective"]),
    )
    return page.rstrip() + "\n"


def _facts(results: report_table.Results) -> dict[str, Any]:
    first = next(iter(results.values()))
    models, measured = first.run["models"], set(first.scores["measure"])
    return {
        "runs": {split: split_results.run for split, split_results in results.items()},
        "n_resamples": first.run["n_resamples"],
        "largest": list(models)[-1],
        "lines": verdict.lines_of(report_table.task_models(results)),
        "measures": [measure for measure in MEASURES if measure.is_known(models, measured)],
    }


def opening(contents: Contents, split: str, name: str) -> dict[str, Any]:
    """Sentences, table, figure and pictures that open the page, by their names in the template.

    They show the conclusions from a split, mainly under the users' protocol. ``name`` is the id of
    the figure on the page.
    """
    split_results = contents.results[split]
    rows = verdict.comparisons(contents.results, split, contents.chosen_on)
    (used,) = report_table.of_protocol({split: split_results}, USED).values()
    return {
        "sentences": verdict.sentences(rows, split_results.run["n_groups"]),
        "table": verdict.verdict_table(rows),
        "figure": svg.page_svg(figures.opening_figure(figures.first_curves(used)), name),
        "doubted": gallery_sections.doubted(contents.galleries[split], split),
    }


def protocol_part(contents: Contents, protocol: str) -> dict[str, Any]:
    """Figures, tables and pictures of the part of the page about a protocol, for the template.

    ``contents`` may have results of all protocols.
    """
    contents = replace(contents, results=report_table.of_protocol(contents.results, protocol))
    return {
        "key": protocol,
        "data_sets": contents.data_sets if protocol == report_table.PAPER_PROTOCOL else {},
        "tasks": [
            task_section(contents, protocol, task)
            for task in report_table.task_models(contents.results)
        ],
        "printed": printed_tables.print_tables(contents.tables, contents.results, protocol),
        "splits": {
            split: _split_part(contents, protocol, split, f"{protocol}-{i}")
            for i, split in enumerate(contents.results)
        },
    }


def _split_part(contents: Contents, protocol: str, split: str, key: str) -> dict[str, Any]:
    results, tasks = contents.results[split], list(report_table.task_models(contents.results))
    radar = contents.tables[RADAR.file(split, protocol)]
    correlation = contents.tables[CORRELATION.file(split, protocol)]
    gallery = contents.galleries[split].of_protocol(protocol)
    return {
        "radar": svg.page_svg(figures.radar_figure(radar), f"radar-{key}"),
        "radar_table": printed_tables.make_grid(
            radar, tasks, first_heads=report_table.first_train_split(results)
        ),
        "gallery": gallery_sections.gallery_sections(gallery, protocol, split),
        "correlations": _blocks(correlation, ["model", "train_split"]),
        "reliability": svg.page_svg(figures.reliability_figure(results), f"calibration-{key}-0"),
        "people": _people(results, key),
    }


def _people(results: SplitResults, key: str) -> dict[str, Any]:
    """Figure and verdicts about people's segments; empty without several persons."""
    rows = people.verdicts(results.scores, report_table.first_train_split(results))
    if rows.empty:
        return {}
    return {
        "figure": svg.page_svg(figures.people_figure(results), f"people-{key}"),
        "plan": people.plan_table(rows),
        "models": list(rows["model"].unique()),
        "n_tests": len(rows),
    }


def task_section(contents: Contents, protocol: str, task: str) -> dict[str, Any]:
    """Figures and labels of a task, from contents that hold the results of the protocol alone."""
    results = contents.results
    key = f"{task}-{protocol}"
    shown_measures = verdict.OF_LINES[task]
    drawn = {
        split: [
            svg.page_svg(
                figures.curves_figure(split_results.curves, task, measures), f"{name}-{key}-{i}"
            )
            for name, measures in {
                "curves": shown_measures,
                "all-curves": TASK_MEASURES[task],
            }.items()
        ]
        for i, (split, split_results) in enumerate(results.items())
    }
    return {
        "key": key,
        "label": labels.TASK_LABELS[task],
        "correction": labels.correction(protocol, task),
        "model": report_table.task_models(results)[task],
        "figures": drawn,
    }


def _blocks(table: pd.DataFrame, keys: list[str]) -> dict[tuple[str, str], pd.DataFrame]:
    return {
        (str(first), str(second)): rows.drop(columns=keys)
        for (first, second), rows in table.groupby(keys, sort=False)
    }


def page_template(name: str = "report.html.j2") -> jinja2.Template:
    """Load the Jinja template of a page; a variable that it lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["coded"] = coded
    environment.globals |= {
        "labels": labels,
        "section_labels": report_table.SECTIONS,
        "paper": PAPER,
    }
    return environment.get_template(name)


def coded(text: str) -> Markup:
    """Escape a text for HTML, and mark the words between backticks as code.

    >>> coded("heads `a` & b")
    Markup('heads <code>a</code> &amp; b')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def last_commit(root: Path) -> Commit | None:
    """Find the last commit that changed files of ``CODE`` below ``root``, and files changed since.

    None if git is not installed, ``root`` is not in a repository, or no commit has these files.

    Notes
    -----
    The page shows this commit's date, not today's, so that equal inputs give equal bytes. Commits
    of other files (docs, ``dvc.lock``) do not count: the page must not change with them.
    """
    if shutil.which("git") is None:
        return None
    # %H is the full name: the length of git's abbreviated name depends on the repository.
    logged = _git(root, "log", "-1", "--format=%H %cs", "--", *CODE)
    if not logged:
        return None
    sha, date = logged.split()
    status = _git(root, "status", "--porcelain", "-z", "--no-renames", "-uall", "--", *CODE)
    # A line has two letters for the kind of change, a space, and the file.
    changed = sorted(line[3:] for line in status.split("\0") if line)
    return Commit(sha[:N_SHA_DIGITS], date, tuple(changed))


def _git(root: Path, *arguments: str) -> str:
    """Output of a git command; empty if the command fails, as outside of a repository."""
    # Git must not lock the index, because another process may be using it.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
