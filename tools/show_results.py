"""Writes sentences and tables of the results into README and docs.

``python -m tools.show_results drawn`` is a part of ``make results-drawn``, and with
``photographs`` of ``make results-photographs``.

Reads   ``results/splits`` of the two splits of the images, of ``params/results.yaml`` or
        ``params/photographs.yaml``; the replication in ``docs/results.md``.
Writes  in ``docs/results.md``, the parts of these images and the table of what carries over; of
        photographs, the results in ``README.md``, and ``docs/curves.svg``.
"""

import re
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pipeline.better_masks import BETTER_MASKS, SELECTED, SELECTED_CODES
from pipeline.mask_sets import SETS
from pipeline.mask_statistics import AGREEMENTS, ENTROPIES
from pipeline.scoring.measures import (
    BASELINE,
    KNOWS_TRUTH,
    UNTRAINED_MEASURES,
)
from pipeline.scoring.people import FOLLOWED
from pipeline.scoring.scores import names_of
from pipeline.scoring.tasks import default_model, judged_proposal
from pipeline.vocabulary import PROTOCOLS, USED
from stages.page.figures import first_curves, opening_figure
from stages.page.labels import (
    DASH,
    PREDICTED_IOU_LABELS,
    PROTOCOL_MEANINGS,
    TASK_LABELS,
    measure_label,
    number,
    protocol_heading,
    with_bounds,
)
from stages.page.labels import interval as interval_words
from stages.page.people import plan_table, verdicts
from stages.page.svg import svg_file
from stages.page.verdict import (
    LAST_SUBJECT,
    LINES,
    OWN_HEADS,
    PAPER_LINE,
    PAPER_SUBJECT,
    RADAR_MEASURES,
    comparisons,
    last_sentence,
    sentences,
    verdict_table,
)
from stages.tables.catalogue import OF_MEASURE
from stages.tables.pivot import MASKS, in_percent, is_of_largest, pivot, score_rows
from stages.tables.report_table import WITH_BOUNDS, first_train_split, of_protocol
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tools.blocks import read_block, replace_block, starred, table


@dataclass(frozen=True)
class World:
    """Images that results are about."""

    name: str
    """As blocks of docs/results.md begin with it."""
    split: str
    """Images on which no measure was chosen: all numbers are of these."""
    chosen_on: str
    """Images that choose the measures which sentences name."""
    images: str
    """What they are, in words."""


DRAWN: Final = World("drawn", "shapes_further", "shapes_val", "drawn scenes")
PHOTOGRAPHS: Final = World("photographs", "bsds_test", "bsds_train", "photographs of BSDS500")
WORLDS: Final = {world.name: world for world in (DRAWN, PHOTOGRAPHS)}

IS_BASE: Final = (SELECTED, SELECTED_CODES)
"""Masks with which the others are compared, at the sizes of the image and of the stored masks."""

OWN_INPUTS: Final = "What tokens are worth"
"""Subject of the conclusion about heads that lack an input."""

PAPER_INPUTS: Final = "no_statistics"
"""Ablation whose heads read what the paper's heads read, and are trained as those of this project.
"""

OWN_RIVALS: Final = {
    "trees": "boosted trees that read statistics of the masks alone",
    "no_tokens": "the same networks without tokens",
    PAPER_INPUTS: "the paper's inputs with our training (the same networks without statistics)",
}
"""Ablations of the heads of this project, in words."""

PAPER_INPUTS_ROW: Final = (
    "heads, paper's inputs, our training",
    "the tokens alone, by networks trained as the next row's; compared with nothing here",
)
"""First cells of the row of ``PAPER_INPUTS`` in the table of measures."""

REPLICATION: Final = "What other scenes show"
"""Subject of the conclusion about scenes that are in no split."""

NUMBER: Final = re.compile(r"[+−]?[\d.]+")

Margins = Mapping[tuple[str, str, str], Mapping[Hashable, Any]]
"""Margin over 1 - SamScore with its bounds, by task, measure and model."""

README: Final = Path("README.md")
PAGE: Final = Path("docs") / "results.md"
FIGURE: Final = Path("docs") / "curves.svg"

