"""Whether measures order masks of fresh scenes better than 1 - SamScore, too."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final

import numpy as np
import pandas as pd

from pipeline.scoring.bootstrap import Resampled, Resamples, resampled_areas
from pipeline.scoring.corrections import aucs_by_draw
from pipeline.scoring.tasks import REFINED, Correction, corrections
from pipeline.vocabulary import TASKS, USED
from stages.page.labels import TASK_LABELS, measure_label
from stages.page.verdict import AFTERWARDS, LINES, OWN_HEADS
from tools.answers import CLICK
from tools.blocks import resamples_of, starred, table, with_interval

Rows = pd.DataFrame

COMPUTED: Final[Mapping[str, Callable[[Rows], "pd.Series[float]"]]] = {
    "stable_score": lambda rows: -rows["sam_score"] * rows["stability"],
    "h_std": lambda rows: rows["h_std"],
    "soft_dice": lambda rows: -rows["soft_dice"],
    AFTERWARDS.measures["model"]: lambda rows: rows["largest_sam_score"] - rows["sam_score"],
    OWN_HEADS.measures["segmentation"]: lambda rows: -rows["expected_iou"],
    **{
        OWN_HEADS.measures[task]: itemgetter(f"direct gain {task}")
        for task in TASKS
        if task != "segmentation"
    },
}
"""Measures of README's table that one click tells, by name; each ranks objects as its measure."""


def replication_table(rows: Mapping[str, Rows]) -> str:
    """Margins over 1 - SamScore by task, measure and model.

    ``rows`` are results of ``answers`` by model, the smallest first, with the prompts ``click`` and
    ``refined``.
    """
    clicked, refined = (
        {
            model: of_model[of_model["prompt"] == prompt].reset_index(drop=True)
            for model, of_model in rows.items()
        }
        for prompt in (CLICK, "refined")
    )
    models = list(rows)
    ious = {
        model: {
            USED: clicked[model]["iou"].to_numpy(),
            "best": clicked[model]["best_iou"].to_numpy(),
            REFINED[USED]: refined[model]["iou"].to_numpy(),
        }
        for model in models
    }
    largest = clicked[models[-1]]["sam_score"]
    resamples = resamples_of(clicked[models[0]])
    lines = []
    for task in TASKS:
        measures = [line.measures[task] for line in LINES if line.measures.get(task) in COMPUTED]
        # The correction of the model is a comparison of the smallest and the largest.
        for model in models[:1] if task == "model" else models:
            correction = corrections(ious, model, USED)[task]
            of_model = clicked[model].assign(largest_sam_score=largest)
            for measure in measures:
                margins = resampled_margins(correction, of_model, measure, resamples)
                points = with_interval(margins, resamples.n_groups, "+.1f").replace("-", "−")
                lines.append([TASK_LABELS[task], starred(measure_label(measure)), model, points])
    return table(("task", "measure", "model", f"{len(largest)} objects"), lines, left=(0, 1, 2))


def resampled_margins(
    correction: Correction, rows: Rows, measure: str, resamples: Resamples
) -> Resampled:
    """Relative AUC of a measure less that of 1 - SamScore in points, in each draw of images."""
    orders = [-rows["sam_score"].to_numpy(), COMPUTED[measure](rows).to_numpy()]
    gain = correction.gain[:, np.newaxis]
    areas = [resampled_areas(gain, order, resamples)[:, 0] for order in orders]
    *_, (baseline, relative) = aucs_by_draw(correction, np.stack(areas), resamples)
    margins: Resampled = 100 * (relative - baseline)
    return margins
