"""Stage ``report``: results of all eval splits in, tables, metrics, plots and a page out.

Reads   ``params.yaml:report``, ``results/splits/<split>`` of every eval split.
Writes  ``results/metrics.json``, ``results/tables/*.csv``, ``results/plots/*.csv``,
        ``results/report.html``.
"""

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from stages.labels import TASK_LABELS, measure_label
from stages.params import ParamsError, read_block, read_lists, strict
from stages.rendering import render_report, with_bounds
from stages.shell import stage_main
from stages.tables import (
    Results,
    absolute_table,
    correlation_table,
    curve_table,
    iou_table,
    margin_table,
    metrics,
    overview_table,
    relative_table,
    task_models,
    view_table,
)
from storage.layout import RESULTS, results_dir
from storage.results import read_results, write_json, write_table

TEMPLATE: Final = Path(__file__).parent / "templates" / "report.html.j2"

PAPER_TABLES: Final = {"model": 1, "prompt": 2, "task": 3, "segmentation": 4}
"""Number of a task's table of relative AUC; that of the absolute AUC is ten more."""

PERCENT_FORMAT: Final = "%.2f"


@strict
class ReportParams:
    """Settings of the stage."""

    title: str


@stage_main
def main() -> None:
    """Report on every eval split."""
    params = read_block("report", ReportParams)
    splits = read_lists().eval_splits
    if not splits:
        raise ParamsError("eval_splits must name at least one split to report on, got none")
    results = {split: read_results(results_dir(split)) for split in splits}
    write_json(RESULTS / "metrics.json", metrics(results))
    _write_tables(results)
    for task in task_models(results):
        write_table(RESULTS / "plots" / f"{task}.csv", curve_table(results, task))
    page = render_report(results, params.title, TEMPLATE.read_text(encoding="utf-8"))
    path = RESULTS / "report.html"
    path.write_text(page, encoding="utf-8")
    _print_summary(results, path)


def _write_tables(results: Results) -> None:
    tables = {
        "iou": iou_table(results),
        "margin": margin_table(results),
        "table10_iou_by_view": view_table(results),
    }
    for task in task_models(results):
        n = PAPER_TABLES[task]
        tables[f"table{n}_{task}"] = relative_table(results, task)
        tables[f"table{10 + n}_{task}_auc"] = absolute_table(results, task)
    tables |= {f"correlation_{split}": correlation_table(results[split]) for split in results}
    for name, table in tables.items():
        write_table(RESULTS / "tables" / f"{name}.csv", table, PERCENT_FORMAT)


def _print_summary(results: Results, page: Path) -> None:
    console = Console()
    for split, found in results.items():
        overview = overview_table(results, split)
        tasks = [task for task in TASK_LABELS if task in overview]
        table = Table(title=f"Relative AUC in %, {split}, {found.run['n_objects']} objects")
        table.add_column("measure")
        for task in tasks:
            table.add_column(TASK_LABELS[task], justify="right")
        best = overview[tasks].max()
        for _, row in overview.iterrows():
            cells = [
                f"[bold]{with_bounds(row, task)}[/]"
                if row[task] == best[task]
                else with_bounds(row, task)
                for task in tasks
            ]
            table.add_row(measure_label(row["measure"]), *cells)
        console.print(table)
    console.print(
        "100 orders by the true gain, 0 the reverse, 50 at random; "
        "95 % intervals of other images of the kind."
    )
    console.print(f"Page: {page}", f"Tables: {RESULTS / 'tables'}", sep="\n", soft_wrap=True)


if __name__ == "__main__":
    main()
