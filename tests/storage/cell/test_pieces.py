from pathlib import Path

import numpy as np
import pytest

from storage.cell.pieces import drop_pieces, keep_piece, load_piece

ROWS: dict[str, np.ndarray] = {
    "iou": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "mask_code": np.ones(4, np.uint8),
}


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    keep_piece(tmp_path / "pieces", 3, 14, ROWS, origin="abc")
    loaded = load_piece(tmp_path / "pieces", 3, 14, origin="abc")
    assert loaded is not None
    assert list(loaded) == list(ROWS)
    for name, values in ROWS.items():
        np.testing.assert_array_equal(loaded[name], values, strict=True)


def test_a_piece_of_other_image_content_is_none(tmp_path: Path) -> None:
    keep_piece(tmp_path, 3, 14, ROWS, origin="abc")
    assert load_piece(tmp_path, 3, 14, origin="abd") is None


@pytest.mark.parametrize("keep_bytes", [0, 3, 200, -1])
def test_a_cut_piece_is_none(tmp_path: Path, keep_bytes: int) -> None:
    keep_piece(tmp_path, 3, 14, ROWS, origin="abc")
    path = tmp_path / "3-14.npz"
    path.write_bytes(path.read_bytes()[:keep_bytes])
    assert load_piece(tmp_path, 3, 14, origin="abc") is None


def test_a_flipped_bit_of_a_piece_is_found(tmp_path: Path) -> None:
    keep_piece(tmp_path, 3, 14, ROWS, origin="abc")
    path = tmp_path / "3-14.npz"
    data = bytearray(path.read_bytes())
    data[data.index(ROWS["iou"].tobytes()) + 5] ^= 1
    path.write_bytes(data)
    assert load_piece(tmp_path, 3, 14, origin="abc") is None


def test_pieces_of_one_shard_are_dropped(tmp_path: Path) -> None:
    for shard, image in ((3, 1), (3, 2), (13, 1)):
        keep_piece(tmp_path, shard, image, ROWS, origin="abc")
    drop_pieces(tmp_path, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["13-1.npz"]
