from pathlib import Path

import numpy as np
import pytest

from storage.errors import WeightsError
from storage.head_files.tensors import read_tensors, write_tensors

TENSORS = {
    "layers.1.bias": np.arange(3, dtype=np.float32),
    # Not contiguous: as a transposed weight comes out of training.
    "layers.0.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}
METADATA = {name: name * 3 for name in ("split", "objective", "family", "seed", "schema", "hidden")}


def test_a_head_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "heads" / "a.safetensors"
    write_tensors(path, TENSORS, METADATA)
    tensors, metadata = read_tensors(path)
    assert {key: metadata[key] for key in METADATA} == METADATA
    assert set(metadata) - set(METADATA) == {"sha256"}
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], tensor)
        assert tensors[name].dtype == np.float32


def test_the_same_head_gives_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    one, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_tensors(one, TENSORS, METADATA)
    write_tensors(other, dict(reversed(TENSORS.items())), dict(reversed(METADATA.items())))
    assert one.read_bytes() == other.read_bytes()


def test_missing_head_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"heads must be a file, got none at .*a\.safetensors"):
        read_tensors(tmp_path / "a.safetensors")


def test_a_flipped_byte_anywhere_is_named_with_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, METADATA)
    whole = path.read_bytes()
    for place, byte in enumerate(whole):
        # A space that pads the header becomes a line break, which JSON takes as well.
        flip = 0x2A if byte == ord(" ") else 1 << place % 8
        path.write_bytes(whole[:place] + bytes([byte ^ flip]) + whole[place + 1 :])
        with pytest.raises(
            WeightsError, match=r"got .*a\.safetensors .*; fetch or export it again"
        ):
            read_tensors(path)
