"""Writes what the demo found into ``README.md`` and ``docs/mini.md``: ``make readme``.

Reads   ``results/splits/shapes_val``, of ``make demo``.
Writes  the parts of both pages between ``<!-- results -->`` and ``<!-- /results -->``, words too,
        ``docs/curves.svg``.
"""

from collections.abc import Hashable, Mapping
from math import isnan
from pathlib import Path
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from pipeline.mask_statistics import AGREEMENTS, ENTROPIES
from pipeline.scoring.corrections import BASELINE
from pipeline.scoring.tasks import REFINED, judged_proposal
from pipeline.vocabulary import JUDGED, PROTOCOLS
from stages.page.figures import draw_task, first_curves, style_panel
from stages.page.labels import (
    NOTHING,
    PROTOCOL_MEANINGS,
    TASK_LABELS,
    measure_label,
    number,
    protocol_heading,
    with_bounds,
)
from stages.page.svg import svg_file
from stages.tables.auc import margin_table, overview_table
from stages.tables.report_table import (
    BOUNDS_OF,
    Results,
    first_train_split,
    measure_name,
    of_protocol,
    task_models,
)
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tools.blocks import replace_block, table
from tools.verdicts import MARGIN, as_markdown, claims, verdict

SPLIT: Final = "shapes_val"
FIGURE: Final = Path("docs") / "curves.svg"

DRAWN: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("sam_score", "h_std", "h_theta", "delta_theta_star", "delta_theta_star_ours"),
    "prompt": ("sam_score", "h_std", "h_xp", "delta_xp_star", "delta_xp_star_ours"),
    "task": ("sam_score", "h_std", "h_a", "delta_a_star", "delta_a_star_ours"),
    "segmentation": ("sam_score", "h_std", "h_t", "usam", "usam_ours"),
}
"""Measures in each task's panel of the figure; the report draws all of them."""

BOUNDS_OF_ORDER: Final = ("worst", "oracle")

OF_NO_PROPOSAL: Final = (
    "sam_score_highest",
    *(row.name for row in (*ENTROPIES, *AGREEMENTS) if not row.follows_judged),
)
"""Measures that are the same whichever proposal is judged."""

MARGIN_MEANING: Final = (
    "Margin over 1 − SamScore of the same mask, in points: in bold where the interval lies above "
    "0, in italics where it lies below."
)

MARK: Final = "†"
"""Marks a number that took the ground truth to compute."""

MARK_MEANING: Final = f"{MARK} relies on knowing the best proposal, which takes the ground truth."


def main() -> None:
    """Rewrite both pages and the figure."""
    found = read_results(results_dir(SPLIT))
    replace_block(Path("README.md"), "results", readme_block(found))
    replace_block(Path("docs") / "mini.md", "results", scores_block(found))
    FIGURE.write_text(svg_file(draw_curves(found)), "utf-8")


def readme_block(found: SplitResults) -> str:
    """What each protocol says: in words, then relative AUC, then margins over 1 - SamScore."""
    run = found.run
    lead = (
        "Relative AUC, in %, is 100 for the order by the true gain, 50 for a random one and 0 for "
        f"the reverse. All numbers are of {run['n_objects']} objects in {run['n_groups']} images; "
        f"in brackets is the 95 % interval over {run['n_resamples']} resamples of the images. One "
        "measure beats another if the whole interval of their difference lies above 0, and falls "
        "short of it if the whole interval lies below. Measures that end in *ours* come from the "
        "second [kind of heads](docs/method.md#heads), which was chosen on other scenes "
        "([docs/heads.md](docs/heads.md))."
    )
    return "\n\n".join([lead, *(_protocol_block(found, protocol) for protocol in PROTOCOLS)])


def knows_truth(protocol: str, task: str, measure: str) -> bool:
    """Whether a measure is computed from a proposal that only the ground truth points out."""
    name, _, _ = measure.partition("@")
    return judged_proposal(protocol, task) == "best" and name not in OF_NO_PROPOSAL


def _protocol_block(found: SplitResults, protocol: str) -> str:
    results = of_protocol({SPLIT: found}, protocol)
    tasks = list(task_models(results))
    overview = overview_table(results, SPLIT)
    relative = _relative_cells(protocol, overview, tasks)
    margins = _margins(results)
    header = ["measure", *(TASK_LABELS[task] for task in tasks)]
    mark = f" {MARK_MEANING}" if any(MARK in cell for row in relative for cell in row) else ""
    return "\n\n".join(
        [
            f"### {protocol_heading(protocol)}",
            PROTOCOL_MEANINGS[protocol],
            claims(margins),
            _folded(
                "Relative AUC and margins of all measures",
                f"Relative AUC, the highest in bold.{mark}",
                table(header, relative),
                MARGIN_MEANING,
                table(header, _margin_cells(protocol, margins, tasks, list(overview["measure"]))),
            ),
        ]
    )


def _folded(summary: str, *parts: str) -> str:
    """What a reader unfolds; Markdown inside needs the blank lines."""
    return "\n\n".join([f"<details>\n<summary>{summary}</summary>", *parts, "</details>"])


