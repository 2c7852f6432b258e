"""``python -m stages.summary``: prints what the results say, in five sentences and one table.

``make demo`` ends with it: DVC runs ``report`` only if something has changed.
"""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stages.page.labels import TASK_LABELS, protocol_heading
from stages.page.verdict import USED, comparisons, sentences, verdict_table
from stages.program.main import stage_main
from stages.settings.params import read_params
from stages.tables.report_table import Results
from storage.outputs.results import read_results
from storage.paths import RESULTS, results_dir


@stage_main
def main() -> None:
    """Print the results of every eval split."""
    splits = read_params().eval_splits
    print_summary(
        {split: read_results(results_dir(split), of_objects=("protocol",)) for split in splits}
    )


def print_summary(results: Results) -> None:
    """Print sentences and a table for each split."""
    # Names are shown as they are, brackets and colons too.
    console = Console(markup=False, emoji=False)
    for split, found in results.items():
        rows = comparisons(results, split)
        shown = verdict_table(rows)
        tasks = [task for task in TASK_LABELS if task in shown]
        about = f"relative AUC in %, {split}, {found.run['n_objects']} objects"
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
        for subject, words in sentences(rows, found.run["n_groups"]).items():
            console.print(Text.assemble((subject, "bold"), f": {words}"))
    console.print(
        "\n100 is the order by true gain, 50 a random order; in brackets 95 % intervals over "
        "resampled images; bold is sure to beat 1 − SamScore."
    )
    page, tables = RESULTS / "report.html", RESULTS / "tables"
    console.print(f"Page: {page}", f"Tables: {tables}", sep="\n", soft_wrap=True)


if __name__ == "__main__":
    main()
