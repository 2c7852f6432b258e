"""Migrates published stores of schema 2 to the current schema, without a model."""

from collections.abc import Mapping
from pathlib import Path

import zarr

from storage.errors import StoreError, listed, shown
from storage.files.files import Files
from storage.files.manifest import FILE, ROOT, FileRecord, Manifest, write_manifest
from storage.folders import link_or_copy, whole_folder
from storage.store.inspection import read_description, read_manifest
from storage.store.schema import MIGRATED, SCHEMA, SCHEMA_VERSION
from storage.store.writing import consolidate


def migrate(path: Path) -> bool:
    """Migrate a published store to the current schema, in place, whole or not at all.

    The files of its arrays are linked, not read: the manifest keeps what it says of them, by which
    damage and losses show as before. The result is byte for byte what a new run would write.

    Returns
    -------
    Whether it was of the earlier schema.

    Raises
    ------
    StoreError
        If it is of a schema that cannot be migrated or of compiled models, if it lacks an array of
        the present schema, if its metadata are damaged, or if it has files of its own.
    """
    files = Files(str(path), path)
    group, kind, signature = read_description(files)
    if signature.get("schema_version") == SCHEMA_VERSION:
        return False
    _check_signature(path, signature)
    manifest = read_manifest(files)
    _check_files(files, kind, manifest)
    signature = {**signature, "schema_version": SCHEMA_VERSION}
    attributes = {**group.attrs, "signature": signature}
    attributes.pop("layout", None)
    records = {
        name: record
        for name, record in manifest.items()
        if name.partition("/")[0] in SCHEMA[kind]  # of ``done`` no longer
    }
    with whole_folder(path) as partial:
        zarr.create_group(partial, zarr_format=3, attributes=attributes)
        for name in files.sizes(records):
            (partial / name).parent.mkdir(exist_ok=True)
            link_or_copy(path / name, partial / name)
        consolidate(partial, kind)
        write_manifest(partial, records)
    return True


def _check_signature(path: Path, signature: Mapping[str, object]) -> None:
    version = signature.get("schema_version")
    if version != MIGRATED:
        raise StoreError(
            f"{path}: schema_version must be {MIGRATED} or {SCHEMA_VERSION}, got {shown(version)}; "
            "make it again"
        )
    if "compile" in signature:
        raise StoreError(
            f"{path} must be of models that were not compiled, got signature.compile: "
            f"{signature['compile']}; make it again"
        )


def _check_files(files: Files, kind: str, manifest: Manifest) -> None:
    metadata = [f"{name}/{ROOT}" for name in SCHEMA[kind]]
    if absent := [name for name in metadata if name not in manifest]:
        raise StoreError(
            f"{files} must have the arrays of the present schema, got none of {listed(absent)}; "
            "make it again"
        )
    damaged = [name for name in metadata if _record(files, name) != manifest[name]]
    if damaged:
        raise StoreError(
            f"{files} must have intact metadata, got others than in the manifest in "
            f"{listed(damaged)}; make it again"
        )
    if strays := sorted({*files.names()} - {*manifest, FILE}):
        raise StoreError(
            f"{files} must have no files but those of its manifest, got {listed(strays)}"
        )


def _record(files: Files, name: str) -> FileRecord:
    return FileRecord.of(files.read(name) or b"")
