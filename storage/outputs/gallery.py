"""The gallery of an eval split on disk: pictures of objects, and a table that describes them."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from storage.errors import DataError
from storage.folders import whole_folder
from storage.outputs.files import read_table, write_table

COLUMNS: Final = (
    "protocol",
    "task",
    "end",
    "rank",
    "object_id",
    "file",
    "model",
    "measure",
    "train_split",
    "uncertainty",
    "iou",
    "corrected_iou",
    "picture",
)
"""Columns of the table; ``end`` is ``most`` or ``least`` uncertain, ``rank`` 1 the most uncertain
of all objects, ``file`` the image, ``picture`` the file of the picture."""

TABLE: Final = "gallery.csv"

QUALITY: Final = 85
"""Quality of the JPEG pictures."""


@dataclass(frozen=True)
class Gallery:
    """Pictures of a split, and what each shows."""

    table: pd.DataFrame
    """One row per picture, of ``COLUMNS``."""
    pictures: Mapping[str, bytes]
    """JPEG bytes by file name."""

    def of_protocol(self, protocol: str) -> "Gallery":
        """The gallery, its table cut to one protocol."""
        return Gallery(self.table[self.table["protocol"] == protocol], self.pictures)


def encode_jpeg(rgb: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """JPEG of a picture; equal pictures give equal bytes."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def write_gallery(folder: Path, gallery: Gallery) -> None:
    """Write a gallery, replacing the one that is there."""
    with whole_folder(folder) as partial:
        write_table(partial / TABLE, gallery.table[list(COLUMNS)])
        for name, jpeg in gallery.pictures.items():
            (partial / name).write_bytes(jpeg)


def read_gallery(folder: Path) -> Gallery:
    """Read a gallery.

    Raises
    ------
    DataError
        If the table is missing, cut off or lacks a column, or a picture is missing.
    """
    table = read_table(folder / TABLE, COLUMNS)
    missing = [name for name in table["picture"] if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} must hold the pictures of {TABLE}, got no {missing[0]}")
    untold = sorted({path.name for path in folder.glob("*.jpg")} - set(table["picture"]))
    if untold:
        raise DataError(
            f"{folder / TABLE} must have a row for each picture, got none for {untold[0]}: "
            "run the stage gallery again"
        )
    return Gallery(table, {name: (folder / name).read_bytes() for name in table["picture"]})
