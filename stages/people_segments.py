"""Reads how several persons divided the image around each click, and compares masks with that."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from pipeline.entropy.comparisons import truth_at_size
from pipeline.entropy.mixture_plan import task_probability
from pipeline.entropy.mixtures import mask_entropy
from pipeline.masks import FIRST_FOREGROUND_CODE, decode
from pipeline.scoring.people import People
from pipeline.vocabulary import DRAWN_CLICK, N_PROPOSALS, PROMPTS
from storage.rle import decode_rle
from storage.split.mask_blocks import mask_size
from storage.split.object_table import ObjectTable
from storage.split.split_cells import SplitCells

Segments = Sequence[Bool[np.ndarray, "y x"]]

PIXELS: Final = 2**16
"""Pixels of all segments of an image that are compared at once."""


def read_people(cells: SplitCells) -> dict[str, People]:
    """Compare the segments of several persons around each click with each other and with masks.

    ``cells`` are those of the view ``identity``, opened with masks, of a split whose objects store
    has the segments. The keys are the clicks with segments; the masks are those that answer them.
    """
    table = cells.table
    people = {click: _unknown(cells, click) for click in table.segments_of_persons}
    sam_score = np.stack([cell.scores("sam_score") for cell in cells.identity.values()])
    for image in np.unique(table.image_index):
        rows = np.flatnonzero(table.image_index == image)
        segments, places = _segments(table, rows)
        iou, area = _comparison(segments)
        truths = np.array([truth_at_size(segment, *mask_size(cells)) for segment in segments])
        for of_click, place in zip(people.values(), places, strict=True):
            of_click.pair_iou[rows] = iou[place[:, :, np.newaxis], place[:, np.newaxis]]
            of_click.area[rows] = area[place]
        for number, row in enumerate(rows):
            codes = np.stack([cell.mask_code(int(row)) for cell in cells.identity.values()])
            for (click, of_click), place in zip(people.items(), places[:, number], strict=True):
                column = PROMPTS.index(click)
                _add_entropies(of_click, int(row), codes[:, column], sam_score[:, row, column])
                there = place >= 0
                for name, code in zip(cells.models, codes[:, column], strict=True):
                    ious = _ious(code >= FIRST_FOREGROUND_CODE, truths[place[there]])
                    of_click.mask_iou[name][row][:, there] = ious
    return people


def _unknown(cells: SplitCells, click: str) -> People:
    """People whose segments and masks are not compared yet.

    A click that is drawn from its object weighs as much as the object's area, so that clicks stand
    for the pixels of their image. The clicks of an image weigh 1 together.
    """
    table, n_objects = cells.table, cells.table.n_objects
    assert table.annotator is not None
    n_persons = table.segments_of_persons[click].shape[1]
    share = table.area_px / np.bincount(table.image_index, table.area_px)[table.image_index]

    def unknown(*shape: int) -> Float[np.ndarray, "object ..."]:
        return np.full((n_objects, *shape), np.nan)

    return People(
        unknown(n_persons, n_persons),
        unknown(n_persons),
        table.annotator.astype(np.int64),
        {model: unknown(N_PROPOSALS, n_persons) for model in cells.models},
        share if click == DRAWN_CLICK else np.ones(n_objects),
        {model: {"h_a": unknown(), "h_theta": unknown()} for model in cells.models},
    )


def _segments(
    table: ObjectTable, rows: Int[np.ndarray, "row"]
) -> tuple[Segments, Int[np.ndarray, "click row person"]]:
    """Decode the segments around the clicks of an image, each segment once.

    The second result has the index of each person's segment around each click; -1 for none.
    """
    rle = np.stack([of_click[rows] for of_click in table.segments_of_persons.values()])
    texts, place = np.unique(rle.astype(object), return_inverse=True)
    image = table.image_index[rows[0]]
    size = int(table.height_px[image]), int(table.width_px[image])
    segments = [decode_rle(text, *size) for text in texts if text]
    # The empty text comes first.
    return segments, place.reshape(rle.shape) - (len(texts) - len(segments))


def _comparison(
    segments: Segments,
) -> tuple[Float[np.ndarray, "segment segment"], Float[np.ndarray, "segment"]]:
    """IoU of each two segments of an image, and their areas; NaN at the end, for no segment."""
    pixels = np.stack(segments).reshape(len(segments), -1)
    both = np.zeros((len(segments), len(segments)), np.float32)
    for start in range(0, pixels.shape[1], PIXELS):
        part = pixels[:, start : start + PIXELS].astype(np.float32)
        both += part @ part.T
    area = both.diagonal()
    iou = both / (area[:, np.newaxis] + area - both)
    padded = np.pad(iou.astype(np.float64), (0, 1), constant_values=np.nan)
    return padded, np.append(pixels.mean(axis=1), np.nan)


def _add_entropies(
    people: People,
    row: int,
    mask_code: UInt8[np.ndarray, "model proposal y x"],
    sam_score: Float32[np.ndarray, "model proposal"],
) -> None:
    """Add the entropies of the masks of a click to ``people``, as the stage ``entropy`` defines."""
    probability = decode(mask_code)
    is_selected = np.eye(N_PROPOSALS)[sam_score.argmax(axis=1)] / len(sam_score)
    mixtures = (
        *np.einsum("mk,mkyx->myx", task_probability(sam_score), probability),
        np.einsum("mk,mkyx->yx", is_selected, probability),
    )
    *h_a, h_theta = mask_entropy(np.clip(mixtures, 0, 1))  # sums exceed 1 by rounding
    for of_model, of_proposals in zip(people.entropies.values(), h_a, strict=True):
        of_model["h_a"][row], of_model["h_theta"][row] = of_proposals, h_theta


def _ious(
    first: Bool[np.ndarray, "first y x"], second: Bool[np.ndarray, "second y x"]
) -> Float[np.ndarray, "first second"]:
    """IoU of each mask of ``first`` with each of ``second``, which are not empty."""
    rows, columns = (masks.reshape(len(masks), -1).astype(np.float32) for masks in (first, second))
    both = rows @ columns.T
    either = rows.sum(axis=1)[:, np.newaxis] + columns.sum(axis=1) - both
    ious: Float[np.ndarray, "first second"] = both / either
    return ious
