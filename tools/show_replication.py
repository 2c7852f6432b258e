"""Writes into ``docs/results.md`` whether gains in the task *task* replicate on fresh scenes.

Reads   the weights that ship, ``params.yaml:shapes``.
Writes  the part of the page between ``<!-- replication -->`` and ``<!-- /replication -->``.

``python -m tools.show_replication --seed 21 --seed 22``: each seed draws scenes of its own, which
are in no split. ``make results`` does not run it: it takes minutes and reads no results.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.extraction.shards import CPU_BATCH
from pipeline.masks import decode
from pipeline.prompts import measure_objects
from pipeline.sam.model import Sam
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.scoring.auc import correction_auc
from pipeline.scoring.bootstrap import interval, resample_groups, resampled_areas
from pipeline.scoring.corrections import start_and_relative
from pipeline.scoring.tasks import Correction
from pipeline.views import default_view
from stages.page.labels import measure_label
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

MEASURES: Final = ("h_std", "stable_score")
"""Measures without heads that surely beat 1 - SamScore in the task *task* of README."""

Arrays = Mapping[str, np.ndarray]
"""Arrays with a row for each object: ``iou`` and ``best_iou`` of the selected and the best mask,
``sam_score`` of 1 - SamScore, each of ``MEASURES``, and the number of the ``scene``."""


def main(
    seed: Annotated[list[int], typer.Option(help="Seeds of the scenes.")] = list(SEEDS),  # noqa: B006 - typer copies it
) -> None:
    """Rewrite the block."""
    side = read_params().shapes.image_size_px
    sams = {model: load_predictor("mini", model).sam for model in MODELS}
    rows: dict[str, dict[str, list[Arrays]]] = {}
    for number in seed:
        for scene_seed in scene_seeds(number, "further", N_SCENES):
            scene = draw_scene(scene_seed, side)
            for model, sam in sams.items():
                answer = answers(sam, scene) | {"scene": np.full(len(scene.masks), scene_seed)}
                rows.setdefault(model, {}).setdefault(f"seed {number}", []).append(answer)
    replace_block(PAGE, "replication", f"\n{replication_table(rows)}\n")


def answers(sam: Sam, scene: Scene) -> dict[str, np.ndarray]:
    """IoUs and measures of a model's selected masks, from the first click on each object."""
    clicks = measure_objects((mask, 0) for mask in scene.masks).point_px
    request = Request(clicks, scene.masks, default_view("identity"), ("center",))
    rows = extract_objects(sam, sam.encode(scene.rgb), request, batch=CPU_BATCH, with_masks=True)
    iou, sam_score, stability, mask_code = (
        rows[name][:, 0] for name in ("iou", "sam_score", "stability_score", "mask_code")
    )
    objects, selected = np.arange(len(iou)), sam_score.argmax(axis=1)
    score = sam_score[objects, selected].astype(np.float64)
    return {
        "iou": iou[objects, selected],
        "best_iou": iou.max(axis=1),
        "sam_score": 1 - score,
        "h_std": mask_entropy(decode(mask_code[objects, selected])),
        "stable_score": 1 - score * stability[objects, selected],
    }


def replication_table(rows: Mapping[str, Mapping[str, Iterable[Arrays]]]) -> str:
    """Margins over 1 - SamScore by measure, seed of the scenes and model.

    Parameters
    ----------
    rows
        Answers by model, then by the label of a seed. The last rows are of all seeds together.
    """
    cells: dict[tuple[str, str], list[str]] = {}
    n_objects: dict[str, int] = {}
    for by_seed in rows.values():
        joined = {label: _joined(of_seed) for label, of_seed in by_seed.items()}
        for label, arrays in (joined | {"all": _joined(joined.values())}).items():
            n_objects[label] = len(arrays["iou"])
            for measure, margin in margins(arrays).items():
                cells.setdefault((measure, label), []).append(signed(margin, "margin"))
    lines = [
        [measure_label(measure), label, str(n_objects[label]), *cells[measure, label]]
        for measure, label in sorted(cells, key=lambda key: MEASURES.index(key[0]))
    ]
    return table(("measure", "scenes", "objects", *rows), lines, left=(0, 1))


def margins(arrays: Arrays) -> dict[str, dict[str, float]]:
    """Relative AUC of each measure less that of 1 - SamScore in points, with its interval."""
    correction = Correction(arrays["iou"], arrays["best_iou"])
    resamples = resample_groups(arrays["scene"], N_RESAMPLES, seed=0)
    names = ("sam_score", *MEASURES)
    gain = correction.gain[:, np.newaxis]
    areas = [resampled_areas(gain, arrays[name], resamples)[:, 0] for name in names]
    _, (baseline, *resampled) = start_and_relative(correction, np.stack(areas), resamples)
    base, *relative = (
        correction_auc(correction.iou, correction.corrected_iou, arrays[name]).relative
        for name in names
    )
    by_measure = {}
    for name, of_measure, value in zip(MEASURES, resampled, relative, strict=True):
        ends = interval(of_measure - baseline, resamples.n_groups)
        points = {"margin": value - base, "margin_low": ends.low, "margin_high": ends.high}
        by_measure[name] = {end: 100 * number for end, number in points.items()}
    return by_measure


def _joined(blocks: Iterable[Arrays]) -> Arrays:
    rows = list(blocks)
    return {name: np.concatenate([block[name] for block in rows]) for name in rows[0]}


if __name__ == "__main__":
    typer.run(main)
