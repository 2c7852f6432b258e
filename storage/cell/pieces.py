"""Rows of single images, kept while another image of their shard fails."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from storage.folders import put_files

ORIGIN: Final = "origin"
"""Entry beside the rows: a piece is not used once it would come from another image or device."""

DAMAGE: Final = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError)
"""What NumPy raises for a damaged archive."""


def keep_piece(
    folder: Path, shard: int, image_index: int, rows: Mapping[str, np.ndarray], *, origin: str
) -> None:
    """Write the rows of one image; a kill leaves the previous piece or none."""
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **{ORIGIN: np.array(origin)}, **rows)
    put_files({_path(folder, shard, image_index): data.getvalue()})


def load_piece(
    folder: Path, shard: int, image_index: int, *, origin: str
) -> dict[str, np.ndarray] | None:
    """Rows of one image, if they were kept whole and are of this origin.

    A damaged piece counts as none: its rows are computed again.
    """
    try:
        # Opened here because NumPy leaves a damaged file open.
        with (
            _path(folder, shard, image_index).open("rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            if str(archive[ORIGIN]) != origin:
                return None
            return {name: archive[name] for name in archive.files if name != ORIGIN}
    except DAMAGE:
        return None


def drop_pieces(folder: Path, shard: int) -> None:
    """Remove the pieces kept for a shard."""
    for path in folder.glob(f"{shard}-*.npz"):
        path.unlink(missing_ok=True)  # another process may be dropping them, too


def _path(folder: Path, shard: int, image_index: int) -> Path:
    return folder / f"{shard}-{image_index}.npz"
