"""The manifest of a store: the sizes and digests of its files, so that any change is detected.

The manifest is the attributes of an empty Zarr group in the store: Zarr readers skip a group
silently, but warn of files that are not Zarr's.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import zarr

from storage.errors import N_HEX, StoreError, shown
from storage.folders import sha256_file

NAME: Final = "manifest"
"""Name of the Zarr group whose attributes are the manifest."""

FILE: Final = f"{NAME}/zarr.json"
"""File with the manifest, relative to the store; the manifest does not list it."""

GROUP: Final = MappingProxyType({"zarr_format": 3, "node_type": "group"})
"""Entries of ``FILE`` beside the attributes."""

ROOT: Final = "zarr.json"
"""File with a store's attributes, relative to the store."""


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and sha256 of a file."""

    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, data: bytes | memoryview) -> "FileRecord":
        """Record of a file that consists of the bytes ``data``."""
        view = memoryview(data)
        return cls(view.nbytes, hashlib.sha256(view).hexdigest())


Manifest = Mapping[str, FileRecord]
"""Records of files by their names, relative to the store."""


def record_of(path: Path) -> FileRecord:
    """Measure the size and sha256 of a file on disk; the file is read in pieces."""
    return FileRecord(path.stat().st_size, sha256_file(path))


def check_chunks(
    where: object, name: str, listed: FileRecord | None, present: FileRecord | None
) -> None:
    """Raise a StoreError for a chunk file that differs from its record in the manifest.

    The checksums in a chunk detect a flipped bit, but not a file copied from another store.
    ``listed`` is the record in the manifest, None if the file is not listed; ``present`` the record
    of its actual bytes, None if the file is missing.
    """
    if present is None or present != listed:
        array, _, key = name.rpartition("/")
        old, new = (file.sha256[:N_HEX] if file else "none" for file in (listed, present))
        raise StoreError(
            f"{where}/{array}: every chunk must be intact, got {key} with sha256 {new} in place of "
            f"{old}; `usam cache verify {where}` lists the damaged ones"
        )


def manifest_sha256(files: Manifest) -> str:
    """Sha256 of a manifest: of the lines ``<sha256> <bytes> <name>`` of all files, sorted by name.

    >>> manifest_sha256({"zarr.json": FileRecord(3, "ab" * 32)})[:12]
    '0ec3ca5efb3f'
    """
    lines = (f"{files[name].sha256} {files[name].n_bytes} {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_manifest(store: Path, written: Manifest | None = None) -> None:
    """Add the manifest to a store whose files are all written; a manifest there is replaced.

    ``written`` has records that were made when the files were written, perhaps by another host,
    whose files NFS may show later; other files are read.
    """
    made = written or {}
    paths = (path for path in store.rglob("*") if path.is_file())
    names = sorted({path.relative_to(store).as_posix() for path in paths} - {FILE} | made.keys())
    files = {name: made.get(name) or record_of(store / name) for name in names}
    records = {
        name: {"bytes": record.n_bytes, "sha256": record.sha256} for name, record in files.items()
    }
    zarr.create_group(
        store / NAME,
        zarr_format=3,
        overwrite=True,
        attributes={"files": records, "sha256": manifest_sha256(files)},
    )


def parse_manifest(where: object, data: bytes) -> Manifest:
    """Parse the bytes of a manifest file and check the digest in it.

    Raises a StoreError, which begins with ``where``, if the bytes are no manifest, or were changed.
    """
    try:
        metadata = json.loads(data)
        attributes = metadata["attributes"]
        files = {name: _parse_record(value) for name, value in attributes["files"].items()}
        recorded_sha256 = attributes["sha256"]
        form = {"zarr_format": metadata["zarr_format"], "node_type": metadata["node_type"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{where} must be the manifest of a store, got {shown(error)}") from error
    # No digest covers these two entries, and a flipped bit in them would pass.
    if form != GROUP:
        raise StoreError(f"{where} must be a Zarr group with {shown({**GROUP})}, got {shown(form)}")
    if (sha256 := manifest_sha256(files)) != recorded_sha256:
        raise StoreError(f"{where} must have the sha256 {shown(recorded_sha256)}, got {sha256!r}")
    return files


def _parse_record(value: object) -> FileRecord:
    match value:
        case {"bytes": int(n_bytes), "sha256": str(sha256)}:
            return FileRecord(n_bytes, sha256)
        case _:
            raise TypeError(f"bytes and sha256 must be an int and a str, got {shown(value)}")
