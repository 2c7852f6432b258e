"""Writes what the choice of masks gains into ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``; a folder of photographs, if given:
        ``annotations.json``, a COCO file, and ``images``.
Writes  the part of the page between ``<!-- choice -->`` and ``<!-- /choice -->``.

``python -m tools.show_choice --seed 7 FOLDER``: the seed draws scenes that nothing was learned from
or chosen on.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import torch
import typer

from pipeline.extraction.iou import iou_arrays
from pipeline.heads.kinds import CUT_OBJECTIVES, KINDS_BY_NAME
from pipeline.heads.objectives import TrainingSet, split_by_group
from pipeline.heads.predict import predict
from pipeline.heads.training import Rows, train_heads
from pipeline.mask_choices import choice_gain, choose_masks, selected_masks
from pipeline.masks import CUTS
from pipeline.predictor import UncertainPredictor
from pipeline.predictor.proposal_heads import proposal_inputs
from pipeline.prompt_kinds import BOX
from pipeline.prompts import GroundTruth, measure_objects
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.scoring.bootstrap import interval, resample_groups, resampled_means
from pipeline.vocabulary import N_PROPOSALS
from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from tools.blocks import replace_block, table
from tools.show_expected import PROMPTS, answers_by_prompt
from tools.show_review import photographs

PAGE: Final = Path("docs", "predict.md")

MODELS: Final = ("tiny", "small", "base_plus", "large")

N_SCENES: Final = 100

N_PROMPTS: Final = 4
"""Number of kinds of prompts from which heads choose masks: all but prompts with a mask."""

OF_PHOTOGRAPHS: Final = ("tiny", "large")
"""Models that segment photographs."""

N_FOLDS: Final = 5

LEAST_AREA_PX: Final = 200
"""Smallest object of a photograph that counts."""

N_RESAMPLES: Final = 2000

LEAST_CHANGE: Final = 0.01
"""Difference in IoU above which an object counts as gained or lost."""


def main(
    folder: Annotated[Path | None, typer.Argument(help="Folder of photographs.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 9,
) -> None:
    """Rewrite the block."""
    side = read_params().shapes.image_size_px
    seeds = scene_seeds(seed, "further", N_SCENES)
    scenes = [draw_scene(scene_seed, side) for scene_seed in seeds]
    rows = [row for model in MODELS for row in scene_rows(model, scenes)]
    if folder is not None:
        rows += [row for model in OF_PHOTOGRAPHS for row in photograph_rows(model, folder)]
    replace_block(PAGE, "choice", f"\n{choice_table(pd.DataFrame(rows))}\n")


def scene_rows(model: str, scenes: Iterable[Scene]) -> Iterator[dict[str, Any]]:
    """A row for each object and kind of prompt, as a user has it: with the heads that ship.

    Where no choice is offered, the mask is the selected one.
    """
    predictor = load_predictor("mini", model)
    for group, scene in enumerate(scenes):
        predictor.set_image(scene.rgb)
        for prompt, uncertainties in islice(answers_by_prompt(predictor, scene.masks), N_PROMPTS):
            for uncertainty, truth in zip(uncertainties, scene.masks, strict=True):
                best, selected = uncertainty.best_mask, uncertainty.masks[uncertainty.selected]
                yield {
                    "images": "fresh scenes",
                    "prompt": PROMPTS[prompt],
                    "model": model,
                    "group": group,
                    "iou": _iou(selected, truth),
                    "chosen_iou": _iou(best.mask, truth),
                    "expected": best.expected_iou,
                }


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def photograph_rows(model: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each object and prompt, by heads that learned from the other photographs.

    Heads learn from clicks and boxes. A fifth of the images that they may learn from measures how
    much the chosen masks are overstated.
    """
    predictor = load_predictor("mini", model)
    data = {prompt: _photographs(predictor, folder, prompt) for prompt in ("click", "box")}
    group = data["click"]["group"]
    fold = np.random.default_rng(0).permutation(group.max() + 1)[group] % N_FOLDS
    for number in range(N_FOLDS):
        learned, shown = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        first, held_out = split_by_group(group[learned], seed=0)
        validated = _trained(data, learned[first])
        final = _trained(data, learned)
        for prompt, arrays in data.items():
            judged = {name: values[learned[held_out]] for name, values in arrays.items()}
            excess = choice_gain(prompt, _expected(validated, judged["inputs"]), *_truth(judged))
            of_fold = {name: values[shown] for name, values in arrays.items()}
            expected = _expected(final, of_fold["inputs"])
            chosen, selected = choose_masks(expected), selected_masks(of_fold["sam_score"])
            columns = {
                "group": of_fold["group"],
                "iou": selected.of(of_fold["iou_at_cut"]),
                "chosen_iou": chosen.of(of_fold["iou_at_cut"]),
                "expected": chosen.expected(expected, selected, excess.excess),
            }
            keys = {"images": "photographs", "prompt": PROMPTS[prompt], "model": model}
            for row in zip(*columns.values(), strict=True):
                yield {**keys, **dict(zip(columns, row, strict=True))}


