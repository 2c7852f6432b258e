"""``usam report``: prints a summary of the results, and the path of the results' page."""

import json
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.mask_choices import choose_masks, mean_gain, offered_masks, selected_masks
from pipeline.sam.families import EMBEDDED
from pipeline.vocabulary import TRAIN_PROMPTS, USED
from stages.page.labels import TASK_LABELS, protocol_heading
from stages.page.verdict import cautions, comparisons, sentences, undecided, verdict_table
from stages.predictor.model_choice import OF_USERS
from stages.program.main import reported_errors
from stages.settings.params import Params, cache_location, read_params
from stages.settings.signatures import eval_settings
from stages.tables.paper import DataSets
from stages.tables.report_table import Results
from stages.training.choices import expected_iou_at_cut
from stages.training.data import group_index
from storage.errors import DataError
from storage.head_files.guarantees import offered_choice
from storage.head_files.head_file import read_head_file, shipped_heads
from storage.outputs.results import read_results
from storage.paths import PAGE, RESULTS, features_path, results_dir
from storage.split.split_cells import head_origin, open_cells

SHIPPED_RESULTS: Final = Path(__file__).with_name("shipped_results.json")
"""Conclusions from the results of ``params/results.yaml``, written by ``tools.show_results``."""

CHOICE: Final = "choice"
"""Entry of the column ``choice`` of ``scores.csv`` for masks with the highest calibrated gain."""

Gain = tuple[float, float, float]
"""Mean gain in IoU, and the ends of its 95 % interval."""

Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def report(to_open: Open = False) -> None:  # noqa: FBT002 - typer's option
    """Print a summary of the results and the path of their page; --open shows the page.

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
        shipped = {split: shipped_gains(params, split) for split in params.eval_splits}
        print_summary(results, params.report.chosen_on, shipped, params.report.paper)
        if to_open and not webbrowser.open(PAGE.absolute().as_uri()):
            raise DataError(f"a browser must be installed to open {PAGE}, got none")


def shipped_gains(params: Params, split: str) -> dict[str, Gain]:
    """Mean IoU gained by masks that the package's heads offer, over selected masks of a click.

    The gain is by model, of the models for whose masks the heads offer others. Empty if features of
    the split are not here, or if the heads learned from features of other models, weights or
    precision.
    """
    paths = (features_path(split, model, "identity") for model in params.models)
    if params.extract.family not in EMBEDDED or not all(path.exists() for path in paths):
        return {}
    identity = [params.view("identity")]
    expected = eval_settings(params.extract, split, params.models, identity, params.extra_prompts)
    cells = open_cells(split, expected, cache=cache_location())
    heads = read_head_file(shipped_heads(params.extract.family))
    if not cells.head_origin.items() <= heads.card.items():
        return {}
    prompt, gains = TRAIN_PROMPTS[0], {}
    for model, cell in cells.identity.items():
        calibration = offered_choice(heads.card, prompt, model)
        if calibration is None:
            continue
        expected_iou = expected_iou_at_cut(cell, OF_USERS, heads.weights, prompt)
        selected = selected_masks(cell.proposals(prompt).sam_score)
        masks, _ = offered_masks(choose_masks(expected_iou), selected, expected_iou, calibration)
        iou_at_cut = cell.iou_at_cut(prompt)
        gain = masks.of(iou_at_cut) - selected.of(iou_at_cut)
        gains[model] = mean_gain(gain, group_index(cells.table))
    return gains


def print_summary(
    results: Results,
    chosen_on: str | None,
    shipped: Mapping[str, Mapping[str, Gain]] = MappingProxyType({}),
    data_sets: DataSets = MappingProxyType({}),
) -> None:
    """Print the models, conclusions and a table of each split, and the cautions of the page.

    If the models of a split are in the package, the conclusions that ship with it follow.

    Parameters
    ----------
    chosen_on
        Split whose images choose the best measures; None if each split chooses its own.
    shipped
        Gains of ``shipped_gains``, by split and model.
    data_sets
        The data set of the paper that a split is, by split.
    """
    # Without markup and emoji, brackets and colons in names are printed as they are.
    console = Console(markup=False, emoji=False)
    for split, split_results in results.items():
        rows = comparisons(results, split, chosen_on)
        _print_split(console, split, split_results.run, rows)
        words = choice_words(split_results.scores, shipped.get(split, {}))
        if words:
            _print_sentence(console, "A better mask", words)
    for caution in cautions(results, data_sets):
        console.print(f"\nCaution: {caution}")
    of_shipped = [words for split in results.values() if (words := shipped_words(split.run))]
    if of_shipped:
        _print_shipped(console, of_shipped[0])
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
        words = f"no measure is sure to beat 1 − SamScore on {run['n_groups']} images."
        _print_sentence(console, "; ".join(open_subjects), words)


def choice_words(scores: pd.DataFrame, shipped: Mapping[str, Gain]) -> str:
    """Sentence about the points of mean IoU that masks chosen by heads gain over selected masks.

    It names the gains by heads of each train split in ``scores``, and the gains by model in
    ``shipped``; it is empty if there are none.
    """
    rows = scores[(scores["choice"] == CHOICE) & (scores["statistic"] == "mask_gain")]
    own = {
        f"heads of {train_split}": {
            str(model): (float(value), float(low), float(high))
            for model, value, low, high in zip(
                *(of_split[name] for name in ("model", "value", "low", "high")), strict=True
            )
        }
        for train_split, of_split in rows.groupby("train_split", sort=False)
    }
    by_heads = own | {"the heads that ship": shipped}
    clauses = [
        f"by {heads}, {', '.join(_gain_words(model, gain) for model, gain in gains.items())}"
        for heads, gains in by_heads.items()
        if gains
    ]
    if not clauses:
        return ""
    return (
        "points of mean IoU that the chosen masks gain over the selected masks of one click: "
        f"{'; '.join(clauses)}."
    )


def _gain_words(model: str, gain: Gain) -> str:
    value, low, high = (f"{100 * number:+.1f}" for number in gain)
    return f"{model} {value} ({low} to {high})"


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


def shipped_words(run: Mapping[str, Any]) -> str:
    """What the results that ship share with a run; empty if its models have other weights.

    Heads are the same if they learned from the same features as those that ship.
    """
    card = read_head_file(shipped_heads()).card
    origin = head_origin(run["models"])
    if not origin.items() <= card.items():
        return ""
    learned = {
        entries["features_digest"]
        for heads in run["heads"].values()
        for entries in heads.values()
        if "features_digest" in entries
    }
    if card["features_digest"] in learned:
        return "The same models, with the same heads,"
    return f"The same models, with heads that learned from {card['n_images']} other images,"


def _print_shipped(console: Console, beginning: str) -> None:
    shipped = json.loads(SHIPPED_RESULTS.read_text("utf-8"))
    console.print(
        f"\n{beginning} on {shipped['n_images']} drawn scenes with {shipped['n_objects']} "
        "objects, from the results that ship (`make results`):\n"
    )
    for subject, words in shipped["sentences"].items():
        _print_sentence(console, subject, words)


def _print_sentence(console: Console, subject: str, words: str) -> None:
    console.print(Text.assemble((subject, "bold"), f": {words}"))
