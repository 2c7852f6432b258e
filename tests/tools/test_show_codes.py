"""What codes of masks take and change, on made-up masks."""

import numpy as np
import pandas as pd
import pytest

from pipeline.masks import N_CODES
from tests.fixtures.drawn_masks import soft_masks
from tools.show_codes import NUMBERS_OF_CODES, coding_rows, codings


def test_fewer_codes_take_fewer_bytes_and_change_entropies_more() -> None:
    rows = pd.DataFrame([row for seed in range(5) for row in codings(soft_masks(seed, 24, 64))])
    means = rows.groupby("codes", sort=False).mean()
    assert means.index.tolist() == list(NUMBERS_OF_CODES)
    assert means["bytes"].is_monotonic_decreasing
    assert means.loc[[256, N_CODES, 32], "change"].is_monotonic_increasing


def test_no_pixel_of_a_single_mask_is_moved() -> None:
    assert [row["moved"] for row in codings(soft_masks(1, 1, 64))] == [0.0] * len(NUMBERS_OF_CODES)


def test_a_row_is_of_all_objects() -> None:
    objects = [soft_masks(seed, 6, 64) for seed in range(3)]
    of_each = [row for masks in objects for row in codings(masks) if row["codes"] == N_CODES]
    before = sum(row["bytes"] for masks in objects for row in codings(masks) if row["codes"] == 256)
    rows = {row[2]: row for row in coding_rows("mini", 64, iter(objects))}
    family, side, _, n_bytes, _, largest, _ = rows[str(N_CODES)]
    assert (family, side) == ("`mini`", "64 px")
    assert float(n_bytes) == pytest.approx(sum(r["bytes"] for r in of_each) / before, abs=0.005)
    assert float(largest) == pytest.approx(np.max([r["change"] for r in of_each]), rel=0.05)