Arrays = dict[str, np.ndarray]
"""Arrays with a row for each object: inputs of heads, IoUs, SamScores, number of the image."""


@torch.inference_mode()
def _photographs(predictor: UncertainPredictor, folder: Path, prompt: str) -> Arrays:
    """Inputs, true IoUs and SamScores of all objects of a folder of photographs."""
    blocks: list[Arrays] = []
    for rgb, all_masks in photographs(folder):
        masks = [mask for mask in all_masks if mask.sum() >= LEAST_AREA_PX]
        if not masks:
            continue
        embedding = predictor.sam.encode(rgb)
        truth = measure_objects((mask, 0) for mask in masks)
        points, labels = _prompts(truth, prompt)
        decoded = predictor.sam.decode(embedding, points, labels=labels)
        ious = iou_arrays(decoded.logits, torch.from_numpy(np.stack(masks)), with_cuts=True)
        inputs = proposal_inputs(predictor.heads, decoded)
        blocks.append(
            {
                "inputs": inputs.reshape(len(masks), N_PROPOSALS, -1),
                "iou_at_cut": ious["iou_at_cut"].numpy(),
                "sam_score": decoded.sam_score.numpy(),
                "group": np.full(len(masks), len(blocks)),
            }
        )
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _prompts(truth: GroundTruth, prompt: str) -> tuple[np.ndarray, np.ndarray]:
    """Points and labels of the first click on each object, or of its box."""
    if prompt == "click":
        points = truth.point_px[:, :1].astype(np.float32)
        return points, np.ones(points.shape[:2], np.int64)
    corners = np.stack([truth.box_px[:, :2], truth.box_px[:, :2] + truth.box_px[:, 2:]], axis=1)
    return corners.astype(np.float32), np.tile(BOX, (len(corners), 1))


Heads = dict[str, dict[str, np.ndarray]]


def _trained(data: dict[str, Arrays], rows: np.ndarray) -> Heads:
    """Heads of kind ``ours`` that learn the IoU at every cut from some objects, of all prompts."""
    inputs, targets = (
        np.concatenate([arrays[name][rows] for arrays in data.values()])
        for name in ("inputs", "iou_at_cut")
    )
    by_cut = targets.reshape(-1, len(CUTS)).T.astype(np.float32)
    learned = TrainingSet(
        np.ascontiguousarray(inputs.reshape(-1, inputs.shape[-1])),
        dict(zip(CUT_OBJECTIVES, by_cut, strict=True)),
        np.zeros(by_cut.shape[1], np.int64),
    )
    kind = KINDS_BY_NAME["ours"]
    assert kind.plan is not None
    every = Rows(np.arange(by_cut.shape[1]), np.arange(0))
    trained = train_heads(learned, every, CUT_OBJECTIVES, kind.plan, seed=0, kind=kind)
    return {name: dict(head.weights) for name, head in trained.items()}


def _expected(heads: Heads, inputs: np.ndarray) -> np.ndarray:
    predicted = predict(heads, inputs.reshape(-1, inputs.shape[-1]))
    return np.stack([*predicted.values()], axis=1).reshape(*inputs.shape[:2], len(CUTS))


def _truth(arrays: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return arrays["iou_at_cut"], arrays["sam_score"], arrays["group"]


def choice_table(rows: pd.DataFrame) -> str:
    """Gain in mean IoU by the choice, shares of objects that change, and the calibration."""
    header = (
        *("images", "prompt", "model", "objects", "IoU of selected masks"),
        *("gain in points", "gained", "lost", "expected less true"),
    )
    lines = []
    for keys, of_keys in rows.groupby(["images", "prompt", "model"], sort=False):
        gain = (of_keys["chosen_iou"] - of_keys["iou"]).to_numpy()
        resamples = resample_groups(of_keys["group"].to_numpy(), N_RESAMPLES, seed=0)
        means = resampled_means(gain[:, np.newaxis], resamples)[:, 0]
        ends = interval(means, resamples.n_groups)
        lines.append(
            [
                *(str(key).replace("_", " ") for key in keys),
                str(len(of_keys)),
                f"{100 * of_keys['iou'].mean():.1f}",
                f"{100 * gain.mean():+.1f} ({100 * ends.low:+.1f} to {100 * ends.high:+.1f})",
                f"{(gain > LEAST_CHANGE).mean():.0%}",
                f"{(gain < -LEAST_CHANGE).mean():.0%}",
                f"{(of_keys['expected'] - of_keys['chosen_iou']).mean():+.3f}",
            ]
        )
    return table(header, lines, left=(0, 1, 2))


if __name__ == "__main__":
    typer.run(main)
