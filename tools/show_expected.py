"""Writes expected and true IoUs by kind of prompt into ``docs/predict.md``: ``make results``.

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
"""The first so many further scenes, on which nothing was chosen."""

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
"""Kinds of prompts by their names in rows."""


def main() -> None:
    """Rewrite the block."""
    shapes = read_params().shapes
    seeds = scene_seeds(shapes.seed, "further", N_SCENES)
    scenes = [draw_scene(seed, shapes.image_size_px) for seed in seeds]
    rows = answers(load_predictor("mini", "tiny"), scenes)
    replace_block(PAGE, "expected", f"\n{expected_table(rows)}\n")


def answers(predictor: UncertainPredictor, scenes: Iterable[Scene]) -> pd.DataFrame:
    """Answers of a model and its heads about every object, after each kind of prompt.

    Returns
    -------
    A row for each object and prompt, in the columns ``scene``, ``prompt``, and of the selected
    proposal ``iou``, ``expected`` and ``sam_score``.
    """
    rows = []
    for number, scene in enumerate(scenes):
        predictor.set_image(scene.rgb)
        for prompt, uncertainties in answers_by_prompt(predictor, scene.masks):
            rows += [
                {"scene": number, "prompt": prompt, **_row(uncertainty, mask)}
                for uncertainty, mask in zip(uncertainties, scene.masks, strict=True)
            ]
    return pd.DataFrame(rows)


def answers_by_prompt(
    predictor: UncertainPredictor, masks: np.ndarray
) -> Iterator[tuple[str, list[Uncertainty]]]:
    """Answers about all objects of an image, by kind of prompt; prompts with a mask come last."""
    truth = measure_objects((mask, 0) for mask in masks)
    first = [(points[:1], np.ones(1, int)) for points in truth.point_px]
    clicked = predictor.predict_uncertainties([PromptSet(*click) for click in first])
    yield CLICK, clicked
    yield "box", predictor.predict_uncertainties([PromptSet(box=box) for box in _corners(truth)])
    all_clicks = [PromptSet(points, np.ones(len(points), int)) for points in truth.point_px]
    yield "refined", predictor.predict_uncertainties(all_clicks)
    for name in ("alone", "given"):
        clicks, uncertainties = first, clicked
        for _ in range(N_CORRECTIONS):
            clicks = list(map(_corrected, clicks, uncertainties, masks))
            inputs = [
                answer.logits[answer.selected][None] if name == "given" else None
                for answer in uncertainties
            ]
            uncertainties = predictor.predict_uncertainties(
                [PromptSet(*click, None, mask) for click, mask in zip(clicks, inputs, strict=True)]
            )
        yield name, uncertainties


def _corners(truth: GroundTruth) -> np.ndarray:
    """Left, top, right, bottom of each object."""
    return np.concatenate([truth.box_px[:, :2], truth.box_px[:, :2] + truth.box_px[:, 2:]], axis=1)


Clicks = tuple[np.ndarray, np.ndarray]
"""Pixels (x, y) and labels of one object."""


def _corrected(clicks: Clicks, uncertainty: Uncertainty, true: np.ndarray) -> Clicks:
    """Add a click in the middle of the largest region where the selected mask is wrong."""
    x, y = central_error(uncertainty.masks[uncertainty.selected], true)
    return np.append(clicks[0], [[x, y]], axis=0), np.append(clicks[1], int(true[y, x]))


def _row(uncertainty: Uncertainty, true: np.ndarray) -> dict[str, float]:
    k = uncertainty.selected
    return {
        "iou": float((uncertainty.masks[k] & true).sum() / (uncertainty.masks[k] | true).sum()),
        "expected": float(uncertainty.expected_iou.own[k]),
        "sam_score": float(uncertainty.sam_score[k]),
    }


def expected_table(rows: pd.DataFrame) -> str:
    """True IoU after each kind of prompt, with the error and correlation of the expected IoU."""
    header = ("prompt", "true IoU", "expected less true", "correlation", "that of SamScore")
    lines = []
    for name, words in PROMPTS.items():
        of_prompt = rows[rows["prompt"] == name]
        above = (of_prompt["expected"] - of_prompt["iou"]).to_numpy()
        resamples = resample_groups(of_prompt["scene"].to_numpy(), N_RESAMPLES, seed=0)
        ends = interval(resampled_means(above[:, np.newaxis], resamples)[:, 0], resamples.n_groups)
        lines.append(
            [
                words,
                f"{of_prompt['iou'].mean():.2f}",
                f"{above.mean():+.2f} ({ends.low:+.2f} to {ends.high:+.2f})",
                *(
                    f"{of_prompt[score].corr(of_prompt['iou']):.2f}"
                    for score in ("expected", "sam_score")
                ),
            ]
        )
    return table(header, lines)


if __name__ == "__main__":
    main()
