"""Writes into ``docs/results.md`` whether gains without heads replicate: ``make results``.

Reads   the weights that ship, ``params.yaml:shapes``.
Writes  the part of the page between ``<!-- replication -->`` and ``<!-- /replication -->``.

The scenes are in no split. ``make results`` reads the table when it writes README.
"""

from collections.abc import Iterable, Mapping
from itertools import chain, product
from pathlib import Path
from typing import Final

import numpy as np
import torch

from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.extraction.shards import CPU_BATCH
from pipeline.mask_statistics import soft_dice
from pipeline.masks import N_CODES, decode
from pipeline.prompts import measure_objects
from pipeline.sam.model import Sam
from pipeline.scoring.bootstrap import Resampled, resample_groups, resampled_areas
from pipeline.scoring.corrections import aucs_by_draw
from pipeline.scoring.measures import BASELINE
from pipeline.scoring.tasks import REFINED, corrections
from pipeline.views import default_view
from pipeline.vocabulary import TRAIN_PROMPTS
from stages.extraction.models import load_sam
from stages.page.labels import TASK_LABELS, measure_label
from tools.answers import N_RESAMPLES, Image, drawn_images
from tools.blocks import replace_block, table, with_interval

PAGE: Final = Path("docs", "results.md")

MODELS: Final = ("tiny", "small", "base_plus", "large")

SEEDS: Final = (21, 22, 23)

N_SCENES: Final = 600
"""Number of scenes of each seed."""

SURE: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("stable_score", "h_std", "soft_dice"),
    "prompt": ("stable_score",),
    "task": ("stable_score", "h_std"),
    "segmentation": ("stable_score",),
}
"""Measures without heads whose gain README calls sure, by task."""

Arrays = Mapping[str, np.ndarray]
"""Arrays with a row for each object: IoUs by the names of masks in ``ProposalScores.by_proposal``,
the baseline and all measures of ``SURE`` by name, and the number of the ``image``."""


def main() -> None:
    """Rewrite the block."""
    torch.set_num_threads(1)  # sums of several threads differ in last digits
    images = chain.from_iterable(drawn_images(seed, "further", N_SCENES) for seed in SEEDS)
    replace_block(PAGE, "replication", f"\n{replication_table(measured(images))}\n")


def measured(images: Iterable[Image]) -> dict[str, Arrays]:
    """Measures of all objects in some images, by model."""
    sams = {model: load_sam("mini", model, precision="fp32", device="cpu") for model in MODELS}
    blocks: dict[str, list[Arrays]] = {model: [] for model in MODELS}
    for number, image in enumerate(images):
        for model, sam in sams.items():
            of_image = {"image": np.full(len(image[1]), number)}
            blocks[model].append(measures(sam, image) | of_image)
    return {
        model: {name: np.concatenate([block[name] for block in of_model]) for name in of_model[0]}
        for model, of_model in blocks.items()
    }


def measures(sam: Sam, image: Image) -> dict[str, np.ndarray]:
    """IoUs of a model's masks, and measures of its selected masks, for each object of an image."""
    rgb, masks = image
    clicks = measure_objects((mask, 0) for mask in masks).point_px
    request = Request(clicks, masks, default_view("identity"), TRAIN_PROMPTS)
    rows = extract_objects(sam, sam.encode(rgb), request, batch=CPU_BATCH, with_masks=True)
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


def replication_table(by_model: Mapping[str, Arrays]) -> str:
    """Margins over 1 - SamScore by task, measure and model.

    Parameters
    ----------
    by_model
        Result of ``measured``.
    """
    lines = []
    for task, sure in SURE.items():
        # The correction of the model is a comparison of the smallest and the largest.
        for measure, model in product(sure, MODELS[:1] if task == "model" else MODELS):
            margins = resampled_margins(by_model, task, model, measure)
            points = with_interval(margins, len(np.unique(by_model[model]["image"])), "+.1f")
            labels = (TASK_LABELS[task], measure_label(measure), model)
            lines.append([*labels, points.replace("-", "−")])
    n_objects = len(by_model[MODELS[0]][BASELINE])
    header = ("task", "measure", "model", f"{n_objects} objects")
    return table(header, lines, left=(0, 1, 2))


def resampled_margins(
    by_model: Mapping[str, Arrays], task: str, model: str, measure: str
) -> Resampled:
    """Relative AUC of a measure less that of 1 - SamScore in points, in each draw of images."""
    arrays = by_model[model]
    correction = corrections(by_model, model, "selected")[task]
    resamples = resample_groups(arrays["image"], N_RESAMPLES, seed=0)
    orders = [arrays[BASELINE], arrays[measure]]
    gain = correction.gain[:, np.newaxis]
    areas = [resampled_areas(gain, order, resamples)[:, 0] for order in orders]
    *_, (baseline, relative) = aucs_by_draw(correction, np.stack(areas), resamples)
    margins: Resampled = 100 * (relative - baseline)
    return margins


if __name__ == "__main__":
    main()
