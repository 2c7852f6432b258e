"""Stores are refused for what they are not, and read without this project."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import fsspec
import numpy as np
import pytest
import xarray
import zarr
from google_crc32c import value as crc32c
from zarr.abc.buffer import Buffer
from zarr.abc.store import Store as ZarrStore
from zarr.storage import FsspecStore

from storage.errors import StoreError
from storage.files.manifest import write_manifest
from storage.store import opening
from storage.store.checks import damaged_files
from storage.store.inspection import open_store
from storage.store.mask_chunks import CHECKSUM_BYTES, ENTRY_BYTES
from storage.store.opening import naming_damage, read_array
from storage.store.schema import SCHEMA, SCHEMA_VERSION
from tests.fixtures.made_up_cell import SIGNATURE, flip

PIPELINES: Final = ["BatchedCodecPipeline"] + ["FusedCodecPipeline"] * hasattr(
    ZarrStore, "get_ranges_sync"
)
"""zarr's ways to read chunks; the second one came with version 3.3."""


@pytest.fixture
def features(made: Path, tmp_path: Path) -> Path:
    """A features store to break."""
    return shutil.copytree(made / "features/identity.zarr", tmp_path / "identity.zarr")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    change(metadata)
    (path / "zarr.json").write_text(json.dumps(metadata))


@pytest.mark.parametrize("kind", ["features", "masks"])
def test_xarray_and_zarr_read_a_store_without_this_project(made: Path, kind: str) -> None:
    path = made / kind / "identity.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xarray.open_zarr(path, chunks=None)
        group = zarr.open_group(path, mode="r")
        plain = xarray.open_zarr(path, chunks=None, consolidated=False)
    xarray.testing.assert_identical(dataset, plain)
    assert dataset.attrs["kind"] == kind
    for name, spec in SCHEMA[kind].items():
        assert dataset[name].dims == spec.dims
        assert (name in dataset.coords) == spec.is_coordinate
        if spec.dtype != "str":
            assert dataset[name].dtype == spec.dtype
        np.testing.assert_array_equal(dataset[name], group[name][...])  # type: ignore[index]
    loaded = dataset.load()
    assert loaded.sel(prompt="refined", proposal=2).sizes["object"] == 10


def test_a_store_of_another_kind_is_refused(made: Path) -> None:
    with pytest.raises(StoreError, match="kind must be masks, got features"):
        opening.open_masks(made / "features/identity.zarr")


def test_opening_under_another_signature_names_the_key_and_both_values(made: Path) -> None:
    path = made / "features/identity.zarr"
    assert opening.open_features(path, SIGNATURE).sizes["object"] == 10
    with pytest.raises(
        StoreError, match=r"was written under other inputs \(precision: fp32 -> bf16\)$"
    ):
        opening.open_features(path, {"family": "mini", "precision": "bf16"})


def rewritten(text: str) -> Callable[[Path], object]:
    return lambda store: (store / "zarr.json").write_text(text)


def signed(**changes: object) -> Callable[[Path], object]:
    return lambda store: edit(store, lambda m: m["attributes"]["signature"].update(changes))


def with_iou(**changes: object) -> Callable[[Path], object]:
    """Another description of an array, under a manifest that agrees."""

    def damage(store: Path) -> None:
        edit(store, lambda m: m["consolidated_metadata"]["metadata"]["iou"].update(changes))
        write_manifest(store)

    return damage


def untold(store: Path) -> None:
    edit(store, lambda m: m["consolidated_metadata"]["metadata"].pop("iou"))
    write_manifest(store)


def overwrite(store: Path) -> None:
    chunk = store / "prompt/c.0"
    chunk.write_bytes(bytes(chunk.stat().st_size))


