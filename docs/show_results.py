"""Writes what the demo found into ``README.md`` and ``docs/mini.md``: ``make readme``.

Reads   ``results/splits/shapes_val``, of ``make demo``.
Writes  the parts of both pages between ``<!-- results -->`` and ``<!-- /results -->``,
        ``docs/curves.svg``.
"""

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from docs.blocks import replace_block
from pipeline.scoring.rows import BASELINE
from stages.page.labels import TASK_LABELS, measure_label
from stages.page.numbers import NOTHING, with_bounds
from stages.page.svg import STYLE, draw_task, first_curves
from stages.tables.auc import margin_table, overview_table
from stages.tables.rows import Results, first_train_split, measure_name, task_models
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir

SPLIT: Final = "shapes_val"
FIGURE: Final = Path("docs") / "curves.svg"


def main() -> None:
    """Rewrite both pages and the figure."""
    found = read_results(results_dir(SPLIT))
    replace_block(Path("README.md"), "results", readme_block(found))
    replace_block(Path("docs") / "mini.md", "results", scores_block(found))
    with mpl.rc_context(STYLE):
        draw_curves(found).savefig(FIGURE, metadata={"Date": None})


def readme_block(found: SplitResults) -> str:
    """Relative AUC of every measure on the four tasks, and how far beyond that of 1 - SamScore."""
    results = {SPLIT: found}
    tasks = list(task_models(results))
    overview = overview_table(results, SPLIT)
    best = overview[tasks].max()
    rows = [
        [
            measure_label(row["measure"]),
            *(_bold(with_bounds(row, task), is_best=row[task] == best[task]) for task in tasks),
        ]
        for row in overview.to_dict("records")
    ]
    run = found.run
    told = (
        f"Relative AUC in % of {run['n_objects']} objects in {run['n_groups']} images; in brackets "
        f"the 95 % interval over {run['n_resamples']} resamples of the images:"
    )
    header = ["measure", *(TASK_LABELS[task] for task in tasks)]
    margins = _margins(results, tasks, list(overview["measure"]))
    return "\n\n".join(
        [
            told,
            _table(header, rows),
            "Beyond 1 − SamScore, in points, in bold where the interval lies above 0:",
            _table(header, margins),
        ]
    )


def _margins(results: Results, tasks: list[str], measures: list[str]) -> list[list[str]]:
    first = first_train_split(results[SPLIT])
    cells: dict[tuple[str, str], str] = {}
    for row in margin_table(results).to_dict("records"):
        name = measure_name(row["measure"], row["trained_on"], first)
        is_sure = row[f"{SPLIT}_low"] > 0
        cells[name, row["task"]] = _bold(with_bounds(row, SPLIT), is_best=is_sure)
    return [
        [measure_label(measure), *(cells.get((measure, task), NOTHING) for task in tasks)]
        for measure in measures
        if measure != BASELINE[-1]
    ]


def scores_block(found: SplitResults) -> str:
    """Mean IoU of every model and view, and how well SamScores tell it."""
    iou = {
        (row["model"], row["view"], row["proposal"]): _percent(row)
        for row in found.iou.to_dict("records")
    }
    of_scores = found.correlation.query("row == 'iou_gt'").drop_duplicates("model")
    correlation = of_scores.set_index("model")["sam_score"]
    models = list(found.iou["model"].unique())
    views = [view for view in found.iou["view"].unique() if view != "identity"]
    proposals = ("best", "selected", "refined")
    scores = [
        [
            model,
            *(with_bounds(iou[model, "identity", proposal], "mean_iou") for proposal in proposals),
            f"{correlation[model]:.2f}",
        ]
        for model in models
    ]
    costs = [
        [model, *(with_bounds(iou[model, view, "best"], "gain") for view in views)]
        for model in models
    ]
    lead = (
        f"Mean IoU in % of {found.run['n_objects']} objects of {SPLIT}: of the best of three "
        "proposals from one click, of the one with the highest SamScore, of the best from eight "
        "clicks; and the correlation of the best one's IoU with the highest SamScore. In brackets "
        "the 95 % interval over the images:"
    )
    table = _table(["model", *proposals, "correlation"], scores)
    changes = "What a view changes in the mean IoU of the best proposal, in points:"
    return "\n\n".join([lead, table, changes, _table(["model", *views], costs)])


def draw_curves(found: SplitResults) -> Figure:
    """Mean IoU against the corrected objects, a panel a task."""
    tasks = task_models({SPLIT: found})
    figure = Figure(figsize=(10, 3.5), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    curves = first_curves(found)
    for panel, task in zip(panels, tasks, strict=True):
        draw_task(panel, curves[curves["task"] == task], task)
        panel.legend(
            frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.24)
        )
    panels[0].set_ylabel("mean IoU")
    return figure


def _percent(row: dict[Hashable, Any]) -> dict[Hashable, Any]:
    return {key: 100 * value if isinstance(value, float) else value for key, value in row.items()}


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(header)
    rule = ["---", *["---:"] * (len(names) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (names, rule, *rows))


def _bold(text: str, *, is_best: bool) -> str:
    return f"**{text}**" if is_best else text


if __name__ == "__main__":
    main()
