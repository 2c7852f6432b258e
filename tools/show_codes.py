"""Writes what codes of masks take and change into ``docs/cache.md``.

Reads   the weights that ship; photographs of ``bsds_train`` in ``data/BSDS500``, without which it
        prints the rows of drawn scenes and writes nothing.
Writes  the part of ``docs/cache.md`` between ``<!-- codes -->`` and ``<!-- /codes -->``.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
from jaxtyping import Float
from numcodecs.zstd import compress  # type: ignore[import-untyped]
from scipy.special import expit

from pipeline.entropy.mixtures import mask_entropy
from pipeline.masks import CUT, N_CODES, decode_table, encode
from pipeline.prompts import sample_prompts
from pipeline.sam.families import models_of
from stages.extraction.models import load_sam
from storage.store.schema import CODEC
from tools.answers import Image
from tools.blocks import table
from tools.show_changed import images_by_family, replace_if_whole

PAGE: Final = Path("docs", "cache.md")

SEED: Final = 34
"""Seed of scenes on which nothing was learned or chosen."""

N_IMAGES: Final = 8

NUMBERS_OF_CODES: Final = (256, 128, N_CODES, 64, 32)
"""The first is what the others are compared with."""

SIDES_PX: Final = (64, 256)
"""Sides of masks: those of the mini models, and enlarged to the side of other families' masks."""

Masks = Float[np.ndarray, "mask y x"]


def main() -> None:
    """Rewrite the block."""
    by_family = images_by_family(SEED, N_IMAGES)
    rows = [
        row
        for family, images in by_family.items()
        for side_px in SIDES_PX
        for row in coding_rows(family, side_px, object_masks(family, images, side_px))
    ]
    header = ("images", "side", "codes", "bytes", "mean change", "largest change", "pixels")
    replace_if_whole(PAGE, "codes", f"\n{table(header, rows)}\n", by_family)


def object_masks(family: str, images: Sequence[Image], side_px: int) -> Iterator[Masks]:
    """Foreground probabilities of all clicks and proposals, of each object by each model."""
    for model in models_of(family):
        sam = load_sam(family, model, precision="fp32", device="cpu", weights="file")
        for rgb, truths in images:
            embedding = sam.encode(rgb)
            for truth in truths:
                points = sample_prompts(truth, 0)[:, np.newaxis].astype(np.float32)
                logits = sam.decode(embedding, points).logits.flatten(0, 1).numpy()
                enlarged = np.stack([cv2.resize(mask, (side_px, side_px)) for mask in logits])
                yield expit(enlarged)


def coding_rows(family: str, side_px: int, objects: Iterable[Masks]) -> Iterator[list[str]]:
    """A row for each number of codes: bytes over those of 256 codes, and what changes."""
    coded = pd.DataFrame([row for masks in objects for row in codings(masks)])
    for n_codes, rows in coded.groupby("codes", sort=False):
        most_bytes = coded["bytes"][coded["codes"] == NUMBERS_OF_CODES[0]].sum()
        yield [
            f"`{family}`",
            f"{side_px} px",
            f"{n_codes}",
            f"{rows['bytes'].sum() / most_bytes:.2f}",
            f"{rows['change'].mean():.1e}",
            f"{rows['change'].max():.1e}",
            f"{1e4 * rows['moved'].mean():.1f}",
        ]


def codings(masks: Masks) -> Iterator[dict[str, float]]:
    """For each number of codes: bytes, change of the mean mask's entropy, share of pixels moved."""
    exact = masks.mean(axis=0)
    for n_codes in NUMBERS_OF_CODES:
        q = encode(masks, n_codes)
        mean = decode_table(n_codes)[q].mean(axis=0)
        before, after = mask_entropy(np.stack([exact, mean]))
        yield {
            "codes": n_codes,
            "bytes": len(compress(q.tobytes(), CODEC.level)),
            "change": abs(after - before),
            "moved": ((mean > CUT) != (exact > CUT)).mean(),
        }


if __name__ == "__main__":
    main()
