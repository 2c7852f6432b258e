from pathlib import Path

import numpy as np
import pytest
import zarr

from storage.store.shard_index import ABSENT, index_bytes, read_index

N_CHUNKS = 5


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """File of a shard that lacks its chunk 2."""
    array = zarr.create_array(
        tmp_path / "array",
        shape=(N_CHUNKS, 4),
        chunks=(1, 4),
        shards=(N_CHUNKS, 4),
        dtype="uint8",
        compressors=None,
        config={"write_empty_chunks": False},
    )
    array[:] = np.arange(4 * N_CHUNKS).reshape(N_CHUNKS, 4) * (np.arange(N_CHUNKS) != 2)[:, None]
    return tmp_path / "array/c/0/0"


def test_entries_say_where_each_chunk_lies(shard: Path) -> None:
    data = shard.read_bytes()
    with shard.open("rb", buffering=0) as file:
        entries = read_index(file, N_CHUNKS).tolist()
    assert [offset for offset, _ in entries].index(ABSENT) == 2
    for place in (0, 1, 3, 4):
        offset, length = entries[place]
        assert data[offset : offset + length] == bytes(range(4 * place, 4 * place + 4))


def test_no_more_of_a_file_is_read_than_memory_holds(shard: Path) -> None:
    index = shard.read_bytes()[-index_bytes(N_CHUNKS) :]
    with shard.open("r+b") as file:
        file.seek(2**40)  # leaves a hole, which takes no room
        file.write(index)
    with shard.open("rb", buffering=0) as file:
        assert read_index(file, N_CHUNKS)[2, 0] == ABSENT


def test_any_flipped_bit_of_the_index_is_an_error(shard: Path) -> None:
    whole = shard.read_bytes()
    for bit in range(8 * index_bytes(N_CHUNKS)):
        data = bytearray(whole)
        data[-1 - bit // 8] ^= 1 << bit % 8
        shard.write_bytes(data)
        with (
            shard.open("rb", buffering=0) as file,
            pytest.raises(ValueError, match=f"index of {shard} is cut short or fails"),
        ):
            read_index(file, N_CHUNKS)


def test_any_shorter_file_is_an_error(shard: Path) -> None:
    whole = shard.read_bytes()
    for n_bytes in range(len(whole)):
        shard.write_bytes(whole[:n_bytes])
        with (
            shard.open("rb", buffering=0) as file,
            pytest.raises(ValueError, match="cut short or fails its checksum"),
        ):
            read_index(file, N_CHUNKS)
