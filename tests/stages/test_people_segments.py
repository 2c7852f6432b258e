"""People's segments, compared with each other and with masks, against a slow version."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pipeline.entropy.comparisons import truth_at_size
from pipeline.masks import decode
from stages.people_segments import read_people
from storage.rle import decode_rle
from tests.fixtures.made_up_objects import object_table, several_persons
from tests.fixtures.signatures import open_eval
from tests.fixtures.split_cells import draw_rows, write_cells

MODELS = ("tiny", "large")
N_OBJECTS, SHARD_OBJECTS, SIZE_PX = 13, 3, 6


def slow_iou(first: np.ndarray | None, second: np.ndarray | None) -> float:
    if first is None or second is None:
        return np.nan
    return float((first & second).sum() / (first | second).sum())


def test_each_mask_and_segment_is_compared_with_each_persons_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {(m, "identity"): draw_rows(i, N_OBJECTS, SIZE_PX) for i, m in enumerate(MODELS)}
    table = several_persons(object_table(N_OBJECTS))
    assert table.person_rle is not None
    monkeypatch.chdir(write_cells(tmp_path, cells, N_OBJECTS, SHARD_OBJECTS, table))
    opened = open_eval("val", MODELS, ["identity"], with_masks=True, shard_objects=SHARD_OBJECTS)
    found = read_people(opened)
    n_absent = 0
    for row, texts in enumerate(table.person_rle):
        segments = [decode_rle(str(text), 8, 9) if text else None for text in texts]
        for (a, first), (b, second) in product(enumerate(segments), repeat=2):
            expected = slow_iou(first, second)
            assert found.pair_iou[row, a, b] == pytest.approx(expected, nan_ok=True)
        for person, segment in enumerate(segments):
            n_absent += segment is None
            area = np.nan if segment is None else segment.mean()
            assert found.area[row, person] == pytest.approx(area, nan_ok=True)
            for model, proposal in product(MODELS, range(3)):
                mask = decode(cells[model, "identity"].mask_code[row, 0, proposal]) > 0.5
                small = None if segment is None else truth_at_size(segment, SIZE_PX, SIZE_PX)
                expected = slow_iou(mask, small)
                iou = found.mask_iou[model][row, proposal, person]
                assert iou == pytest.approx(expected, nan_ok=True)
    assert n_absent > 0
    np.testing.assert_array_equal(found.hand, table.annotator)
