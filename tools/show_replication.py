"""Writes into ``docs/results.md`` whether gains without heads replicate on fresh scenes.

Reads   the weights that ship, ``params.yaml:shapes``.
Writes  the part of the page between ``<!-- replication -->`` and ``<!-- /replication -->``.

``python -m tools.show_replication --seed 21 --seed 22``: each seed draws scenes of its own, which
are in no split. ``make results`` does not run it: it takes minutes and reads no results.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.extraction.shards import CPU_BATCH
from pipeline.mask_statistics import soft_dice
from pipeline.masks import N_CODES, decode
from pipeline.prompts import measure_objects
from pipeline.sam.model import Sam
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.scoring.bootstrap import interval, resample_groups, resampled_areas
from pipeline.scoring.corrections import aucs_by_draw
from pipeline.scoring.measures import BASELINE
from pipeline.scoring.tasks import REFINED, corrections
from pipeline.views import default_view
from pipeline.vocabulary import TRAIN_PROMPTS
from stages.page.labels import TASK_LABELS, measure_label
from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from tools.blocks import replace_block, table
from tools.show_results import signed

PAGE: Final = Path("docs", "results.md")

MODELS: Final = ("tiny", "small", "base_plus", "large")

SEEDS: Final = (21, 22, 23)

N_SCENES: Final = 600
"""Number of scenes of each seed."""

N_RESAMPLES: Final = 2000

SURE: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("stable_score", "h_std", "soft_dice"),
    "prompt": ("stable_score",),
    "task": ("stable_score", "h_std"),
    "segmentation": ("stable_score",),
}
"""Measures without heads whose gain README calls sure, by task."""

Arrays = Mapping[str, np.ndarray]
"""Arrays with a row for each object: IoUs by the names of masks in ``ProposalScores.by_proposal``,
the baseline and all measures of ``SURE`` by name, and the number of the ``scene``."""


def main(
    seed: Annotated[list[int], typer.Option(help="Seeds of the scenes.")] = list(SEEDS),  # noqa: B006 - typer copies it
) -> None:
    """Rewrite the block."""
    side = read_params().shapes.image_size_px
    sams = {model: load_predictor("mini", model).sam for model in MODELS}
    by_seed = {}
    for number in seed:
        rows: dict[str, list[Arrays]] = {model: [] for model in MODELS}
        for scene_seed in scene_seeds(number, "further", N_SCENES):
            scene = draw_scene(scene_seed, side)
            for model, sam in sams.items():
                of_scene = {"scene": np.full(len(scene.masks), scene_seed)}
                rows[model].append(answers(sam, scene) | of_scene)
        by_seed[f"seed {number}"] = {model: joined(blocks) for model, blocks in rows.items()}
    replace_block(PAGE, "replication", f"\n{replication_table(by_seed)}\n")


def answers(sam: Sam, scene: Scene) -> dict[str, np.ndarray]:
    """IoUs of a model's masks, and measures of its selected masks, for each object of a scene."""
    clicks = measure_objects((mask, 0) for mask in scene.masks).point_px
    request = Request(clicks, scene.masks, default_view("identity"), TRAIN_PROMPTS)
    rows = extract_objects(sam, sam.encode(scene.rgb), request, batch=CPU_BATCH, with_masks=True)
    iou, sam_score = rows["iou"], rows["sam_score"]
    objects, selected = np.arange(len(iou)), sam_score.argmax(axis=2)
    score, stability, mask_code = (
        rows[name][objects, 0, selected[:, 0]]
        for name in ("sam_score", "stability_score", "mask_code")
    )
    counts = np.stack([np.bincount(codes.ravel(), minlength=N_CODES) for codes in mask_code])
    return {
        "selected": iou[objects, 0, selected[:, 0]],
        "best": iou[:, 0].max(axis=1),
        REFINED["selected"]: iou[objects, 1, selected[:, 1]],
        BASELINE: 1 - score.astype(np.float64),
        "h_std": mask_entropy(decode(mask_code)),
        "soft_dice": 1 - soft_dice(counts),
        "stable_score": 1 - np.multiply(score, stability, dtype=np.float64),
    }


def replication_table(by_seed: Mapping[str, Mapping[str, Arrays]]) -> str:
    """Margins over 1 - SamScore by task, measure and model, for each seed and all together.

    Parameters
    ----------
    by_seed
        Answers by the label of a seed, then by model.
    """
    every = {model: joined([by_model[model] for by_model in by_seed.values()]) for model in MODELS}
    columns = {**by_seed, "all": every}
    lines = [
        [
            TASK_LABELS[task],
            measure_label(measure),
            model,
            *(
                signed(margin(by_model, task, model, measure), "margin")
                for by_model in columns.values()
            ),
        ]
        for task, measures in SURE.items()
        for measure in measures
        # The correction of the model is a comparison of the smallest and the largest.
        for model in (MODELS[:1] if task == "model" else MODELS)
    ]
    sizes = [len(by_model[MODELS[0]][BASELINE]) for by_model in columns.values()]
    names = [f"{label}, {n} objects" for label, n in zip(columns, sizes, strict=True)]
    return table(("task", "measure", "model", *names), lines, left=(0, 1, 2))


def margin(by_model: Mapping[str, Arrays], task: str, model: str, measure: str) -> dict[str, float]:
    """Relative AUC of a measure less that of 1 - SamScore in points, with its interval."""
    arrays = by_model[model]
    correction = corrections(by_model, model, "selected")[task]
    resamples = resample_groups(arrays["scene"], N_RESAMPLES, seed=0)
    gain = correction.gain[:, np.newaxis]
    orders = [arrays[BASELINE], arrays[measure]]
    areas = [resampled_areas(gain, order, resamples)[:, 0] for order in orders]
    *_, (baseline, relative) = aucs_by_draw(correction, np.stack(areas), resamples)
    margins = relative - baseline
    ends = interval(margins, resamples.n_groups)
    points = {"margin": margins[0], "margin_low": ends.low, "margin_high": ends.high}
    return {name: 100 * number for name, number in points.items()}


def joined(blocks: Sequence[Arrays]) -> Arrays:
    """Join the rows of several scenes."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


if __name__ == "__main__":
    typer.run(main)