OF_NO_PROPOSAL: Final = (
    "sam_score_highest",
    *(row.name for row in (*ENTROPIES, *AGREEMENTS) if not row.follows_judged),
)
"""Measures that are the same for every judged proposal."""

MARK: Final = "†"
"""Marks a number that was computed with the ground truth."""

MARGINS: Final = "### Margins by model"

STYLES: Final = {"better": "**{}**", "worse": "*{}*"}
"""Markdown of numbers by their verdict."""


def main(name: str) -> None:
    """Rewrite what the pages say of some images."""
    world = WORLDS[name]
    results, rows = read_compared(world)
    summary = summary_block(world, results, rows)
    masks = better_masks(results, world.split)
    for block, text in {
        "summary": summary,
        "results": results_block(results, rows, world.split),
        "better-masks": f"\n{better_masks_table(masks)}\n",
    }.items():
        replace_block(PAGE, f"{name}-{block}", text)
    replace_block(PAGE, "carried", carried_table(PAGE))
    if world is PHOTOGRAPHS:
        replace_block(README, "results", summary)
        replace_block(README, "better-masks", better_masks_block(masks))
        replace_block(PAGE, "people", people_block(results))
        (used,) = of_protocol({world.split: results}, USED).values()
        FIGURE.write_text(svg_file(opening_figure(first_curves(used))), "utf-8")


def read_compared(world: World) -> tuple[SplitResults, pd.DataFrame]:
    """Results of the images of a world, and the table of their comparisons."""
    splits = world.split, world.chosen_on
    by_split = {split: read_results(results_dir(split)) for split in splits}
    rows = comparisons(by_split, world.split, chosen_on=world.chosen_on)
    return by_split[world.split], rows


def conclusions(world: World, results: SplitResults, rows: pd.DataFrame) -> dict[str, str]:
    """Sentences about measures, of drawn scenes about fresh ones, and about predicted IoUs.

    They are by subject. ``rows`` is the table of comparisons.
    """
    block, n_images = _replication(world), results.run["n_groups"]
    by_subject = sentences(confirmed(rows, replicated(block)), n_images)
    by_subject[PAPER_SUBJECT] += f" {paper_words(*_margins(results, world.split))}"
    by_subject[LAST_SUBJECT] = last_sentence(rows, n_images)
    if block:
        by_subject[REPLICATION] = replication_words(rows, block, n_images)
    if words := inputs_words(results, world.split):
        by_subject[OWN_INPUTS] = words
    return by_subject | {"What a predicted IoU is worth": calibration_sentence(results, USED)}


def _replication(world: World) -> str:
    """Table of gains on fresh scenes; empty for photographs, of which there are no fresh ones."""
    return read_block(PAGE, "replication") if world is DRAWN else ""


def paper_words(margins: Margins, models: Sequence[str]) -> str:
    """Sentence on the paper's heads over all models, in tasks that all of them have."""
    measures = RADAR_MEASURES[PAPER_LINE]
    rows = [
        # Rounded, so that the table of the docs, whose numbers are rounded, has the same counts.
        (
            round(row["margin"], 1),
            f"{model}, {TASK_LABELS[task]}",
            round(row["margin_low"], 1),
            round(row["margin_high"], 1),
        )
        for (task, measure, model), row in margins.items()
        if task != "model" and measure == measures[task]
    ]
    n_above, n_below = sum(low > 0 for *_, low, _ in rows), sum(high < 0 for *_, high in rows)
    ends = [
        f"{value:+.1f} ({name})".replace("-", "−") for value, name, *_ in (min(rows), max(rows))
    ]
    return (
        f"With all {len(models)} models, in all tasks but {TASK_LABELS['model']}, the differences "
        f"for a user's masks go from {' to '.join(ends)}, with {n_above} of {len(rows)} intervals "
        f"above 0 and {n_below} below (each alone)."
    )


