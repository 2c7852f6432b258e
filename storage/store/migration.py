"""Brings stores of schema 1 to schema 2, which added the manifest; no model is needed."""

from pathlib import Path

import zarr

from storage.errors import StoreError, listed, shown
from storage.files.files import Files
from storage.files.manifest import ROOT, write_manifest
from storage.folders import link_or_copy, whole_folder
from storage.store.inspection import read_description
from storage.store.schema import MIGRATED, SCHEMA, SCHEMA_VERSION
from storage.store.verify import chunk_damages


def migrate(path: Path) -> bool:
    """Bring a published store to the present schema, in its place, whole or not at all.

    Its arrays are linked as they are; the result is byte for byte what a new run would write.

    Returns
    -------
    Whether it was of an earlier schema.

    Raises
    ------
    StoreError
        If it is of a schema that cannot be migrated, lacks arrays of the present one, or is
        damaged, which a manifest would hide.
    """
    group, kind, signature = read_description(Files(str(path), path))
    version = signature.get("schema_version")
    if version == SCHEMA_VERSION:
        return False
    if version not in MIGRATED:
        rule = ", ".join(map(str, (*MIGRATED, SCHEMA_VERSION)))
        raise StoreError(f"{path}: schema_version must be one of {rule}, got {shown(version)}")
    if group.attrs.get("layout") == "work":
        raise StoreError(f"{path} must be a published store, got one in the making")
    absent = sorted(set(SCHEMA[kind]) - {name for name, _ in group.arrays()})
    if absent:
        raise StoreError(
            f"{path} must have the arrays {listed(absent)} of the present schema, got a store of "
            f"extract_version {shown(signature.get('extract_version'))} without; make it again"
        )
    with whole_folder(path) as partial:
        for file in path.rglob("*"):
            if file.is_file():
                (partial / file.relative_to(path)).parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(file, partial / file.relative_to(path))
        attributes = {"signature": {**signature, "schema_version": SCHEMA_VERSION}}
        zarr.open_group(partial, mode="r+").update_attributes(attributes)
        assert not (partial / ROOT).samefile(path / ROOT)  # zarr replaces files
        write_manifest(partial)
        _check_intact(path, partial)
    return True


def _check_intact(path: Path, migrated: Path) -> None:
    """Read every chunk: its checksum is all that an earlier schema has."""
    damages = chunk_damages(migrated)
    if damages:
        names = [f"{damage.array}/{damage.key}: {damage.reason}" for damage in damages]
        raise StoreError(f"{path} must be intact, got {listed(names)}; make it again")
