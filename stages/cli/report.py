"""``usam report``: prints a summary of the results, and the path of the results' page."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.vocabulary import USED
from stages.page.labels import TASK_LABELS, protocol_heading
from stages.page.verdict import cautions, comparisons, sentences, undecided, verdict_table
from stages.program.main import reported_errors
from stages.settings.params import read_params
from stages.tables.paper import DataSets
from stages.tables.report_table import Results
from storage.errors import DataError
from storage.outputs.results import read_results
from storage.paths import PAGE, RESULTS, results_dir

CHOICE: Final = "choice"
"""Entry of the column ``choice`` of ``scores.csv`` for masks with the highest calibrated gain."""


def report() -> None:
    """Print a summary of the results and the path of their page.

    Exit 1 if the page was not written yet.
    """
    with reported_errors():
        if not PAGE.exists():
            raise DataError(f"{PAGE} must exist, got no file: `dvc repro report` writes it")
        params = read_params()
        results = {
            split: read_results(results_dir(split), of_objects=("protocol",))
            for split in params.eval_splits
        }
        print_summary(results, params.report.chosen_on, params.report.paper)


def print_summary(
    results: Results, chosen_on: str | None, data_sets: DataSets = MappingProxyType({})
) -> None:
    """Print the models, conclusions and a table of each split, and the cautions of the page.

    Parameters
    ----------
    chosen_on
        Split whose images choose the best measures; None if each split chooses its own.
    data_sets
        The data set of the paper that a split is, by split.
    """
    # Without markup and emoji, brackets and colons in names are printed as they are.
    console = Console(markup=False, emoji=False)
    for split, split_results in results.items():
        rows = comparisons(results, split, chosen_on)
        _print_split(console, split, split_results.run, rows)
        if words := choice_words(split_results.scores):
            _print_sentence(console, "A better mask", words)
    for caution in cautions(results, data_sets):
        console.print(f"\nCaution: {caution}")
    console.print(
        "\n100 is the order by true gain, 50 a random order; in brackets 95 % intervals over "
        "resampled images; bold is sure to beat 1 − SamScore."
    )
    console.print(f"Page: {PAGE}", f"Tables: {RESULTS / 'tables'}", sep="\n", soft_wrap=True)


def _print_split(console: Console, split: str, run: Mapping[str, Any], rows: pd.DataFrame) -> None:
    by_subject = sentences(rows, run["n_groups"])
    *_, (last_subject, last_words) = by_subject.items()
    console.print(
        f"{split}: {run['n_objects']} objects in {run['n_groups']} images, by the models "
        f"{', '.join(run['models'])} of family {run['entropy']['family']}."
    )
    _print_sentence(console, last_subject, last_words)
    console.print(_summary_table(split, rows))
    open_subjects = undecided(rows)
    for subject, words in by_subject.items():
        if subject not in (*open_subjects, last_subject):
            _print_sentence(console, subject, words)
    if open_subjects:
        words = f"no measure of the table is sure to beat 1 − SamScore on {run['n_groups']} images."
        _print_sentence(console, "; ".join(open_subjects), words)


def choice_words(scores: pd.DataFrame) -> str:
    """Sentence about the points of mean IoU that masks chosen by heads gain over selected masks.

    It names the gains by model and by heads of each train split; it is empty if there are none.
    """
    rows = scores[(scores["choice"] == CHOICE) & (scores["statistic"] == "mask_gain")]
    clauses = []
    for train_split, of_split in rows.groupby("train_split", sort=False):
        numbers = zip(*(of_split[name] for name in ("model", "value", "low", "high")), strict=True)
        gains = [
            f"{model} {100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            for model, value, low, high in numbers
        ]
        clauses.append(f"by heads of {train_split}, {', '.join(gains)}")
    if not clauses:
        return ""
    return (
        "points of mean IoU that the chosen masks gain over the selected masks of one click: "
        f"{'; '.join(clauses)}."
    )


def _summary_table(split: str, rows: pd.DataFrame) -> Table:
    shown = verdict_table(rows)
    tasks = [task for task in TASK_LABELS if task in shown]
    table = Table(title=f"{protocol_heading(USED)}: relative AUC in %, {split}")
    table.add_column("measure")
    for task in tasks:
        table.add_column(TASK_LABELS[task], justify="right")
    for row in shown.to_dict("records"):
        cells = [Text(row[task], style="bold" if row[f"{task}_better"] else "") for task in tasks]
        table.add_row(row["label"], *cells)
    return table


def _print_sentence(console: Console, subject: str, words: str) -> None:
    console.print(Text.assemble((subject, "bold"), f": {words}"))
