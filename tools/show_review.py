"""Writes how many wrong masks a review finds first into ``docs/annotate.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``, and a COCO data set, a folder with
        ``images`` and ``annotations.json``, if it is given as an argument.
Writes  the parts of the page between ``<!-- review -->`` and ``<!-- /review -->``, and between
        ``<!-- stops -->`` and ``<!-- /stops -->``.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from sam2.utils.amg import calculate_stability_score

from pipeline.predictor import PromptSet, UncertainPredictor
from pipeline.prompts import measure_objects
from pipeline.review import most_doubtful_first, remaining
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.scoring.bootstrap import interval
from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from storage.datasets.coco import list_coco
from storage.datasets.object_records import Source
from storage.images.image_files import read_rgb
from storage.rle import decode_rle
from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "annotate.md")

FRESH_SEED: Final = 311
"""Seed of scenes that nothing was learned from or chosen on."""

N_SCENES: Final = 120

N_RESAMPLES: Final = 1000

WRONG: Final = 0.5
"""IoU below which a mask is wrong."""

SHARES: Final = (0.1, 0.2, 0.5)
"""Shares of the masks that a person looks at."""

ORDERS: Final[Mapping[str, str]] = {
    "expected_iou": "expected IoU, as `usam review`",
    "sam_score": "SamScore",
    "stable_score": "SamScore × stability",
    "chance": "chance",
}
"""Columns by which masks are ordered, the lowest first, and their names."""

TARGETS: Final = (0.7, 0.8, 0.9)
"""Mean IoUs of the masks left at which a review may stop."""

SCENES_OF_A_REVIEW: Final = 20

Image = tuple[np.ndarray, Sequence[np.ndarray]]
"""Pixels of an image, and the true masks of its objects."""


def main(folders: Sequence[str]) -> None:
    """Rewrite the blocks."""
    shapes = read_params().shapes
    seeds = scene_seeds(FRESH_SEED, "further", N_SCENES)
    scenes = (draw_scene(seed, shapes.image_size_px) for seed in seeds)
    predictor = load_predictor("mini", "tiny")
    rows = {
        "fresh scenes": masks_of(predictor, ((scene.rgb, list(scene.masks)) for scene in scenes))
    }
    for folder in folders:
        rows["photographs, mini knows none"] = masks_of(predictor, photographs(Path(folder)))
    replace_block(PAGE, "review", f"\n{found_table(rows)}\n")
    replace_block(PAGE, "stops", f"\n{stop_table(rows['fresh scenes'])}\n")


def photographs(folder: Path) -> Iterator[Image]:
    """Images of a COCO data set with the masks of their objects."""
    source = Source(folder / "images", folder / "annotations.json")
    for medium in list_coco(source):
        for annotated in medium.read_annotated():
            size = annotated.image.height_px, annotated.image.width_px
            masks = [decode_rle(rle, *size) for _, rle in annotated.masks]
            rgb = read_rgb(folder / "images" / annotated.image.file)
            yield rgb, [mask for mask in masks if mask.any()]


def masks_of(predictor: UncertainPredictor, images: Iterable[Image]) -> pd.DataFrame:
    """Selected masks for a click and for a box of every object, with the values of all orders.

    Returns
    -------
    A row for each object and prompt, with the columns ``image``, ``prompt``, ``iou``,
    ``unlike_training`` and those of ``ORDERS``.
    """
    rows = []
    chance = np.random.default_rng(0)
    for number, (rgb, masks) in enumerate(images):
        predictor.set_image(rgb)
        truth = measure_objects((mask, 0) for mask in masks)
        corners = np.concatenate(
            [truth.box_px[:, :2], truth.box_px[:, :2] + truth.box_px[:, 2:]], axis=1
        )
        prompts = [("one click", PromptSet(points[:1], [1])) for points in truth.point_px]
        prompts += [("a box", PromptSet(box=box)) for box in corners]
        answers = predictor.predict_uncertainties([prompt for _, prompt in prompts])
        for (prompt, _), answer, true in zip(prompts, answers, [*masks, *masks], strict=True):
            k = answer.selected
            logits = torch.from_numpy(answer.logits[k])[None]
            stability = float(calculate_stability_score(logits, 0.0, 1.0))
            sam_score = float(answer.sam_score[k])
            rows.append(
                {
                    "image": number,
                    "prompt": prompt,
                    "iou": (answer.masks[k] & true).sum() / (answer.masks[k] | true).sum(),
                    "unlike_training": answer.unlike_training,
                    "expected_iou": float(answer.expected_iou.own[k]),
                    "sam_score": sam_score,
                    "stable_score": sam_score * np.nan_to_num(stability),
                    "chance": chance.random(),
                }
            )
    return pd.DataFrame(rows)


def found_table(rows: Mapping[str, pd.DataFrame]) -> str:
    """Shares of the wrong masks among the first masks of each order, with their intervals."""
    header = ("masks", "order", *(f"first {share:.0%}" for share in SHARES))
    lines = []
    for source, masks in rows.items():
        for prompt, of_prompt in masks.groupby("prompt", sort=False):
            n_wrong = int((of_prompt["iou"] < WRONG).sum())
            words = f"{source}, {prompt}: {n_wrong} of {len(of_prompt)} wrong"
            for column, name in ORDERS.items():
                cells = _found_cells(of_prompt, column)
                lines.append([words, name, *cells])
                words = ""
    return table(header, lines, left=(0, 1))


def _found_cells(masks: pd.DataFrame, column: str) -> list[str]:
    groups = [group for _, group in masks.groupby("image")]
    values = masks[["iou", column]].to_numpy(np.float64)
    by_image = [group[["iou", column]].to_numpy(np.float64) for group in groups]
    draws = np.random.default_rng(0).integers(0, len(groups), (N_RESAMPLES, len(groups)))
    resampled = np.array([found(np.concatenate([by_image[i] for i in draw])) for draw in draws])
    cells = []
    for share, of_all in enumerate(found(values)):
        ends = interval(resampled[:, share], len(groups))
        cells.append(f"{of_all:.0%} ({ends.low:.0%} to {ends.high:.0%})")
    return cells


def found(values: np.ndarray) -> list[float]:
    """Shares of the wrong masks that are among the first masks, by share of masks looked at.

    Parameters
    ----------
    values
        IoU and the value of the order of each mask.
    """
    is_wrong = values[np.argsort(values[:, 1], kind="stable"), 0] < WRONG
    firsts = [round(share * len(values)) for share in SHARES]
    return [float(is_wrong[:first].sum() / max(1, is_wrong.sum())) for first in firsts]


def stop_table(masks: pd.DataFrame) -> str:
    """When reviews of a few scenes may stop, and the true IoU of the masks that are left then."""
    header = ("prompt", "stop at", "reviews that stop early", "looked at", "true IoU left", "short")
    lines = []
    for prompt, of_prompt in masks.groupby("prompt", sort=False):
        reviews = [
            review for _, review in of_prompt.groupby(of_prompt["image"] // SCENES_OF_A_REVIEW)
        ]
        reviews.append(of_prompt)
        for target in TARGETS:
            stops = [stop for review in reviews if (stop := stopped(review, target)) is not None]
            looked, left = np.array(stops).reshape(-1, 2).T
            lines.append(
                [
                    str(prompt),
                    f"{target:g}",
                    f"{len(stops)} of {len(reviews)}",
                    f"{looked.mean():.0%}" if stops else "–",
                    f"{left.mean():.3f}" if stops else "–",
                    str(int((left < target).sum())),
                ]
            )
    return table(header, lines)


def stopped(review: pd.DataFrame, target: float) -> tuple[float, float] | None:
    """Share of masks looked at when a review may stop, and the mean true IoU of the masks left.

    None if it may stop only after the last mask.
    """
    ordered = review.iloc[most_doubtful_first(review["expected_iou"].to_numpy())]
    expected, unlike, iou = ordered[["expected_iou", "unlike_training", "iou"]].to_numpy(float).T
    for n_first in range(len(ordered)):
        is_reviewed = np.arange(len(ordered)) < n_first
        if remaining(expected, unlike, is_reviewed).may_stop(target):
            return n_first / len(ordered), float(iou[n_first:].mean())
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
