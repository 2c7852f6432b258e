"""What the content of a cell comes from: the settings that asked for it, and the images."""

from collections.abc import Mapping
from typing import Any

import xarray

from storage.signature import digest


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
