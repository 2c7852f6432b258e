"""A store is read as docs/cache.md tells, by nothing that knows Zarr: as by another language."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from numcodecs.zstd import decompress  # type: ignore[import-untyped]

from tests.fixtures.made_up_cell import N_SHARDS, PLAN, SHARD_OBJECTS, extract, rows_of

ABSENT = 2**64 - 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a complete cell."""
    root = tmp_path_factory.mktemp("made")
    extract(root)
    return root


def metadata(path: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((path / "zarr.json").read_text("utf-8"))
    return described


def wanted(name: str) -> np.ndarray:
    return np.concatenate([rows_of(shard)[name] for shard in range(N_SHARDS)])


def test_a_store_tells_what_it_is(made: Path) -> None:
    attributes = metadata(made / "masks/identity.zarr")["attributes"]
    assert (attributes["kind"], attributes["layout"]) == ("masks", "published")
    assert set(attributes["coordinates"].split()) == {"object_id", "prompt", "proposal"}
    assert "probability[q]" in attributes["formula"]


@pytest.mark.parametrize("name", ["iou", "object_score"])
def test_numbers_are_compressed_little_endian_chunks_in_c_order(made: Path, name: str) -> None:
    folder = made / "features/identity.zarr" / name
    described = metadata(folder)
    codecs = [codec["name"] for codec in described["codecs"]]
    assert (described["data_type"], codecs) == ("float32", ["bytes", "zstd"])
    (file,) = folder.glob("c.*")
    shape = described["chunk_grid"]["configuration"]["chunk_shape"]
    values = np.frombuffer(decompress(file.read_bytes()), "<f4").reshape(shape)
    np.testing.assert_array_equal(values[: described["shape"][0]], wanted(name))


def test_text_is_counted_and_prefixed_by_its_length(made: Path) -> None:
    folder = made / "features/identity.zarr/prompt"
    assert metadata(folder)["codecs"][0]["name"] == "vlen-utf8"
    data = decompress((folder / "c.0").read_bytes())
    (count,), data, texts = struct.unpack_from("<I", data), data[4:], []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data)
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    assert texts == list(PLAN.prompts)


def test_a_shard_ends_with_its_index(made: Path) -> None:
    folder = made / "masks/identity.zarr/mask_code"
    assert metadata(folder)["codecs"][0]["name"] == "sharding_indexed"
    n_index = 16 * SHARD_OBJECTS
    found = []
    for shard in range(N_SHARDS):
        data = (folder / f"c.{shard}.0.0.0.0").read_bytes()
        index, checksum = data[-n_index - 4 : -4], data[-4:]
        assert google_crc32c.value(index) == int.from_bytes(checksum, "little")
        for offset, length in struct.iter_unpack("<QQ", index):
            if offset != ABSENT:
                found.append(np.frombuffer(decompress(data[offset : offset + length]), np.uint8))
    codes = wanted("mask_code")
    np.testing.assert_array_equal(np.stack(found).reshape(codes.shape), codes)


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
