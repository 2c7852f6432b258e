"""What entropies and heads come from: which cells, extracted how, from which images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from storage.errors import DataError
from storage.store.signature import digest

EXTRACTION_KEYS: Final = ("extract_version", "family", "precision")
"""Signature entries that cells used together must share, whatever their splits."""

TOLD_KEYS: Final = (*EXTRACTION_KEYS, "objects_digest")
"""Entries of cells that are repeated in the signature of what is computed from them."""

Signatures = Mapping[str, Mapping[str, object]]
"""Signature of each model's identity cell."""


def content_digest(signature: Mapping[str, object], images_sha256: Sequence[str]) -> str:
    """Digest of all that a cell's rows depend on, including the content of its images.

    Notes
    -----
    Stored signatures leave images out, so that repairing an image redoes only its shard.
    """
    return digest({**signature, "images_digest": digest({"sha256": list(images_sha256)})})


def cells_digest(contents: Mapping[tuple[str, str], str]) -> str:
    """Digest of the content of cells, by model and view, in any order."""
    return digest({"/".join(name): content for name, content in contents.items()})


def head_origin(signatures: Signatures) -> dict[str, str]:
    """Where heads come from: entries that the cells they judge must share with these cells."""
    shared = next(iter(signatures.values()))
    return {
        **{key: str(shared[key]) for key in EXTRACTION_KEYS},
        **{f"weights_{model}": str(entries["weights"]) for model, entries in signatures.items()},
    }


def check_head(
    path: Path,
    metadata: Mapping[str, str],
    *,
    place: Mapping[str, str],
    origin: Mapping[str, str],
) -> None:
    """Refuse a head that belongs elsewhere, or was trained on other features.

    Parameters
    ----------
    place
        What the head's path says: ``split``, ``protocol``, ``tokens`` and ``objective``.
    origin
        Entries of ``head_origin`` of the cells that it is to judge.

    Raises
    ------
    DataError
        If an entry differs (the message names the path, the key and both values).
    """
    for key, value in place.items():
        if (found := metadata.get(key, "none")) != value:
            raise DataError(f"{path}: {key} must be {value}, got {found}")
    for key, value in origin.items():
        if (found := metadata.get(key, "none")) != value:
            raise DataError(
                f"{path} must be trained on features of the same {key} ({found} -> {value}); "
                "train it again"
            )
