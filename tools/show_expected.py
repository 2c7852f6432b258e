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
from pipeline.scoring.bootstrap import Resamples, interval, resample_groups, resampled_means
from stages.predictor import load_predictor
from stages.settings.params import read_params
from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "predict.md")

N_SCENES: Final = 60
"""The first of the further scenes, on which nothing was chosen."""

N_RESAMPLES: Final = 2000

SHOWN_MODELS: Final = ("tiny", "large")

N_CORRECTIONS: Final = 3

CLICK: Final = "click"

PROMPTS: Final[Mapping[str, str]] = {
    CLICK: "one click",
    "box": "box",
    "alone": f"one click, {N_CORRECTIONS} corrections",
    "given": f"one click, {N_CORRECTIONS} corrections, with the mask before",
    "refined": "eight clicks on the object",
}
"""Kinds of prompts by the names that rows have."""


def main() -> None:
    """Rewrite the block."""
    shapes = read_params().shapes
    seeds = scene_seeds(shapes.seed, "further", N_SCENES)
    scenes = [draw_scene(seed, shapes.image_size_px) for seed in seeds]
    found = {model: answers(load_predictor("mini", model), scenes) for model in SHOWN_MODELS}
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


def expected_table(found: Mapping[str, pd.DataFrame]) -> str:
    """True IoU of each model after each prompt, and how heads and SamScore compare with it."""
    header = (
        *("model", "prompt", "true IoU"),
        *("expected less true", "correlation", "SamScore less true", "correlation"),
    )
    lines = []
    for model, rows in found.items():
        for name, words in PROMPTS.items():
            own = rows[rows["prompt"] == name]
            resamples = resample_groups(own["scene"].to_numpy(), N_RESAMPLES, seed=0)
            cells = [_cells(own, said, resamples) for said in ("expected", "sam_score")]
            lines.append([model, words, f"{own['iou'].mean():.2f}", *cells[0], *cells[1]])
    return table(header, lines, left=(0, 1))


def _cells(own: pd.DataFrame, said: str, resamples: Resamples) -> tuple[str, str]:
    """How much of what was said is above the true IoU, and its correlation with that."""
    above = (own[said] - own["iou"]).to_numpy()
    ends = interval(resampled_means(above[:, np.newaxis], resamples)[:, 0])
    return (
        f"{above.mean():+.2f} ({ends.low:+.2f} to {ends.high:+.2f})",
        f"{own[said].corr(own['iou']):.2f}",
    )


if __name__ == "__main__":
    main()
