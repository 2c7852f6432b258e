"""Reads how several persons divided the image around each click, and compares masks with that."""

import numpy as np
from jaxtyping import Bool, Float

from pipeline.entropy.comparisons import truth_at_size
from pipeline.masks import FIRST_FOREGROUND_CODE
from pipeline.scoring.people import People
from pipeline.vocabulary import N_PROPOSALS, PROMPTS
from storage.rle import decode_rle
from storage.split.mask_blocks import mask_size
from storage.split.split_cells import SplitCells


def read_people(cells: SplitCells) -> People:
    """Compare the segments of several persons with each other, and with the masks of ``center``.

    ``cells`` are those of the view ``identity``, opened with masks, of a split whose objects store
    has the segments.
    """
    table, (height, width) = cells.table, mask_size(cells)
    assert table.person_rle is not None
    assert table.annotator is not None
    n_objects, n_persons = table.person_rle.shape
    pair_iou = np.full((n_objects, n_persons, n_persons), np.nan)
    area = np.full((n_objects, n_persons), np.nan)
    mask_iou = {name: np.full((n_objects, N_PROPOSALS, n_persons), np.nan) for name in cells.models}
    for row, texts in enumerate(table.person_rle):
        image = table.image_index[row]
        size = int(table.height_px[image]), int(table.width_px[image])
        there = np.flatnonzero(texts != "")
        segments = np.array([decode_rle(str(texts[person]), *size) for person in there])
        pair_iou[row, there[:, np.newaxis], there] = _ious(segments, segments)
        area[row, there] = segments.mean(axis=(1, 2))
        truths = np.array([truth_at_size(segment, height, width) for segment in segments])
        for name, cell in cells.identity.items():
            codes = cell.mask_code(row)[PROMPTS.index("center")]
            mask_iou[name][row][:, there] = _ious(codes >= FIRST_FOREGROUND_CODE, truths)
    return People(pair_iou, area, table.annotator.astype(np.int64), mask_iou)


def _ious(
    first: Bool[np.ndarray, "first y x"], second: Bool[np.ndarray, "second y x"]
) -> Float[np.ndarray, "first second"]:
    """IoU of each mask of ``first`` with each of ``second``, which are not empty."""
    rows, columns = (masks.reshape(len(masks), -1).astype(np.float32) for masks in (first, second))
    both = rows @ columns.T
    either = rows.sum(axis=1)[:, np.newaxis] + columns.sum(axis=1) - both
    ious: Float[np.ndarray, "first second"] = both / either
    return ious
