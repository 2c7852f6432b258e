"""The plan of an extraction covers every object once, whatever the shards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.shards import CPU_BATCH_TOKENS, GPU_BATCH, decoder_batch, plan_shards

object_counts = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(counts=object_counts, shard_objects=st.integers(1, 20))
def test_every_object_is_in_one_piece_of_its_shard(counts: list[int], shard_objects: int) -> None:
    image_index = np.repeat(np.arange(len(counts)), counts)
    shards = plan_shards(image_index, shard_objects)
    assert [row for s in shards for p in s.pieces for row in range(p.start, p.stop)] == list(
        range(len(image_index))
    )
    for number, shard in enumerate(shards):
        assert shard.index == number
        assert shard.start == number * shard_objects
        assert shard.stop - shard.start == shard_objects or shard is shards[-1]
        assert (shard.pieces[0].start, shard.pieces[-1].stop) == (shard.start, shard.stop)
        for piece in shard.pieces:
            assert (image_index[piece.start : piece.stop] == piece.image).all()


@pytest.mark.parametrize(
    ("device", "mask_size_px", "batch"),
    [("cpu", 256, 8), ("cpu", 64, 16), ("cpu", 8192, 1), ("cuda", 256, GPU_BATCH)],
)
def test_auto_fits_the_batch_to_device_and_model(
    device: str, mask_size_px: int, batch: int
) -> None:
    assert decoder_batch("auto", device=device, mask_size_px=mask_size_px) == batch
    assert batch * (mask_size_px // 4) ** 2 <= CPU_BATCH_TOKENS or batch == 1 or device == "cuda"
