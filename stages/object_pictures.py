"""Pictures for the stage ``gallery``: an object's true mask, its predicted mask and the click.

The functions are not in ``stages/gallery.py``: workers cannot import functions of ``__main__``.
"""

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
from storage.images.videos import SplitImages, video_of
from storage.rle import decode_rle
from storage.split.split_cells import OpenCell, SplitCells

QUALITY: Final = 75
"""Quality of the WebP pictures, from 0 to 100."""

ShownObject = Mapping[Hashable, Any]
"""An object to draw, by the names of its facts.

These are ``protocol``, ``task``, ``model``, ``prompt``, ``row`` in the split, and the names of its
image (``file``) and of its ``picture``.
"""


def by_source(objects: Sequence[ShownObject]) -> list[list[ShownObject]]:
    """Group objects by their image or video, so that each video is decoded once, from its start.

    Groups and their objects are in the order of the split.
    """
    groups: dict[str, list[ShownObject]] = {}
    for shown in sorted(objects, key=lambda shown: shown["row"]):
        groups.setdefault(video_of(shown["file"]) or shown["file"], []).append(shown)
    return list(groups.values())


def draw_objects(
    cells: SplitCells, folder: Path, side_px: int, objects: Sequence[ShownObject]
) -> dict[str, bytes]:
    """Draw one picture of each object; returns its WebP file by the object's entry ``picture``.

    ``folder`` has the images, or is a text file with the address of that folder. ``side_px`` is the
    length of the longer side of a picture.
    """
    images = SplitImages(folder, [shown["file"] for shown in objects])
    return {
        shown["picture"]: encode_webp(_draw(cells, images, shown, side_px)) for shown in objects
    }


def encode_webp(rgb: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Encode a picture as WebP of the quality ``QUALITY``; equal pictures give equal bytes."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "WEBP", quality=QUALITY)
    return file.getvalue()


def _draw(
    cells: SplitCells, images: SplitImages, shown: ShownObject, side_px: int
) -> UInt8[np.ndarray, "h w 3"]:
    table, row = cells.table, shown["row"]
    judged = judged_proposal(shown["protocol"], shown["task"])
    image = table.image_index[row]
    size = {"height_px": int(table.height_px[image]), "width_px": int(table.width_px[image])}
    x, y = table.point_px[row, PROMPTS.index("center")].tolist()
    cell = cells.by_name[shown["model"], "identity"]
    return draw_object(
        images.read(shown["file"], **size, sha256=str(table.image_sha256[image])),
        decode_rle(str(table.mask_rle[row]), **size),
        foreground(_mask_code(cell, row, judged, shown["prompt"]), **size),
        click_px=(x, y),
        box_px=tuple(table.box_px[row].tolist()),
        side_px=side_px,
    )


def _mask_code(cell: OpenCell, row: int, judged: str, prompt: str) -> UInt8[np.ndarray, "y x"]:
    """Mask code of the judged proposal of one object and prompt set.

    ``judged`` is ``best`` (the highest IoU) or ``selected`` (the highest SamScore).
    """
    ranked_by = {"best": "iou", "selected": "sam_score"}[judged]
    place = cell.signature["prompts"].index(prompt)
    scores = cell.scores(ranked_by, range(row, row + 1))[0, place]
    code: UInt8[np.ndarray, "y x"] = cell.mask_code(row)[place, int(scores.argmax())]
    return code
