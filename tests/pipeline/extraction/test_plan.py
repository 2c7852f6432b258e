"""The plan of an extraction covers every object once, whatever the shards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.plan import CPU_BATCH_TOKENS, GPU_BATCH, decoder_batch, plan_shards

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


def test_scattered_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="must keep the objects of an image together"):
        plan_shards(np.array([0, 1, 0]), 4)


def test_an_empty_shard_is_refused() -> None:
    with pytest.raises(ValueError, match="shard_objects must be at least 1, got 0"):
        plan_shards(np.array([0, 1]), 0)


@pytest.mark.parametrize(
    ("device", "mask_size_px", "batch"),
    [("cpu", 256, 8), ("cpu", 64, 16), ("cpu", 8192, 1), ("cuda", 256, GPU_BATCH)],
)
def test_auto_fits_the_batch_to_device_and_model(
    device: str, mask_size_px: int, batch: int
) -> None:
    assert decoder_batch("auto", device=device, mask_size_px=mask_size_px) == batch
    assert batch * (mask_size_px // 4) ** 2 <= CPU_BATCH_TOKENS or batch == 1 or device == "cuda"


@pytest.mark.parametrize("setting", [0, -3, "large"])
def test_any_other_batch_is_refused(setting: int | str) -> None:
    with pytest.raises(ValueError, match=f"auto or a positive number, got {setting!r}"):
        decoder_batch(setting, device="cpu", mask_size_px=256)
