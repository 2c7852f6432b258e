"""Writes which images the shipped heads find unlike what they learned from: ``make results``.

Reads   the heads that ship; folders with ``images``, photographs, that are given as arguments.
Writes  the part of ``docs/predict.md`` between ``<!-- unlike -->`` and ``<!-- /unlike -->``.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from pipeline.heads.scope import OUT_OF_DISTRIBUTION
from pipeline.heads.training_images import TrainingImages, fit_training_images
from pipeline.sam.families import DRAWN
from stages.predictor.loading import load_predictor
from storage.head_files.head_file import read_head_file, shipped_heads
from storage.images.image_files import read_rgb
from tools.answers import drawn_images
from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "predict.md")

FRESH_SEED: Final = 103
"""Seed of scenes that nothing was learned from or chosen on."""

N_FRESH: Final = 600

N_NOISE: Final = 40

SPOT_PX: Final = 4

BORDER_SHARE: Final = 1 / 16

Images = Sequence[np.ndarray]


def main(folders: Sequence[str]) -> None:
    """Rewrite the block."""
    shipped = read_head_file(shipped_heads())
    if shipped.training_images is None:
        raise SystemExit("the heads that ship must have their training images: export them")
    sam = load_predictor(DRAWN, shipped.models[0]).sam

    def statistics(rgb: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.cat([*sam.encode(rgb).statistics().values()]).cpu().numpy()

    files = [path for name in folders for path in sorted(Path(name, "images").glob("*.jpg"))]
    photographs = [read_rgb(path) for path in files]
    described = {
        name: np.array([statistics(rgb) for rgb in images])
        for name, images in (scene_images() | photograph_images(photographs)).items()
    }
    columns = {"heads of scenes": shipped.training_images}
    if photographs:
        rows = described["photographs"]
        columns["heads of every second photograph"] = fit_training_images(rows[::2])
        columns["heads of the others"] = fit_training_images(rows[1::2])
    replace_block(PAGE, "unlike", f"\n{unlike_table(described, columns)}\n")


def scene_images() -> dict[str, Images]:
    """Fresh scenes, as they are and changed, and noise."""
    fresh = [rgb for rgb, _ in drawn_images(FRESH_SEED, "further", N_FRESH)]
    noise = np.random.default_rng(0).integers(0, 256, (N_NOISE, *fresh[0].shape), np.uint8)
    return {
        "fresh scenes": fresh,
        "scenes with a black square of 4 px": [spotted(rgb) for rgb in fresh],
        "scenes, brightness × 0.8": [contrasted(rgb, 0.8, mean=0) for rgb in fresh],
        "scenes, brightness × 1.2": [contrasted(rgb, 1.2, mean=0) for rgb in fresh],
        "scenes, contrast × 0.8": [contrasted(rgb, 0.8) for rgb in fresh],
        "scenes with black bars of a sixteenth": [letterboxed(rgb) for rgb in fresh],
        "white noise": list(noise),
    }


def photograph_images(photographs: Images) -> dict[str, Images]:
    """Photographs, as they are and changed; empty without photographs."""
    if not photographs:
        return {}
    gray = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in photographs]
    return {
        "photographs": photographs,
        "photographs, contrast × 0.8": [contrasted(rgb, 0.8) for rgb in photographs],
        "photographs, contrast × 0.7": [contrasted(rgb, 0.7) for rgb in photographs],
        "gray photographs": [np.repeat(pixels[..., np.newaxis], 3, axis=2) for pixels in gray],
    }


def spotted(rgb: np.ndarray) -> np.ndarray:
    """An image with a small black square."""
    pixels = rgb.copy()
    start = len(rgb) // 4
    pixels[start : start + SPOT_PX, start : start + SPOT_PX] = 0
    return pixels


def letterboxed(rgb: np.ndarray) -> np.ndarray:
    """An image with black bars at the top and the bottom."""
    pixels, n_rows = rgb.copy(), round(BORDER_SHARE * len(rgb))
    pixels[:n_rows] = pixels[-n_rows:] = 0
    return pixels


def contrasted(rgb: np.ndarray, factor: float, mean: float | None = None) -> np.ndarray:
    """An image with all differences from a value, by default its mean, multiplied."""
    centre = float(rgb.mean()) if mean is None else mean
    values = factor * (rgb.astype(np.float32) - centre) + centre
    pixels: np.ndarray = np.clip(values, 0, 255).astype(np.uint8)
    return pixels


def unlike_table(described: dict[str, np.ndarray], columns: dict[str, TrainingImages]) -> str:
    """Share of the images of each kind that heads find unlike their training images.

    Of photographs, heads that learned from one half are shown the other half.
    """
    lines = []
    for name, rows in described.items():
        halves = (rows, rows[1::2], rows[::2]) if "photographs" in name else (rows, rows, rows)
        shares = [
            np.mean([images.share_nearer(row) > OUT_OF_DISTRIBUTION for row in shown])
            for images, shown in zip(columns.values(), halves, strict=False)
        ]
        lines.append([name, str(len(rows)), *(f"{share:.0%}" for share in shares)])
    return table(("images", "number", *columns), lines)


if __name__ == "__main__":
    main(sys.argv[1:])
