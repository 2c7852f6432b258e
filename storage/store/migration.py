"""Brings published stores of schema 2 to the present schema, without a model."""

from collections.abc import Mapping
from pathlib import Path

import zarr

from storage.errors import StoreError, listed, shown
from storage.files.files import Files
from storage.files.manifest import FILE, ROOT, Manifest, write_manifest
from storage.folders import link_or_copy, whole_folder
from storage.store.inspection import read_description, read_manifest
from storage.store.schema import MIGRATED, SCHEMA, SCHEMA_VERSION
from storage.store.writing import consolidate


def migrate(path: Path) -> bool:
    """Bring a published store to the present schema, in its place, whole or not at all.

    Its arrays are linked as they are, and not read: the manifest keeps their digests, by which
    damage shows as before. The result is byte for byte what a new run would write.

    Returns
    -------
    Whether it was of the earlier schema.

    Raises
    ------
    StoreError
        If it is of a schema that cannot be migrated, of compiled models, lacks arrays of the
        present schema, or has other files than its manifest says.
    """
    files = Files(str(path), path)
    group, kind, signature = read_description(files)
    version = signature.get("schema_version")
    if version == SCHEMA_VERSION:
        return False
    _check_signature(path, signature)
    manifest = read_manifest(files)
    _check_files(files, kind, manifest)
    attributes = {key: value for key, value in group.attrs.items() if key != "layout"}
    attributes["signature"] = {**signature, "schema_version": SCHEMA_VERSION}
    records = {
        name: record
        for name, record in manifest.items()
        if name.partition("/")[0] in SCHEMA[kind]  # no longer ``done``
    }
    with whole_folder(path) as partial:
        zarr.create_group(partial, zarr_format=3, attributes=attributes)
        for name in records:
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
    absent = [name for name in SCHEMA[kind] if f"{name}/{ROOT}" not in manifest]
    if absent:
        raise StoreError(
            f"{files} must have the arrays {listed(absent)} of the present schema, got a store "
            "without; make it again"
        )
    wanted = {name: record.n_bytes for name, record in manifest.items()}
    found = files.sizes(name for name in files.names() if name != FILE)
    if differing := sorted(name for name, _ in wanted.items() ^ found.items()):
        raise StoreError(
            f"{files} must have the files of its manifest and no others, got "
            f"{listed(list(dict.fromkeys(differing)))}; `usam cache verify` names them"
        )