NO_STORE = r"identity\.zarr must be a Zarr store, got none"
RAW = {"name": "bytes", "configuration": {"endian": "little"}}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, NO_STORE),
        (rewritten('{"attributes": {"kind": "weather"}}'), "kind must be one of .* got 'weather'"),
        (
            rewritten('{"attributes":' * 100_000),
            # The second message comes from Python 3.14 on.
            rf"{NO_STORE} \((maximum recursion depth|Stack overflow) ",
        ),
        (
            lambda p: (p / "manifest/zarr.json").write_text("[" * 100_000),
            r"manifest/zarr\.json must be the manifest of a store, got RecursionError",
        ),
        (signed(schema_version=2), rf"zarr: schema_version must be {SCHEMA_VERSION}, got 2$"),
        (signed(precision="bf16"), r"zarr/zarr\.json must be the file of the manifest, "),
        (lambda p: shutil.rmtree(p / "manifest"), r"must be the manifest .*, got none$"),
        (overwrite, r"identity\.zarr/prompt: every chunk must be intact, got .*cache verify"),
        (with_iou(data_type="float64"), "iou must be float32 in .*, got float64"),
        (with_iou(dimension_names=["a", "b", "c"]), r"must have dimensions \('object', "),
        (with_iou(shape=[11, 2, 3]), "iou must be float32 in .*shape=.10, 2, 3.*, got .*11, 2"),
        (with_iou(codecs=[RAW]), "Zstd"),
        (untold, "iou must be a Zarr array, got none"),
    ],
)
def test_a_store_that_is_not_the_schemas_or_not_whole_is_refused(
    features: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(features)
    with pytest.raises(StoreError, match=message):
        opening.open_features(features)


def test_missing_and_empty_shards_are_named(made: Path, tmp_path: Path) -> None:
    masks = shutil.copytree(made / "masks/identity.zarr", tmp_path / "identity.zarr")
    (masks / "mask_code/c.0.0.0.0.0").unlink()
    (masks / "mask_code/c.2.0.0.0.0").write_bytes(b"")
    with pytest.raises(
        StoreError,
        match=r"every file must be there whole, got 2 missing or cut short "
        r"\(mask_code/c\.0\.0\.0\.0\.0, mask_code/c\.2\.0\.0\.0\.0\); .*cache verify",
    ):
        opening.open_masks(masks)


def test_a_shard_that_is_missing_at_an_address_is_not_read_as_zeros(made: Path) -> None:
    bucket, address = fsspec.filesystem("memory"), "memory://lab/identity.zarr"
    bucket.put(str(made / "masks/identity.zarr"), address, recursive=True)
    bucket.rm(f"{address}/mask_code/c.0.0.0.0.0")
    dataset = opening.open_masks(address)
    with pytest.raises(StoreError, match=r"mask_code: every chunk .* c\.0\.0.* with sha256 none"):
        dataset.mask_code[:2].load()
    assert dataset.mask_code[-1:].load().any()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, r"mask_code: every chunk .* c\.0\.0.* with sha256 none"),
        (PermissionError("403"), r"identity\.zarr must be readable, got: 403; if the server"),
    ],
    ids=["gone", "denied"],
)
def test_a_shard_that_vanishes_after_its_index_was_read_is_not_read_as_zeros(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: PermissionError | None,
    message: str,
) -> None:
    bucket, address = fsspec.filesystem("memory"), f"memory://{tmp_path.name}/identity.zarr"
    bucket.put(str(made / "masks/identity.zarr"), address, recursive=True)
    read, asked = FsspecStore.get, 0

    async def get(store: FsspecStore, key: str, *arguments: Any) -> Buffer | None:  # noqa: ANN401
        nonlocal asked
        asked += key.startswith("mask_code/c.")
        if asked < 2:
            return await read(store, key, *arguments)
        if answer is not None:
            raise answer
        return None

    monkeypatch.setattr(FsspecStore, "get", get)
    dataset = opening.open_masks(address)
    with pytest.raises(StoreError, match=message):
        dataset.mask_code[:2].load()
    assert asked > 1


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_an_array_that_took_the_place_of_another_is_not_read(features: Path, pipeline: str) -> None:
    with zarr.config.set({"codec_pipeline.path": f"zarr.core.codec_pipeline.{pipeline}"}):
        opened = opening.open_features(features)
    one, other = (features / name / "c.0.0.0" for name in ("iou", "sam_score"))
    assert one.read_bytes() != other.read_bytes()
    shutil.copy(other, one)
    with pytest.raises(StoreError, match=r"/iou: every chunk must be intact, got c\.0\.0\.0 with"):
        opened["iou"].load()
    opened["sam_score"].load()


@pytest.mark.parametrize("size", [2**62, 2**33, 1])
def test_a_forged_size_of_a_chunk_is_named(features: Path, size: int) -> None:
    """The frame of zstd says how many bytes it has; the manifest agrees with the forged file."""
    chunk = features / "iou/c.0.0.0"
    frame = chunk.read_bytes()
    descriptor = frame[4]
    n_bytes = (1, 2, 4, 8)[descriptor >> 6] + (descriptor >> 5 & 1 == 0)
    forged = bytes([0xE0 | descriptor & 4]) + size.to_bytes(8, "little")
    chunk.write_bytes(frame[:4] + forged + frame[5 + n_bytes :])
    write_manifest(features)
    message = r"identity\.zarr/iou: every chunk must be intact, got [^\n]+; .*cache verify"
    with pytest.raises(StoreError, match=message):
        read_array(open_store(features), "iou")


def test_a_shard_with_an_index_in_another_order_is_refused(made: Path, tmp_path: Path) -> None:
    masks = shutil.copytree(made / "masks/identity.zarr", tmp_path / "identity.zarr")
    shard = masks / "mask_code/c.0.0.0.0.0"
    intact = opening.open_masks(masks).mask_code[:4].load()
    data, n_bytes = shard.read_bytes(), 4 * ENTRY_BYTES
    start = len(data) - n_bytes - CHECKSUM_BYTES
    entries = np.frombuffer(data[start : start + n_bytes], "<u8").reshape(4, 2)[::-1].tobytes()
    shard.unlink()  # its other links stay as they are
    shard.write_bytes(data[:start] + entries + crc32c(entries).to_bytes(4, "little"))
    assert damaged_files(masks).keys() == {"mask_code/c.0.0.0.0.0"}
    dataset = opening.open_masks(masks)
    with pytest.raises(StoreError, match=r"/mask_code: every chunk must be intact, got c\.0\.0"):
        dataset.mask_code[:2].load()
    write_manifest(masks)
    np.testing.assert_array_equal(opening.open_masks(masks).mask_code[:4], intact[::-1])


def edit_record(manifest: dict[str, Any]) -> None:
    manifest["files"]["iou/c.0.0.0"]["bytes"] += 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit_record, r"manifest/zarr\.json must have the sha256 '\w{64}', got '\w{64}'$"),
        (lambda m: m.pop("sha256"), r"json must be the manifest of a store, got KeyError"),
        (lambda m: m["files"].update(x=["12"]), r"must be the manifest of a store, got TypeError"),
    ],
)
def test_a_manifest_is_held_to_its_own_digest(
    features: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(features / "manifest", lambda m: change(m["attributes"]))
    for read in (opening.open_features, damaged_files, open_store):
        with pytest.raises(StoreError, match=message):
            read(features)


def test_damage_is_named_when_it_is_read(features: Path) -> None:
    flip(features / "iou/c.0.0.0", -1)
    write_manifest(features)  # so that the checksum alone tells
    dataset = opening.open_features(features)
    with (
        pytest.raises(StoreError, match=r"identity\.zarr: every chunk must be intact"),
        naming_damage(features),
    ):
        dataset.iou.load()
