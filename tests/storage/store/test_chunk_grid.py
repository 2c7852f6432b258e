"""How arrays are cut into files, and how many files that makes."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.vocabulary import PROMPTS, TRAIN_PROMPTS
from storage.store.chunk_grid import ChunkGrid, chunk_grid, chunk_rows, row_bytes
from storage.store.inspection import open_store
from storage.store.schema import FIXED_COORDINATES, SCHEMA, cell_specs
from tests.fixtures.made_up_cell import SHARD_OBJECTS


@given(st.integers(1, 2_000_000))
def test_published_chunks_hold_1024_rows_or_more_in_30_blocks_or_fewer(n_rows: int) -> None:
    rows = chunk_rows(n_rows)
    assert rows % 1024 == 0
    assert -(-n_rows // rows) <= 30
    assert rows == 1024 or n_rows > 30 * (rows - 1024), "no larger than it need be"


@pytest.mark.parametrize(("n_objects", "n_rows"), [(60, 60), (5000, 1024), (860_000, 28672)])
def test_tokens_are_cut_by_prompt_set(n_objects: int, n_rows: int) -> None:
    sizes = {"object": n_objects, "prompt": 9, "token": 4, "channel": 256}
    found = chunk_grid(SCHEMA["features"]["mask_token"], sizes, 128)
    assert found == ChunkGrid((n_objects, 9, 4, 256), (n_rows, 1, 4, 256))


@pytest.mark.parametrize(("n_objects", "n_rows"), [(300, 128), (20, 20)])
def test_shards_of_masks_are_files_of_one_object_a_chunk(n_objects: int, n_rows: int) -> None:
    sizes = {"object": n_objects, "prompt": 9, "proposal": 3, "y": 64, "x": 64}
    found = chunk_grid(SCHEMA["masks"]["mask_code"], sizes, 128)
    rest = (9, 3, 64, 64)
    assert found == ChunkGrid((n_objects, *rest), (1, *rest), (n_rows, *rest))


def n_store_files(kind: str, sizes: Mapping[str, int], shard_objects: int) -> int:
    """Files of a published store of such sizes, metadata and manifest included."""
    fixed = {name: len(values) for name, values in FIXED_COORDINATES.items()}
    known = {**fixed, "code": 256, **sizes, "shard": -(-sizes["object"] // shard_objects)}
    n_files = 2
    for spec in SCHEMA[kind].values():
        cut = chunk_grid(spec, known, shard_objects)
        steps = zip(cut.shape, cut.shards or cut.chunks, strict=True)
        n_files += 1 + math.prod(-(-size // step) for size, step in steps)
    return n_files


@pytest.mark.parametrize("kind", ["features", "masks"])
def test_a_store_has_a_file_for_each_step_of_its_arrays(kind: str, made: Path) -> None:
    path = made / kind / "identity.zarr"
    n_files = sum(found.is_file() for found in path.rglob("*"))
    assert n_store_files(kind, open_store(path).sizes, SHARD_OBJECTS) == n_files


@given(st.integers(1, 10**8))
def test_a_store_of_features_has_less_than_a_thousand_files(n_objects: int) -> None:
    given = {"object": n_objects, "prompt": 9, "channel": 256, "encoder_channel": 352}
    assert n_store_files("features", given, -(-n_objects // 999)) < 1000


def test_bytes_follow_from_the_schema() -> None:
    counts = {"prompt": 9, "proposal": 3, "pair": 3, "token": 4}
    sizes = {**counts, "channel": 256, "encoder_channel": 352}
    of_prompt = 2 * 3 + 256 + 4 * 256 + 1 + 4 * 3

    in_view, in_identity = (cell_specs("features", view, PROMPTS) for view in ("vflip", "identity"))
    assert cell_specs("features", "vflip", TRAIN_PROMPTS) == in_identity
    assert row_bytes(in_view.values(), sizes) == 4 * (9 * of_prompt + 2 * 352)
    n_values = 9 * (of_prompt + 3 * (9 + 1)) + 2 * 352
    assert row_bytes(in_identity.values(), sizes | {"cut": 9}) == 4 * n_values
