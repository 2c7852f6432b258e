"""A store is read as docs/cache.md tells, by nothing that knows Zarr: as by another language."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from numcodecs.zstd import decompress  # type: ignore[import-untyped]

from storage.paths import entropy_path, objects_path
from storage.store.schema import FIXED_COORDINATES, SCHEMA
from storage.store.writing import write_store
from tests.fixtures.made_up_embeddings import write_embeddings
from tests.fixtures.split_cells import write_table

ABSENT = 2**64 - 1


def metadata(path: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((path / "zarr.json").read_text("utf-8"))
    return described


def test_a_store_tells_what_it_is(made: Path) -> None:
    attributes = metadata(made / "masks/identity.zarr")["attributes"]
    assert attributes["kind"] == "masks"
    assert set(attributes["coordinates"].split()) == {"object_id", "prompt", "proposal"}
    assert "probability[q]" in attributes["formula"]


@pytest.mark.parametrize("kind", ["features", "masks"])
def test_the_manifest_is_checked_with_any_sha256(made: Path, kind: str) -> None:
    store = made / kind / "identity.zarr"
    manifest = metadata(store / "manifest")["attributes"]
    lines = []
    for name, record in sorted(manifest["files"].items()):
        data = (store / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (record["bytes"], record["sha256"])
        lines.append(f"{record['sha256']} {record['bytes']} {name}\n")
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == manifest["sha256"]
    files = {file.relative_to(store).as_posix() for file in store.rglob("*") if file.is_file()}
    assert files - manifest["files"].keys() == {"manifest/zarr.json"}


DTYPES = {
    "float32": "<f4",
    "float64": "<f8",
    "int64": "<i8",
    "int32": "<i4",
    "uint8": "|u1",
    "uint16": "<u2",
}


def texts_of(data: bytes) -> np.ndarray:
    """Text as it is counted and prefixed."""
    (count,), place, texts = struct.unpack_from("<I", data), 4, []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data, place)
        texts.append(data[place + 4 : place + 4 + length].decode())
        place += 4 + length
    return np.array(texts, object)


def values_of(data: bytes, described: dict[str, Any], codecs: list[dict[str, Any]]) -> np.ndarray:
    """Elements of a compressed chunk, flat."""
    assert codecs[-1]["name"] == "zstd"
    assert codecs[-1]["configuration"]["checksum"]
    plain = decompress(data)
    if described["data_type"] == "string":
        assert codecs[0]["name"] == "vlen-utf8"
        return texts_of(plain)
    assert codecs[0]["name"] == "bytes"
    return np.frombuffer(plain, DTYPES[described["data_type"]])


def chunks_of(data: bytes, described: dict[str, Any]) -> list[np.ndarray | None]:
    """Elements of the chunks of a file in order; None for one that is absent."""
    (codec, *rest) = described["codecs"]
    if codec["name"] != "sharding_indexed":
        return [values_of(data, described, described["codecs"])]
    assert rest == []
    inner = codec["configuration"]
    assert (inner["index_location"], [c["name"] for c in inner["index_codecs"]]) == (
        "end",
        ["bytes", "crc32c"],
    )
    whole = np.prod(described["chunk_grid"]["configuration"]["chunk_shape"])
    n_index = 16 * int(whole // np.prod(inner["chunk_shape"]))
    index, checksum = data[-n_index - 4 : -4], data[-4:]
    assert google_crc32c.value(index) == int.from_bytes(checksum, "little")
    entries = struct.iter_unpack("<QQ", index)
    places = [None if start == ABSENT else slice(start, start + n) for start, n in entries]
    return [place and values_of(data[place], described, inner["codecs"]) for place in places]


def array_of(folder: Path) -> np.ndarray:
    """A whole array; files are named by the place of their chunk, and the last ones padded."""
    described = metadata(folder)
    encoding = described["chunk_key_encoding"]
    assert encoding == {"name": "default", "configuration": {"separator": "."}}
    shape, step = described["shape"], described["chunk_grid"]["configuration"]["chunk_shape"]
    found = np.empty(shape, DTYPES.get(described["data_type"], object))
    for index in np.ndindex(*(-(-n // s) for n, s in zip(shape, step, strict=True))):
        data = (folder / ".".join(["c", *map(str, index)])).read_bytes()
        parts = [part for part in chunks_of(data, described) if part is not None]
        block = np.concatenate(parts).reshape(-1, *step[1:])
        place = tuple(slice(i * s, (i + 1) * s) for i, s in zip(index, step, strict=True))
        target = found[place]
        target[...] = block[tuple(slice(n) for n in target.shape)]
    return found


@pytest.fixture(scope="module")
def stores(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store of each kind; objects and entropies of more rows than a chunk."""
    root = tmp_path_factory.mktemp("split")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_table("val", 1500)
        rows = {"objects": root / objects_path("val")}
        sizes = {"object": 1500, "model": 1, **{n: len(v) for n, v in FIXED_COORDINATES.items()}}
        arrays = {
            name: np.random.default_rng(0).random([sizes[dim] for dim in spec.dims], np.float32)
            for name, spec in SCHEMA["entropy"].items()
            if not spec.is_coordinate
        }
        path = root / entropy_path("val")
        labels = {"object_id": np.arange(1500), "model": ["tiny"]}
        write_store(path, "entropy", {**arrays, **labels}, signature={"split": "val"})
    published = {kind: made / kind / "identity.zarr" for kind in ("features", "masks")}
    embeddings = write_embeddings(root / "embeddings.zarr", precision="bf16")
    return {**rows, "entropy": path, "embeddings": embeddings, **published}


@pytest.mark.parametrize("kind", SCHEMA)
def test_every_array_of_every_kind_is_read_without_zarr(stores: dict[str, Path], kind: str) -> None:
    store = stores[kind]
    group = zarr.open_group(store, mode="r")
    for name in sorted(group.array_keys()):
        expected = np.asarray(group[name][...])  # type: ignore[index]
        found = array_of(store / name)
        if expected.dtype.kind == "T":
            assert found.tolist() == expected.tolist()
        else:
            np.testing.assert_array_equal(found, expected)