def _relative_cells(protocol: str, overview: pd.DataFrame, tasks: list[str]) -> list[list[str]]:
    best = overview[tasks].max()
    return [
        [
            _label(row["measure"]),
            *(
                _marked(
                    _bold(with_bounds(row, task), is_best=row[task] == best[task]),
                    is_marked=knows_truth(protocol, task, row["measure"]),
                )
                for task in tasks
            ),
        ]
        for row in overview.to_dict("records")
    ]


def _margins(results: Results) -> list[dict[Hashable, Any]]:
    """Margins in points, by task and name of the measure."""
    first = first_train_split(results[SPLIT])
    columns = {SPLIT + end: MARGIN + end for end in ("", *BOUNDS_OF)}
    rows = margin_table(results).rename(columns=columns).to_dict("records")
    return [
        row | {"measure": measure_name(row["measure"], row["trained_on"], first)} for row in rows
    ]


def _margin_cells(
    protocol: str, margins: list[dict[Hashable, Any]], tasks: list[str], measures: list[str]
) -> list[list[str]]:
    style = {"better": "**{}**", "no better": "{}", "worse": "*{}*"}
    cells = {
        (row["measure"], row["task"]): _marked(
            style[verdict(row)].format(_difference(row, MARGIN, 1)),
            is_marked=knows_truth(protocol, row["task"], row["measure"]),
        )
        for row in margins
    }
    return [
        [_label(measure), *(cells.get((measure, task), NOTHING) for task in tasks)]
        for measure in measures
        if measure != BASELINE[-1]
    ]


def scores_block(found: SplitResults) -> str:
    """Mean IoU of every model and view, and how well SamScores predict it."""
    iou = {
        (row["model"], row["view"], row["proposal"]): _percent(row)
        for row in found.iou.to_dict("records")
    }
    correlation = found.correlation.query("row == 'iou_gt'").drop_duplicates(["protocol", "model"])
    of_score = correlation.set_index(["protocol", "model"])["sam_score"]
    models = list(found.iou["model"].unique())
    views = [view for view in found.iou["view"].unique() if view != "identity"]
    proposals = [name for judged in JUDGED for name in (judged, REFINED[judged])]
    scores = [
        [
            model,
            *(with_bounds(iou[model, "identity", proposal], "mean_iou") for proposal in proposals),
            *(f"{of_score[protocol, model]:.2f}" for protocol in PROTOCOLS),
        ]
        for model in models
    ]
    costs = [
        [model, *(_difference(iou[model, view, "best"], "gain", 0) for view in views)]
        for model in models
    ]
    lead = (
        f"Mean IoU in % of {found.run['n_objects']} objects of {SPLIT}: of the best of three "
        "proposals and of the selected one, with the highest SamScore, each from one click and "
        "from eight; and the correlation of their IoU from one click with their own SamScore. In "
        "brackets the 95 % interval over the images:"
    )
    header = ["model", "best", "best, 8 clicks", "selected", "selected, 8 clicks"]
    header += ["correlation, best", "correlation, selected"]
    changes = "What a view changes in the mean IoU of the best proposal, in points:"
    return "\n\n".join([lead, table(header, scores), changes, table(["model", *views], costs)])


def draw_curves(found: SplitResults) -> Figure:
    """Mean IoU of some measures against the corrected objects: a row per protocol."""
    tasks = task_models({SPLIT: found})
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    panels = figure.subplots(len(PROTOCOLS), len(tasks), squeeze=False)
    for row, protocol in zip(panels, PROTOCOLS, strict=True):
        curves = first_curves(of_protocol({SPLIT: found}, protocol)[SPLIT])
        for panel, task in zip(row, tasks, strict=True):
            drawn = curves["measure"].isin([*DRAWN[task], *BOUNDS_OF_ORDER])
            style_panel(panel)
            draw_task(panel, curves[drawn & (curves["task"] == task)], task)
            panel.set_xticks([0, 0.5, 1])
        row[0].set_ylabel(f"{protocol_heading(protocol)}\nmean IoU")
    for panel, task in zip(panels[0], tasks, strict=True):
        panel.set_title(TASK_LABELS[task])
    for last in panels[-1]:
        last.set_xlabel("corrected objects")
        last.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.24))
    return figure


def _difference(row: Mapping[Hashable, Any], column: str, n_digits: int) -> str:
    """Write a difference and its bounds, with a word between them: a dash could be a minus."""
    told, low, high = (row[column + end] for end in ("", *BOUNDS_OF))
    if isnan(low):
        return number(told)
    return f"{number(told)} ({number(low, n_digits)} to {number(high, n_digits)})"


def _percent(row: dict[Hashable, Any]) -> dict[Hashable, Any]:
    return {key: 100 * value if isinstance(value, float) else value for key, value in row.items()}


def _label(measure: str) -> str:
    return as_markdown(measure_label(measure))


def _bold(text: str, *, is_best: bool) -> str:
    return f"**{text}**" if is_best else text


def _marked(text: str, *, is_marked: bool) -> str:
    return f"{text} {MARK}" if is_marked and text != NOTHING else text


if __name__ == "__main__":
    main()
