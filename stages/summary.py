"""``python -m stages.summary``: prints the relative AUC of every measure.

``make demo`` ends with it: DVC runs ``report`` only if something has changed.
"""

from itertools import product

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.vocabulary import PROTOCOLS
from stages.page.labels import TASK_LABELS, measure_label, protocol_heading, with_bounds
from stages.program.main import stage_main
from stages.settings.params import read_params
from stages.tables.auc import overview_table
from stages.tables.report_table import Results, of_protocol
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
    """Print a table for each protocol and split."""
    # Names are shown as they are, brackets and colons too.
    console = Console(markup=False, emoji=False)
    for protocol, split in product(PROTOCOLS, results):
        found = results[split]
        overview = overview_table(of_protocol(results, protocol), split)
        tasks = [task for task in TASK_LABELS if task in overview]
        about = f"relative AUC in %, {split}, {found.run['n_objects']} objects"
        table = Table(title=f"{protocol_heading(protocol)}: {about}")
        table.add_column("measure")
        for task in tasks:
            table.add_column(TASK_LABELS[task], justify="right")
        best = overview[tasks].max()
        for row in overview.to_dict("records"):
            cells = [
                Text(with_bounds(row, task), style="bold" if row[task] == best[task] else "")
                for task in tasks
            ]
            table.add_row(measure_label(row["measure"]), *cells)
        console.print(table)
    console.print(
        "100 is the order by true gain, 0 its reverse, 50 a random order; "
        "95 % intervals over resampled images."
    )
    page, tables = RESULTS / "report.html", RESULTS / "tables"
    console.print(f"Page: {page}", f"Tables: {tables}", sep="\n", soft_wrap=True)


if __name__ == "__main__":
    main()
