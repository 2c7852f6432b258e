"""Reads how several persons divided the image around each click, and compares masks with that."""

import numpy as np
from jaxtyping import Bool, Float, Shaped

from pipeline.entropy.comparisons import truth_at_size
from pipeline.entropy.mixture_plan import task_probability
from pipeline.entropy.mixtures import mask_entropy
from pipeline.masks import FIRST_FOREGROUND_CODE, decode
from pipeline.proposals import Values
from pipeline.scoring.people import People
from pipeline.vocabulary import DRAWN_CLICK, N_PROPOSALS, PROMPTS
from storage.rle import decode_rle
from storage.split.mask_blocks import mask_size
from storage.split.split_cells import SplitCells


def read_people(cells: SplitCells) -> dict[str, People]:
    """Compare the segments of several persons around each click with each other and with masks.

    ``cells`` are those of the view ``identity``, opened with masks, of a split whose objects store
    has the segments. The keys are the clicks with segments; the masks are those that answer them.
    """
    by_click = cells.table.segments_of_persons.items()
    return {click: _people_around(cells, click, person_rle) for click, person_rle in by_click}


def _people_around(
    cells: SplitCells, click: str, person_rle: Shaped[np.ndarray, "object person"]
) -> People:
    """Compare the segments around one click.

    A click that is drawn from its object weighs as much as the object's area, so that clicks stand
    for the pixels of their image. The clicks of an image weigh 1 together.
    """
    table, (height, width) = cells.table, mask_size(cells)
    assert table.annotator is not None
    n_objects, n_persons = person_rle.shape
    pair_iou = np.full((n_objects, n_persons, n_persons), np.nan)
    area = np.full((n_objects, n_persons), np.nan)
    mask_iou = {name: np.full((n_objects, N_PROPOSALS, n_persons), np.nan) for name in cells.models}
    for row, texts in enumerate(person_rle):
        image = table.image_index[row]
        size = int(table.height_px[image]), int(table.width_px[image])
        there = np.flatnonzero(texts != "")
        segments = np.array([decode_rle(str(texts[person]), *size) for person in there])
        pair_iou[row, there[:, np.newaxis], there] = _ious(segments, segments)
        area[row, there] = segments.mean(axis=(1, 2))
        truths = np.array([truth_at_size(segment, height, width) for segment in segments])
        for name, cell in cells.identity.items():
            codes = cell.mask_code(row)[PROMPTS.index(click)]
            mask_iou[name][row][:, there] = _ious(codes >= FIRST_FOREGROUND_CODE, truths)
    share = table.area_px / np.bincount(table.image_index, table.area_px)[table.image_index]
    weight = share if click == DRAWN_CLICK else np.ones(n_objects)
    return People(pair_iou, area, table.annotator.astype(np.int64), mask_iou, weight)


def click_entropies(cells: SplitCells, click: str) -> dict[str, dict[str, Values]]:
    """H_A and H_Θ of the masks that answer a click, by model, as the stage ``entropy`` defines.

    ``cells`` are as for ``read_people``.
    """
    column = PROMPTS.index(click)
    scores = [cell.scores("sam_score")[:, column] for cell in cells.identity.values()]
    sam_score = np.stack(scores, axis=1)
    is_selected = np.eye(N_PROPOSALS)[sam_score.argmax(axis=2)] / len(scores)
    bits = np.empty((len(scores) + 1, cells.table.n_objects))
    for row, share in enumerate(task_probability(sam_score)):
        codes = np.stack([cell.mask_code(row)[column] for cell in cells.identity.values()])
        probability = decode(codes)
        mixtures = (
            *np.einsum("mk,mkyx->myx", share, probability),
            np.einsum("mk,mkyx->yx", is_selected[row], probability),
        )
        bits[:, row] = mask_entropy(np.clip(mixtures, 0, 1))  # sums exceed 1 by rounding
    *h_a, h_theta = bits
    return {
        model: {"h_a": of_model, "h_theta": h_theta}
        for model, of_model in zip(cells.models, h_a, strict=True)
    }


def _ious(
    first: Bool[np.ndarray, "first y x"], second: Bool[np.ndarray, "second y x"]
) -> Float[np.ndarray, "first second"]:
    """IoU of each mask of ``first`` with each of ``second``, which are not empty."""
    rows, columns = (masks.reshape(len(masks), -1).astype(np.float32) for masks in (first, second))
    both = rows @ columns.T
    either = rows.sum(axis=1)[:, np.newaxis] + columns.sum(axis=1) - both
    ious: Float[np.ndarray, "first second"] = both / either
    return ious
