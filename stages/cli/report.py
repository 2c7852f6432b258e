"""``usam report``: a summary of the results in sentences and a table, and their page's path."""

import webbrowser
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stages.page.labels import TASK_LABELS, protocol_heading
from stages.page.verdict import USED, comparisons, sentences, verdict_table
from stages.program.main import reported_errors
from stages.settings.params import read_params
from stages.tables.report_table import Results
from storage.errors import DataError
from storage.outputs.results import read_results
from storage.paths import RESULTS, results_dir

PAGE: Final = RESULTS / "report.html"

Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def report(to_open: Open = False) -> None:  # noqa: FBT002 - typer's option
    """Print a summary of the results and the path of their page; --open shows it."""
    with reported_errors():
        if not PAGE.exists():
            raise DataError(f"{PAGE} must exist, got no file: dvc repro report writes it")
        splits = read_params().eval_splits
        print_summary(
            {split: read_results(results_dir(split), of_objects=("protocol",)) for split in splits}
        )
        if to_open and not webbrowser.open(PAGE.absolute().as_uri()):
            raise DataError(f"a browser must be installed to open {PAGE}, got none")


def print_summary(results: Results) -> None:
    """Print sentences and a table for each split."""
    # Without markup and emoji, brackets and colons in names are printed as they are.
    console = Console(markup=False, emoji=False)
    for split, split_results in results.items():
        rows = comparisons(results, split)
        shown = verdict_table(rows)
        tasks = [task for task in TASK_LABELS if task in shown]
        about = f"relative AUC in %, {split}, {split_results.run['n_objects']} objects"
        table = Table(title=f"{protocol_heading(USED)}: {about}")
        table.add_column("measure")
        for task in tasks:
            table.add_column(TASK_LABELS[task], justify="right")
        for row in shown.to_dict("records"):
            cells = [
                Text(row[task], style="bold" if row[f"{task}_better"] else "") for task in tasks
            ]
            table.add_row(row["label"], *cells)
        console.print(table)
        for subject, words in sentences(rows, split_results.run["n_groups"]).items():
            console.print(Text.assemble((subject, "bold"), f": {words}"))
    console.print(
        "\n100 is the order by true gain, 50 a random order; in brackets 95 % intervals over "
        "resampled images; bold is sure to beat 1 − SamScore."
    )
    console.print(f"Page: {PAGE}", f"Tables: {RESULTS / 'tables'}", sep="\n", soft_wrap=True)
