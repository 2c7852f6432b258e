"""Chunks of masks and the index of their shard, as zarr reads them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from pipeline.masks import N_CODES
from storage.errors import StoreError
from storage.files.addresses import files_at
from storage.files.manifest import FileRecord
from storage.files.store_files import Files
from storage.paths import masks_path
from storage.store.mask_chunks import MaskChunks, shard_runs
from tests.fixtures.drawn_masks import HeldRows
from tests.fixtures.split_cells import write_cell

N_OBJECTS, SHARD_OBJECTS, SIZE_PX = 7, 3, 5
CELL = ("val", "tiny", "identity")


def write(root: Path, shard_objects: int = SHARD_OBJECTS, n_codes: int = N_CODES) -> MaskChunks:
    rng = np.random.default_rng(0)
    score = rng.uniform(size=(2, N_OBJECTS, 9, 3)).astype(np.float32)
    code = rng.integers(0, n_codes, (N_OBJECTS, 9, 3, SIZE_PX, SIZE_PX), np.uint8)
    write_cell(CELL, HeldRows(code, score[0], score[1], {}), shard_objects=shard_objects, root=root)
    return as_they_are(
        MaskChunks(files_at(root / masks_path(*CELL)), code.shape, shard_objects, {})
    )


def as_they_are(chunks: MaskChunks) -> MaskChunks:
    """The same shards under a manifest of the files as they are now."""
    records = {name: chunks.files.record(name) for name in chunks.files.names()}
    return replace(chunks, manifest=records)


def folder(chunks: MaskChunks) -> Path:
    assert chunks.files.folder is not None
    return chunks.files.folder


def read(chunks: MaskChunks, rows: range) -> np.ndarray:
    code = np.zeros((len(rows), *chunks.shape[1:]), np.uint8)
    chunks.read_into(rows, code)
    return code


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> MaskChunks:
    return write(tmp_path_factory.mktemp("intact"))


@given(st.integers(0, N_OBJECTS), st.integers(0, N_OBJECTS))
def test_any_rows_are_what_zarr_reads(intact: MaskChunks, start: int, stop: int) -> None:
    array = zarr.open_array(folder(intact) / "mask_code", mode="r")
    found = read(intact, range(start, max(start, stop)))
    np.testing.assert_array_equal(found, array[start:stop])


@pytest.mark.parametrize("shard_objects", [1, N_OBJECTS, 100])
def test_shards_of_any_size_are_read(tmp_path: Path, shard_objects: int) -> None:
    chunks = write(tmp_path, shard_objects)
    array = zarr.open_array(folder(chunks) / "mask_code", mode="r")
    np.testing.assert_array_equal(read(chunks, range(N_OBJECTS)), array[:])


def test_a_code_that_has_no_probability_is_refused(tmp_path: Path) -> None:
    chunks = write(tmp_path, n_codes=256)
    with pytest.raises(StoreError, match=rf"mask_code must be below {N_CODES}, got 255"):
        read(chunks, range(N_OBJECTS))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 12))
def test_runs_cover_the_rows_and_cross_no_shard(start: int, n_rows: int, size: int) -> None:
    runs = shard_runs(range(start, start + n_rows), size)
    assert [row for run in runs for row in run] == list(range(start, start + n_rows))
    assert all(run.start // size == (run.stop - 1) // size for run in runs)
    assert len(runs) == len({row // size for row in range(start, start + n_rows)})


def shard_file(chunks: MaskChunks, index: int) -> Path:
    return folder(chunks) / "mask_code" / f"c.{index}.0.0.0.0"


def test_any_flipped_bit_of_a_shard_is_caught(tmp_path: Path) -> None:
    chunks = write(tmp_path)
    path = shard_file(chunks, 1)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    # Some in chunks, and the last bytes, which are the index and its checksum.
    for place in (*rng.integers(0, len(data), 20), len(data) - 1, len(data) - 30):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        for found in (chunks, as_they_are(chunks)):  # by the manifest, and by checksums alone
            with pytest.raises(StoreError, match="every chunk must be intact"):
                read(found, range(3, 6))
    path.write_bytes(data)
    read(chunks, range(3, 6))


def test_chunks_of_the_same_size_from_another_shard_are_not_taken(tmp_path: Path) -> None:
    chunks = write(tmp_path)
    one, other = shard_file(chunks, 0), shard_file(chunks, 1)
    assert one.stat().st_size == other.stat().st_size
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    read(as_they_are(chunks), range(6))  # no checksum tells
    names = (
        r"/mask_code: every chunk .*, got c\.0\.0\.0\.0\.0 with sha256 \w{12} in place of \w{12};"
    )
    with pytest.raises(StoreError, match=names):
        read(chunks, range(1, 2))


def test_a_shard_is_compared_with_the_manifest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks, compared = write(tmp_path), list[str]()
    record = Files.record

    def counted(files: Files, name: str) -> FileRecord:
        compared.append(name)
        return record(files, name)

    monkeypatch.setattr(Files, "record", counted)
    for _ in range(2):
        read(chunks, range(N_OBJECTS))
    assert compared == [f"mask_code/c.{shard}.0.0.0.0" for shard in range(3)]


@pytest.mark.no_cover
@pytest.mark.parametrize("n_bytes", [0, 3, 20, 400])
def test_a_shard_cut_short_is_caught(tmp_path: Path, n_bytes: int) -> None:
    chunks = write(tmp_path)
    path = shard_file(chunks, 0)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(
        StoreError,
        match=r"must be intact, got c\.0\.0\.0\.0\.0 with sha256",
    ):
        read(chunks, range(1))
    with pytest.raises(StoreError, match=r"c\.0\.0\.0\.0\.0 is cut short or fails its checksum"):
        read(as_they_are(chunks), range(1))


def test_an_absent_chunk_is_named_not_taken_for_zeros(tmp_path: Path) -> None:
    path = tmp_path / "mask_code"
    array = zarr.create_array(
        path,
        shape=(3, 1, 1, 2, 2),
        chunks=(1, 1, 1, 2, 2),
        shards=(3, 1, 1, 2, 2),
        dtype="uint8",
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": False},
    )
    array[1] = 1
    chunks = as_they_are(MaskChunks(files_at(tmp_path), array.shape, 3, {}))
    with pytest.raises(StoreError, match=r"a chunk of .*c\.0\.0\.0\.0\.0 is absent"):
        read(chunks, range(2, 3))
