"""What the content of a cell comes from: the settings that asked for it, and the images."""

from collections.abc import Mapping
from typing import Any, Final

import xarray

from storage.store.signature import digest

EXTRACTION_KEYS: Final = ("extract_version", "family", "precision")
"""Entries of the signatures of cells that fit together, of which split whatever they are."""

TOLD_KEYS: Final = (*EXTRACTION_KEYS, "objects_digest")
"""Entries that the signature of what is computed from cells repeats."""


def content_signature(features: xarray.Dataset) -> dict[str, Any]:
    """Signature of a cell, and a digest of the content of its images.

    Notes
    -----
    Images are no part of a stored signature: one that is repaired redoes its shard alone.
    """
    images = [str(sha256) for sha256 in features["images_sha256"].to_numpy()]
    return {**features.attrs["signature"], "images_digest": digest({"sha256": images})}


def cells_digest(cells: Mapping[tuple[str, str], xarray.Dataset]) -> str:
    """Digest of the content of cells, by model and view, whatever their order."""
    return digest(
        {"/".join(name): digest(content_signature(features)) for name, features in cells.items()}
    )