def inputs_words(results: SplitResults, split: str) -> str:
    """Sentence on heads of this project beside heads that lack an input; empty without the latter.

    The paired difference of each task is of the model that README shows for it.
    """
    scores = in_percent(score_rows({split: results}, ["tokens_margin"]))
    scores = scores[scores["is_default"] & (scores["protocol"] == USED)]
    measures = RADAR_MEASURES["gaps_star_ours"]
    clauses = []
    for rival, meaning in OWN_RIVALS.items():
        of_rival = scores[scores["tokens"] == f"{USED}_{rival}"].to_dict("records")
        gains = [
            f"{TASK_LABELS[row['task']]} for {row['model']} "
            f"{-row['value']:+.1f} ({-row['high']:+.1f} to {-row['low']:+.1f})".replace("-", "−")
            for row in of_rival
            if row["measure"] == measures[row["task"]]
        ]
        clauses += [f"beside {meaning}: {', '.join(gains)}"] * bool(gains)
    if not clauses:
        return ""
    return (
        "points of relative AUC that heads of this project gain, by networks of one training seed, "
        f"with 95 % intervals, each alone, {'; '.join(clauses)}."
    )


def paper_inputs_row(results: SplitResults, split: str) -> list[list[str]]:
    """Row of the table of measures that tells inputs and training apart; none without such heads.

    Its heads are in no comparison.
    """
    scores = in_percent(score_rows({split: results}, ["relative"]))
    is_of = scores["is_default"] & (scores["tokens"] == f"{USED}_{PAPER_INPUTS}")
    rows = pivot(scores[is_of], ["task", "measure"], "statistic").to_dict("records")
    cells = {(row["task"], row["measure"]): with_bounds(row, "relative") for row in rows}
    measures = RADAR_MEASURES["gaps_star_ours"]
    numbers = [cells.get((task, measures[task]), DASH) for task in TASK_LABELS]
    return [[*PAPER_INPUTS_ROW, *numbers]] if cells else []


def replicated(block: str) -> dict[tuple[str, str], str]:
    """Gain of each sure measure on fresh scenes, by the task's and its own label.

    It is the gain for the model that README shows; ``block`` is the result of
    ``replication_table``.
    """
    lines = [line.strip("| ").split(" | ") for line in block.strip().splitlines()[2:]]
    tasks = {label: task for task, label in TASK_LABELS.items()}
    models = list(dict.fromkeys(model for _, _, model, *_ in lines))
    return {
        (label, measure.replace(r"\*", "*")): cells[-1]
        for label, measure, model, *cells in lines
        if model == default_model(tasks[label], [*models])
    }


def is_lost(gain: str) -> bool:
    """Whether the interval of a gain reaches below 0."""
    return "(−" in gain


