"""Writes into ``docs/results.md`` whether sure gains replicate: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``; ``results/splits``, which says
        which gains are sure.
Writes  the part of the page between ``<!-- replication -->`` and ``<!-- /replication -->``.

The scenes are in no split. ``make results`` reads the table when it writes README.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import chain, product
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch

from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.predictions import Request, Rows, extract_objects
from pipeline.extraction.shards import CPU_BATCH
from pipeline.heads.predict import INPUT_ARRAYS, predict, set_inputs
from pipeline.mask_statistics import soft_dice
from pipeline.masks import N_CODES, decode
from pipeline.prompts import measure_objects
from pipeline.proposals import ProposalScores
from pipeline.sam.model import Sam
from pipeline.scoring.bootstrap import Resampled, resample_groups, resampled_areas
from pipeline.scoring.corrections import aucs_by_draw
from pipeline.scoring.evidence import Evidence, ModelScores
from pipeline.scoring.measures import BASELINE, BY_NAME
from pipeline.scoring.tasks import corrections
from pipeline.views import default_view
from pipeline.vocabulary import TASKS, TRAIN_PROMPTS, USED
from stages.extraction.models import load_sam
from stages.page.labels import TASK_LABELS, measure_label
from stages.page.verdict import AFTERWARDS, OWN_HEADS
from stages.predictor.model_choice import OF_USERS
from storage.head_files.head_file import HeadFile, read_head_file, shipped_heads
from tools.answers import N_RESAMPLES, Image, drawn_images
from tools.blocks import replace_block, starred, table, with_interval
from tools.show_results import DRAWN, read_compared

PAGE: Final = Path("docs", "results.md")

MODELS: Final = ("tiny", "small", "base_plus", "large")

SEEDS: Final = (21, 22, 23)

N_SCENES: Final = 600
"""Number of scenes of each seed."""

COMPUTED: Final = (
    *("stable_score", "h_std", "soft_dice", AFTERWARDS.measures["model"]),
    *OWN_HEADS.measures.values(),
)
"""Measures of README's table that one click tells, with the heads that ship."""

Sure = Mapping[str, Collection[str]]
"""Names of the measures whose gain README calls sure, by task."""

Arrays = Mapping[str, np.ndarray]
"""Arrays with a row for each object: IoUs by the names of masks in ``ProposalScores.by_proposal``,
the baseline and all measures of ``Sure`` by name, and the number of the ``image``."""


def main() -> None:
    """Rewrite the block."""
    torch.set_num_threads(1)  # sums of several threads differ in last digits
    _, rows = read_compared(DRAWN)
    images = chain.from_iterable(drawn_images(seed, "further", N_SCENES) for seed in SEEDS)
    sure = sure_gains(rows)
    replace_block(PAGE, "replication", f"\n{replication_table(measured(images, sure), sure)}\n")


def sure_gains(rows: pd.DataFrame) -> Sure:
    """Measures of ``COMPUTED`` that surely beat 1 - SamScore, by the table of comparisons."""
    better = rows[(rows["protocol"] == USED) & (rows["verdict"] == "better")]
    names = {*zip(better["task"], better["measure"], strict=True)}
    return {task: [name for name in COMPUTED if (task, name) in names] for task in TASKS}


def measured(images: Iterable[Image], sure: Sure) -> dict[str, Arrays]:
    """Measures of all objects in some images, by model."""
    sams = {model: load_sam("mini", model, precision="fp32", device="cpu") for model in MODELS}
    heads, names = read_head_file(shipped_heads()), {BASELINE, *chain(*sure.values())}
    blocks: dict[str, list[Arrays]] = {model: [] for model in MODELS}
    for number, image in enumerate(images):
        of_image = {"image": np.full(len(image[1]), number)}
        for model, arrays in measures(sams, heads, image, names).items():
            blocks[model].append({**arrays, **of_image})
    return {
        model: {name: np.concatenate([block[name] for block in of_model]) for name in of_model[0]}
        for model, of_model in blocks.items()
    }


def measures(
    sams: Mapping[str, Sam], heads: HeadFile, image: Image, names: Collection[str]
) -> dict[str, Arrays]:
    """IoUs of masks, and measures of selected masks, for each object of an image, by model.

    A measure that compares the smallest and the largest model is of the smallest alone.

    Raises
    ------
    ValueError
        If a measure of ``names`` needs an input that is not computed here.
    """
    rgb, masks = image
    clicks = measure_objects((mask, 0) for mask in masks).point_px
    request = Request(clicks, masks, default_view("identity"), TRAIN_PROMPTS)
    rows = {
        model: extract_objects(sam, sam.encode(rgb), request, batch=CPU_BATCH, with_masks=True)
        for model, sam in sams.items()
    }
    proposals = {
        model: ProposalScores(
            *(of_model[name][:, k] for k in (0, 1) for name in ("iou", "sam_score"))
        )
        for model, of_model in rows.items()
    }
    largest = proposals[[*sams][-1]]
    found: dict[str, Mapping[str, np.ndarray]] = {}
    for model, of_model in rows.items():
        scores = _scores(of_model, proposals[model], largest)
        center = {name: of_model[name][:, 0] for name in INPUT_ARRAYS}
        predictions = predict(heads.weights, set_inputs(center, OF_USERS))
        evidence = Evidence(model, USED, scores, OF_USERS, predictions)
        of_names = {name: BY_NAME[name].compute(evidence) for name in names}
        found[model] = {**proposals[model].by_proposal(), **of_names}
    return found


def _scores(rows: Rows, proposals: ProposalScores, largest: ProposalScores) -> ModelScores:
    """Inputs of the measures that need one mask of one click, or the largest model's SamScore."""
    objects, selected = np.arange(len(proposals.iou)), proposals.sam_score.argmax(axis=1)
    mask_code, stability = (
        rows[name][objects, 0, selected] for name in ("mask_code", "stability_score")
    )
    counts = np.stack([np.bincount(codes.ravel(), minlength=N_CODES) for codes in mask_code])
    stable_score = np.multiply(proposals.judged_sam_score(USED), stability, dtype=np.float64)
    agreements = {"soft_dice": soft_dice(counts), "stable_score": stable_score}
    entropies = {"h_std": mask_entropy(decode(mask_code))}
    return ModelScores(proposals, {USED: entropies}, {USED: agreements}, {}, largest, MODELS)


def replication_table(by_model: Mapping[str, Arrays], sure: Sure) -> str:
    """Margins over 1 - SamScore by task, measure and model.

    Parameters
    ----------
    by_model
        Result of ``measured``.
    sure
        Result of ``sure_gains``.
    """
    lines = []
    for task, names in sure.items():
        # The correction of the model is a comparison of the smallest and the largest.
        for measure, model in product(names, MODELS[:1] if task == "model" else MODELS):
            margins = resampled_margins(by_model, task, model, measure)
            points = with_interval(margins, len(np.unique(by_model[model]["image"])), "+.1f")
            labels = (TASK_LABELS[task], starred(measure_label(measure)), model)
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
