"""Pictures of objects of a split: where on the image a mask is right and wrong."""

import io
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.gallery import draw_object, foreground
from pipeline.scoring.tasks import judged_proposal
from pipeline.vocabulary import PROMPTS
from stages.executor.opened_cells import CellsToOpen, opened
from storage.images.videos import SplitImages, video_of
from storage.rle import decode_rle
from storage.split.split_cells import OpenCell, SplitCells

QUALITY: Final = 75
"""Quality of the WebP pictures."""

Shown = Mapping[Hashable, Any]
"""An object to show: ``protocol``, ``task``, ``model``, its ``row``, its ``file``, and the name of
its ``picture``."""


def by_source(shown: Sequence[Shown]) -> list[list[Shown]]:
    """Objects in the order of their split, those of one image or one video together.

    So a video is decoded once, from its start.
    """
    together: dict[str, list[Shown]] = {}
    for one in sorted(shown, key=lambda one: one["row"]):
        together.setdefault(video_of(one["file"]) or one["file"], []).append(one)
    return list(together.values())


def drawn(
    cells: CellsToOpen, folder: Path, side_px: int, shown: Sequence[Shown]
) -> dict[str, bytes]:
    """Pictures of objects as WebP, by their names.

    Parameters
    ----------
    cells
        With masks.
    folder
        Of the images.
    side_px
        Longest side of a picture.

    Raises
    ------
    ImageError
        If an image is missing, damaged, or of another size than its record says.
    StoreError
        If a store is damaged.
    """
    here, images = opened(cells), SplitImages(folder, [one["file"] for one in shown])
    return {one["picture"]: encode_webp(_drawn(here, images, one, side_px)) for one in shown}


def encode_webp(rgb: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """WebP of a picture; equal pictures give equal bytes."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "WEBP", quality=QUALITY)
    return file.getvalue()


def _drawn(
    cells: SplitCells, images: SplitImages, one: Shown, side_px: int
) -> UInt8[np.ndarray, "h w 3"]:
    table, row, judged = cells.table, one["row"], judged_proposal(one["protocol"], one["task"])
    image = table.image_index[row]
    size = {"height_px": int(table.height_px[image]), "width_px": int(table.width_px[image])}
    x, y = table.point_px[row, PROMPTS.index("center")].tolist()
    cell = cells.by_name[one["model"], "identity"]
    return draw_object(
        images.read(one["file"], **size),
        decode_rle(str(table.mask_rle[row]), **size),
        foreground(_mask_code(cell, row, judged), **size),
        click_px=(x, y),
        box_px=tuple(table.box_px[row].tolist()),
        side_px=side_px,
    )


def _mask_code(cell: OpenCell, row: int, judged: str) -> UInt8[np.ndarray, "y x"]:
    """Coded mask of the judged proposal."""
    by = {"best": "iou", "selected": "sam_score"}[judged]
    center = PROMPTS.index("center")
    scores = cell.scores(by, range(row, row + 1))[0, center]
    code: UInt8[np.ndarray, "y x"] = cell.mask_code(row)[center, int(scores.argmax())]
    return code