def _gain_keys(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The key of each comparison in the result of ``replicated``."""
    return list(zip(rows["task"].map(TASK_LABELS), rows["measure"].map(measure_label), strict=True))


def confirmed(rows: pd.DataFrame, gains: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """The table of comparisons, in which no users' gain is sure that other scenes lost.

    ``gains`` is the result of ``replicated``.
    """
    of_fresh = np.array([is_lost(gains.get(key, "")) for key in _gain_keys(rows)], bool)
    is_withdrawn = of_fresh & (rows["protocol"] == USED) & (rows["verdict"] == "better")
    return rows.assign(verdict=rows["verdict"].mask(is_withdrawn, "no better"))


def replication_words(rows: pd.DataFrame, block: str, n_images: int) -> str:
    """How many sure gains of README's table fresh scenes show; each other gain, pooled.

    ``rows`` is the table of comparisons on ``n_images``, ``block`` that of the fresh scenes.
    """
    gains = replicated(block)
    shown = {(task, name) for line in LINES for task, name in line.measures.items()}
    sure = rows[(rows["protocol"] == USED) & (rows["verdict"] == "better")]
    sure = sure[[key in shown for key in zip(sure["task"], sure["measure"], strict=True)]]
    by_key = dict(zip(_gain_keys(sure), sure.to_dict("records"), strict=True))
    lost = [
        f"; not that of {key[1]} in {key[0]} for {row['model']}: {_in_points(gains[key])} there; "
        f"{pooled_words(row, gains[key], n_images)}"
        for key, row in by_key.items()
        if is_lost(gains.get(key, ""))
    ]
    n_objects = block.strip().splitlines()[0].rstrip("| ").rpartition("| ")[2]
    n_measured = len(by_key.keys() & gains.keys())
    unmeasured = f"; {len(sure) - n_measured} were not measured" if n_measured < len(sure) else ""
    return (
        f"of {len(sure)} sure gains in the table, {n_measured - len(lost)} show again on "
        f"{n_objects} of fresh scenes{unmeasured}{''.join(lost)}."
    )


def pooled_words(row: Mapping[Hashable, Any], gain: str, n_images: int) -> str:
    """A gain pooled over the images that showed it and the fresh scenes that did not.

    Each estimate has the weight of its inverse variance, from the width of its interval.
    """
    own = [row[f"margin{end}"] for end in WITH_BOUNDS]
    fresh = [float(number.replace("−", "-")) for number in NUMBER.findall(gain)]
    value, low, high = np.array([own, fresh]).T
    weights = 4 / (high - low) ** 2
    mean, half = np.average(value, weights=weights), weights.sum() ** -0.5
    numbers = f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})".replace("-", "−")
    verdict = "it is small, but above 0" if mean > half else "it is not shown to be above 0"
    pooled = f"pooled with these {n_images} images, which found it, {_in_points(numbers)}"
    return f"{pooled}, so {verdict}"


def _in_points(gain: str) -> str:
    return gain.replace(" ", " points ", 1)


def summary_block(world: World, results: SplitResults, rows: pd.DataFrame) -> str:
    """Sentences, then a table of measures that a user can act on."""
    gains = replicated(_replication(world))
    shown = verdict_table(confirmed(rows, gains))
    tasks = [task for task in TASK_LABELS if task in shown]
    cells = measure_cells(shown, tasks)
    place = [label for label, *_ in cells].index(OWN_HEADS.label)
    cells[place:place] = paper_inputs_row(results, world.split)
    header = ["measure", "what it takes", *(TASK_LABELS[task] for task in tasks)]
    run, models = results.run, list(results.run["models"])
    lead = (
        f"Relative AUC in % of {run['n_objects']} objects in {run['n_groups']} {world.images}, for "
        f"masks as a user has them, by the model {models[0]} ({models[-1]} for "
        f"{TASK_LABELS['segmentation']}) of {run['entropy']['family']}. **Bold** is sure to beat "
        f"1 − SamScore, {conditions(results, world.chosen_on)}"
        f"{'; its gain, if measured on the fresh scenes, shows there, too' * bool(gains)}."
    )
    words = [
        f"- **{subject}**: {starred(words)}"
        for subject, words in conclusions(world, results, rows).items()
    ]
    # Of six columns, the first two hold words.
    return "\n\n".join(["\n".join(words), lead, table(header, cells, left=(0, 1))])


def measure_cells(shown: pd.DataFrame, tasks: Sequence[str]) -> list[list[str]]:
    """Cells of the table of measures: bold where a measure is sure to beat 1 - SamScore.

    ``shown`` is the result of ``verdict_table``.
    """
    meanings = {line.label: line.meaning for line in LINES}
    cells = []
    for row in shown.to_dict("records"):
        label = row["label"]
        numbers = [f"**{row[task]}**" if row[f"{task}_better"] else row[task] for task in tasks]
        cells.append([starred(label), meanings[label], *numbers])
    return cells


def conditions(results: SplitResults, chosen_on: str) -> str:
    """Clause about the conditions of a verdict: the sign on other images, and training seeds."""
    n_seeds = results.scores["seed"].nunique() + 1
    seeds = f", by heads of each of {n_seeds} training seeds" if n_seeds > 1 else ""
    return f"and above it on {chosen_on}, which chooses the measures named here{seeds}"


def results_block(results: SplitResults, rows: pd.DataFrame, split: str) -> str:
    """Relative AUC of all measures, a table for each protocol; then predicted IoUs."""
    order = sorted(PROTOCOLS, key=lambda protocol: protocol != USED)
    calibration = [
        f"{protocol_heading(protocol)}: {starred(calibration_sentence(results, protocol))}"
        for protocol in order
    ]
    blocks = [_protocol_block(rows, protocol) for protocol in order]
    blocks += [models_block(results, split), "### Predicted and true IoU", *calibration]
    return "\n\n".join([*blocks, sets_block(results, split)])


def models_block(results: SplitResults, split: str) -> str:
    """Margins of the measures of the README by the model of the masks, a table for each task."""
    margins, models = _margins(results, split)
    lead = (
        "How many points of relative AUC a measure lies above 1 − SamScore of the same masks, by "
        "the model of the masks, with 95 % intervals of each comparison alone. The tables above "
        f"show {models[0]}, but {models[-1]} for “{TASK_LABELS['segmentation']}”; what holds for "
        "one model need not hold for another."
    )
    blocks = [MARGINS, lead]
    for task, label in TASK_LABELS.items():
        lines = [line for line in LINES if (task, line.measures.get(task), models[-1]) in margins]
        cells = [
            [
                starred(measure_label(line.measures[task])),
                *(signed(margins[task, line.measures[task], model], "margin") for model in models),
            ]
            for line in lines
            if line.measures[task] != BASELINE
        ]
        # The correction of the model is a comparison of the smallest and the largest.
        if task != "model":
            blocks.append(table([label, *models], cells))
    return "\n\n".join(blocks)


def _margins(results: SplitResults, split: str) -> tuple[Margins, list[str]]:
    """Margins in points for a user's masks, and the models."""
    scores = in_percent(score_rows({split: results}, ["margin"]))
    is_of = (scores["protocol"] == USED) & scores["tokens"].isin(["", USED])
    rows = pivot(scores[is_of], ["task", "measure", "model"], "statistic").to_dict("records")
    margins = {(row["task"], row["measure"], row["model"]): row for row in rows}
    return margins, list(dict.fromkeys(row["model"] for row in rows))


def calibration_sentence(results: SplitResults, protocol: str) -> str:
    """Errors of SamScores, calibrated SamScores and heads as IoUs of the largest model's masks."""
    scores = in_percent(score_rows({"": results}, ["calibration_error", "root_mean_square"]))
    first = next(iter(results.run["heads"]))
    is_shown = is_of_largest(scores) & scores["trained_on"].isin(["", first])
    rows = pivot(scores[is_shown & (scores["protocol"] == protocol)], OF_MEASURE, "statistic")
    errors = [
        f"{PREDICTED_IOU_LABELS[row['measure']]} {_points(row, 'calibration_error')} and "
        f"{_points(row, 'root_mean_square')}"
        for row in rows.to_dict("records")
    ]
    return (
        f"predicted IoUs of the {scores['largest_model'].iloc[0]} model have an error of groups "
        "with like predictions (ECE) and of single masks (RMSE), in points, of "
        f"{'; '.join(errors)}."
    )


def _points(row: Mapping[Hashable, Any], name: str) -> str:
    value, low, high = (f"{row[name + end]:.1f}" for end in WITH_BOUNDS)
    return f"{value} ({low} to {high})"


def sets_block(results: SplitResults, split: str) -> str:
    """Sizes of mask sets with a guarantee, and the share of sets with a good proposal."""
    scores = score_rows({split: results}, names_of(SETS))
    keys = ["iou_at", "alpha", "measure"]
    rows = pivot(scores, keys, "statistic").to_dict("records")
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    by_target: dict[tuple[float, float], dict[str, str]] = {}
    for row in rows:
        low, high = row["n_masks_margin_low"], row["n_masks_margin_high"]
        verdict = "better" if high < 0 else "worse" if low > 0 else ""
        size, lowest, highest = (f"{row['n_masks' + end]:.2f}" for end in WITH_BOUNDS)
        cell = STYLES.get(verdict, "{}").format(f"{size} ({lowest}–{highest})")
        cell += f", {100 * row['coverage']:.1f} %"
        by_target.setdefault((row["iou_at"], row["alpha"]), {})[row["measure"]] = cell
    cells = [
        [f"IoU ≥ {iou:g} in {1 - alpha:.0%}", *(by_name.get(name, DASH) for name in measures)]
        for (iou, alpha), by_name in by_target.items()
    ]
    lead = (
        "The fewest of the three proposals of the large model of which, in a set share of cases, "
        f"one reaches an IoU: proposals per set and, checked on images of {split} that did not "
        "calibrate the sets, how often one does. Other targets are out of reach: too often no "
        "proposal is good. In brackets 95 % intervals over the images; sets in **bold** are "
        "smaller than those by 1 − SamScore, those in *italics* larger, by the interval of each "
        "difference alone."
    )
    header = ["target", *(starred(measure_label(name)) for name in measures)]
    return "\n\n".join(["### Mask sets", lead, table(header, cells)])


def people_block(results: SplitResults) -> str:
    """What people see: the verdicts on the plan's hypotheses, for each model."""
    rows = verdicts(results.scores, first_train_split(results))
    models, n = list(results.run["models"]), rows["verdict"].value_counts()
    cells = [
        [
            *map(starred, (row["statistic"], row["measure"])),
            *(_test(row["tests"][m]) for m in models),
        ]
        for row in plan_table(rows)
    ]
    (agreement,) = results.scores.query("statistic == 'people_agreement'").to_dict("records")
    lead = (
        f"In %, the agreement of two persons is {_in_percent(agreement)}. Of {len(rows)} tests, "
        f"{n.get('repeated', 0)} are repeated (**bold**) and {n.get('reversed', 0)} reversed "
        "(*italics*). In percentage points:"
    )
    tests = table(["statistic", "of", *models], cells, left=(0, 1))
    return "\n" + "\n\n".join([lead, tests, *_drawn_clicks(results)]) + "\n"


def _drawn_clicks(results: SplitResults) -> tuple[str, str]:
    """Words and a table on clicks drawn uniformly, which no hypothesis is about."""
    scores, first = results.scores, first_train_split(results)
    scores = scores[scores["train_split"].isin(["", first])].set_index(["statistic", "measure"])
    (agreement,) = scores.loc[["drawn_agreement"]].to_dict("records")
    known = scores.loc["drawn_rank"].index
    cells = [
        [starred(measure_label(name)), *map(_in_percent, rows.to_dict("records"))]
        for name in (name for name in FOLLOWED if name in known)
        for rows in [scores.loc[[("drawn_rank", name)]]]
    ]
    lead = (
        f"In %, the agreement at clicks drawn uniformly is {_in_percent(agreement)}. Spearman's "
        "correlation with disagreement at these clicks, in percentage points, without verdicts:"
    )
    return lead, table(["ρ of", *results.run["models"]], cells)


def _test(test: Mapping[str, Any]) -> str:
    """A test of the plan: its number with its interval, marked by its verdict."""
    styles = {"repeated": STYLES["better"], "reversed": STYLES["worse"]}
    return styles.get(test["verdict"], "{}").format(_in_percent(test))


def _in_percent(score: Mapping[Any, Any]) -> str:
    """A number with its interval, in percent."""
    value, low, high = (100 * score[name] for name in ("value", "low", "high"))
    return f"{number(value)} ({interval_words(low, high, 1)})"


def better_masks(results: SplitResults, split: str) -> pd.DataFrame:
    """Scores of the masks beside the selected one, in percent: a row for each model and mask."""
    scores = score_rows({split: results}, names_of(BETTER_MASKS))
    masks = scores["choice"].map(MASKS)
    rows = pivot(in_percent(scores.assign(mask=masks)), ["model", "choice", "mask"], "statistic")
    order = list(MASKS)
    return rows.sort_values("choice", key=lambda names: names.map(order.index), kind="stable")


def better_masks_block(masks: pd.DataFrame) -> str:
    """Words on masks of the same click beside the selected mask, and a table of their gains."""
    lead = (
        "Another mask of the same click may be better. Heads predict the IoU of each proposal at "
        "nine cuts, and so choose a cut, a proposal, or both: no model runs again. A mean takes a "
        "run for each of its masks. The first row has the mean IoU in %, the other rows gains in "
        "points, in brackets 95 % intervals over the images. Means are measured at the size of the "
        "stored masks, the others at that of the image "
        "([docs/results.md](docs/results.md#better-masks-on-photographs))."
    )
    header = ("mask", *masks["model"].unique())
    rows = [row for name, row in _mask_rows(masks).items() if name != SELECTED_CODES]
    return f"{lead}\n\n{table(header, rows)}"


def better_masks_table(masks: pd.DataFrame) -> str:
    """Mean IoU of the selected mask, gains of all others, and objects that change, by model."""
    models = list(masks["model"].unique())
    of_largest = masks[masks["model"] == models[-1]].set_index("choice")
    shares = of_largest[["changed", "gained", "lost"]]
    changed = {
        name: " / ".join(f"{share:.0f}" for share in row) for name, *row in shares.itertuples()
    }
    changed |= dict.fromkeys(IS_BASE, DASH)
    cells = [[*row, changed[name]] for name, row in _mask_rows(masks).items()]
    return table(("mask", *models, f"changed / gained / lost, {models[-1]}"), cells)


def _mask_rows(masks: pd.DataFrame) -> dict[str, list[str]]:
    """Label of each mask, then its mean IoU or its gain with each model, by the mask's name."""
    rows: dict[str, list[str]] = {}
    for row in masks.to_dict("records"):
        name = row["choice"]
        number = with_bounds(row, "mask_iou") if name in IS_BASE else signed(row, "mask_gain")
        rows.setdefault(name, [MASKS[name]]).append(number)
    return rows


def signed(row: Mapping[Any, Any], name: str) -> str:
    """A difference with its sign, and its interval: ``+1.0 (−0.4 to +2.4)``."""
    value, low, high = (f"{row[name + end] + 0:+.1f}" for end in WITH_BOUNDS)
    return f"{value} ({low} to {high})".replace("-", "−")


def _protocol_block(rows: pd.DataFrame, protocol: str) -> str:
    judged = rows[rows["protocol"] == protocol]
    tasks = [task for task in TASK_LABELS if task in set(judged["task"])]
    by_name = {(row["measure"], row["task"]): row for row in judged.to_dict("records")}
    measures = list(dict.fromkeys(judged["measure"]))
    measures.sort(key=lambda name: name not in UNTRAINED_MEASURES)
    cells = [
        [
            starred(measure_label(measure)),
            *(_cell(by_name.get((measure, task)), protocol) for task in tasks),
        ]
        for measure in measures
    ]
    header = ["measure", *(TASK_LABELS[task] for task in tasks)]
    return "\n\n".join(
        [f"### {protocol_heading(protocol)}", PROTOCOL_MEANINGS[protocol], table(header, cells)]
    )


def _cell(row: Mapping[Hashable, Any] | None, protocol: str) -> str:
    if row is None:
        return DASH
    written = STYLES.get(row["verdict"], "{}").format(with_bounds(row, "relative"))
    return f"{written} {MARK}" if knows_truth(protocol, row["task"], row["measure"]) else written


def knows_truth(protocol: str, task: str, measure: str) -> bool:
    """Whether a measure is computed from a proposal that only the ground truth can choose."""
    name, _, _ = measure.partition("@")
    of_best = judged_proposal(protocol, task) == "best" and name not in OF_NO_PROPOSAL
    return of_best or name in KNOWS_TRUTH


def carried_table(page: Path) -> str:
    """What of the gains on drawn scenes photographs show: margins of both, from the page's tables.

    A gain carries over if the interval of its margin lies above 0 on both, each interval alone.
    """
    drawn, photographs = (margins_of(read_block(page, f"{name}-results")) for name in WORLDS)
    header = ("task", "measure", "model", "drawn scenes", "photographs", "the gain")
    cells = [
        [*key, drawn[key], photographs[key], _carried(_side(drawn[key]), _side(photographs[key]))]
        for key in drawn
        if key in photographs
    ]
    return f"\n{table(header, cells, left=(0, 1, 2, 5))}\n"


def margins_of(block: str) -> dict[tuple[str, str, str], str]:
    """Margins in the table of ``models_block``, by task, measure and model, of the models shown."""
    _, _, tables = block.partition(MARGINS)
    by_key = {}
    for text in tables.split("\n\n"):
        header, *lines = (line.strip("| ").split(" | ") for line in text.splitlines() or [""])
        tasks = [task for task, label in TASK_LABELS.items() if label == header[0]]
        for measure, *cells in lines[1:] if tasks else []:
            model = default_model(tasks[0], header[1:])
            by_key[header[0], measure, model] = cells[header.index(model) - 1]
    return by_key


def _side(margin: str) -> int:
    """1 or -1 if the interval of a margin lies above or below 0, else 0."""
    low, high = (
        float(end) for end in margin.replace("−", "-").strip(")").split("(")[1].split(" to ")
    )
    return int(low > 0) - int(high < 0)


def _carried(drawn: int, photographs: int) -> str:
    if drawn > 0:
        return "on both" if photographs > 0 else "on drawn scenes alone"
    return "on photographs alone" if photographs > 0 else "on neither"


if __name__ == "__main__":
    main(sys.argv[1])
