"""Writes how heads judge masks in changed images into ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``; photographs of ``bsds_train`` in
        ``data/BSDS500``, without which it prints the rows of drawn scenes and writes nothing.
Writes  the part of ``docs/predict.md`` between ``<!-- changed -->`` and ``<!-- /changed -->``.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch

from pipeline.heads.scope import OUT_OF_DISTRIBUTION
from pipeline.sam.families import DRAWN, PHOTOGRAPHS, models_of
from pipeline.views import apply_view, default_view
from stages.predictor.loading import load_predictor
from tools.answers import CLICK, Image, answers, bsds500_images, drawn_images
from tools.blocks import mean_of, replace_block, table
from tools.show_family import BSDS500

PAGE: Final = Path("docs", "predict.md")

SEED: Final = 33
"""Seed of scenes on which nothing was learned or chosen."""

N_IMAGES: Final = 100

LEAST_VISIBLE: Final = 0.5
"""Share of an object that a cut image must show for the object to count."""


def viewed(name: str) -> Callable[[Image], Image]:
    """Function that applies a view to an image and its true masks."""
    view = default_view(name)
    map_masks = view.kind.map_masks or (lambda masks: masks)
    return lambda image: (apply_view(image[0], view), map_masks(image[1]))


def contrasted(factor: float) -> Callable[[Image], Image]:
    """Function that multiplies all differences from the mean of an image."""

    def change(image: Image) -> Image:
        rgb, masks = image
        values = factor * (rgb.astype(np.float32) - rgb.mean()) + rgb.mean()
        return np.rint(values.clip(0, 255)).astype(np.uint8), masks

    return change


def doubled(image: Image) -> Image:
    """Cut the middle half of an image's height and width: objects then have twice their size."""
    rgb, masks = image
    height, width = rgb.shape[:2]
    middle = np.s_[height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2]
    cut = masks[:, *middle]
    is_shown = cut.sum((1, 2)) >= LEAST_VISIBLE * masks.sum((1, 2))
    return np.ascontiguousarray(rgb[middle]), cut[is_shown]


CHANGES: Final[Mapping[str, Callable[[Image], Image]]] = {
    "none": lambda image: image,
    "objects of half size": viewed("half"),
    "objects of double size": doubled,
    **{f"JPEG {quality}": viewed(f"jpeg{quality}") for quality in (10, 20, 50, 95)},
    **{f"contrast × {factor}": contrasted(factor) for factor in (0.5, 1.5)},
}
"""Changes of images by the names in the table."""


def main() -> None:
    """Rewrite the block."""
    torch.set_num_threads(1)
    images = images_by_family(SEED, N_IMAGES)
    by_family = {family: judged(family, of_family) for family, of_family in images.items()}
    replace_if_whole(PAGE, "changed", f"\n{changed_table(by_family)}\n", by_family)


def images_by_family(seed: int, n_images: int) -> dict[str, list[Image]]:
    """Images like those that each embedded family learned from; photographs if they are here."""
    images = {DRAWN: list(drawn_images(seed, "val", n_images))}
    if BSDS500.is_dir():
        images[PHOTOGRAPHS] = list(islice(bsds500_images(BSDS500, "train"), n_images))
    return images


def replace_if_whole(page: Path, name: str, block: str, by_family: Mapping[str, object]) -> None:
    """Write a block into a page, or print it where the photographs are missing."""
    if PHOTOGRAPHS in by_family:
        replace_block(page, name, block)
    else:
        print(block)


def judged(family: str, images: Sequence[Image]) -> dict[str, pd.DataFrame]:
    """Answers of every model of a family to one click, by change; the column ``model`` is added."""
    predictors = {model: load_predictor(family, model) for model in models_of(family)}
    return {
        name: pd.concat(
            [
                answers(predictor, filter(_has_objects, map(change, images)), [CLICK]).assign(
                    model=model
                )
                for model, predictor in predictors.items()
            ]
        )
        for name, change in CHANGES.items()
    }


def _has_objects(image: Image) -> bool:
    return len(image[1]) > 0


def changed_table(by_family: Mapping[str, Mapping[str, pd.DataFrame]]) -> str:
    """Expected less true IoU of each model under each change, and the share of unlike images."""
    (models,) = {models_of(family) for family in by_family}
    header = ("images", "change", "unlike", *(f"{name.replace('_', ' ')}" for name in models))
    lines = []
    for family, by_change in by_family.items():
        for change, rows in by_change.items():
            is_unlike = rows.groupby("image")["unlike_training"].first() > OUT_OF_DISTRIBUTION
            of_models = [rows[rows["model"] == model] for model in models]
            errors = [mean_of(of, of["expected_iou"] - of["iou"], "+.3f") for of in of_models]
            lines.append([f"`{family}`", change, f"{is_unlike.mean():.0%}", *errors])
    return table(header, lines, left=(0, 1))


if __name__ == "__main__":
    main()
