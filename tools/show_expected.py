"""Writes what heads expect after each kind of prompt into ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``.
Writes  the part of the page between ``<!-- expected -->`` and ``<!-- /expected -->``.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.predictor import PromptSet, UncertainPredictor, Uncertainty
from pipeline.prompts import GroundTruth, central_error, measure_objects
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.scoring.bootstrap import interval, resample_groups, resampled_means
from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "predict.md")

N_SCENES: Final = 60
"""The first of the further scenes, on which nothing was chosen."""

N_RESAMPLES: Final = 2000

N_CORRECTIONS: Final = 3

CLICK: Final = "click"

PROMPTS: Final[Mapping[str, str]] = {
    CLICK: "one click",
    "box": "a box",
    "alone": f"one click, {N_CORRECTIONS} corrections",
    "given": "the same, with the mask before",
    "refined": "eight clicks on the object",
}
"""Kinds of prompts by the names that rows have."""


def main() -> None:
    """Rewrite the block."""
    shapes = read_params().shapes
    seeds = scene_seeds(shapes.seed, "further", N_SCENES)
    scenes = [draw_scene(seed, shapes.image_size_px) for seed in seeds]
    found = answers(load_predictor("mini", "tiny"), scenes)
    replace_block(PAGE, "expected", f"\n{expected_table(found)}\n")


def answers(predictor: UncertainPredictor, scenes: Iterable[Scene]) -> pd.DataFrame:
    """What a model and its heads say of every object after each kind of prompt.

    Returns
    -------
    A row for each object and prompt, in the columns ``scene``, ``prompt``, and of the selected
    proposal ``iou``, ``expected`` and ``sam_score``.
    """
    rows = []
    for number, scene in enumerate(scenes):
        predictor.set_image(scene.rgb)
        for prompt, said in _said(predictor, scene.masks):
            rows += [
                {"scene": number, "prompt": prompt, **_row(own, mask)}
                for own, mask in zip(said, scene.masks, strict=True)
            ]
    return pd.DataFrame(rows)


def _said(
    predictor: UncertainPredictor, masks: np.ndarray
) -> Iterator[tuple[str, list[Uncertainty]]]:
    """Answers about all objects of an image, by kind of prompt."""
    truth = measure_objects((mask, 0) for mask in masks)
    first = [(one[:1], np.ones(1, int)) for one in truth.point_px]
    clicked = predictor.predict_uncertainties([PromptSet(*one) for one in first])
    yield CLICK, clicked
    yield "box", predictor.predict_uncertainties([PromptSet(box=box) for box in _corners(truth)])
    every = [PromptSet(one, np.ones(len(one), int)) for one in truth.point_px]
    yield "refined", predictor.predict_uncertainties(every)
    for name in ("alone", "given"):
        clicks, said = first, clicked
        for _ in range(N_CORRECTIONS):
            clicks = [_corrected(*one) for one in zip(clicks, said, masks, strict=True)]
            before = [one.logits[one.selected][None] if name == "given" else None for one in said]
            sets = [PromptSet(*own, None, mask) for own, mask in zip(clicks, before, strict=True)]
            said = predictor.predict_uncertainties(sets)
        yield name, said


def _corners(truth: GroundTruth) -> np.ndarray:
    """Left, top, right, bottom of each object."""
    return np.concatenate([truth.box_px[:, :2], truth.box_px[:, :2] + truth.box_px[:, 2:]], axis=1)


Clicks = tuple[np.ndarray, np.ndarray]
"""Pixels (x, y) and labels of one object."""


def _corrected(clicks: Clicks, said: Uncertainty, true: np.ndarray) -> Clicks:
    """The clicks, and one in the middle of the largest region where the selected mask is wrong."""
    x, y = central_error(said.masks[said.selected], true)
    return np.append(clicks[0], [[x, y]], axis=0), np.append(clicks[1], int(true[y, x]))


def _row(said: Uncertainty, true: np.ndarray) -> dict[str, float]:
    k = said.selected
    return {
        "iou": float((said.masks[k] & true).sum() / (said.masks[k] | true).sum()),
        "expected": float(said.expected_iou.own[k]),
        "sam_score": float(said.sam_score[k]),
    }


def expected_table(rows: pd.DataFrame) -> str:
    """True IoU after each prompt, and how what was said of it compares."""
    header = ("prompt", "true IoU", "expected less true", "correlation", "that of SamScore")
    lines = []
    for name, words in PROMPTS.items():
        own = rows[rows["prompt"] == name]
        above = (own["expected"] - own["iou"]).to_numpy()
        resamples = resample_groups(own["scene"].to_numpy(), N_RESAMPLES, seed=0)
        ends = interval(resampled_means(above[:, np.newaxis], resamples)[:, 0])
        lines.append(
            [
                words,
                f"{own['iou'].mean():.2f}",
                f"{above.mean():+.2f} ({ends.low:+.2f} to {ends.high:+.2f})",
                *(f"{own[said].corr(own['iou']):.2f}" for said in ("expected", "sam_score")),
            ]
        )
    return table(header, lines)


if __name__ == "__main__":
    main()
