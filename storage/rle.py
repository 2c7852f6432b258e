"""Encodes and decodes masks as COCO's compressed run-length encoding (RLE), and checks it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int64
from pycocotools import mask as coco_mask

from storage.errors import DataError, shown

_FIRST_CHARACTER: Final = 48
_LAST_CHARACTER: Final = 111
"""Codes of the first and last character of compressed RLE: six bits, plus 48 to be printable."""

_MOST_CHARACTERS: Final = 11
"""Largest number of characters of one run: 55 bits, more than any image has pixels."""

Counts = Int64[np.ndarray, " run"]


def encode_rle(mask: Bool[np.ndarray, "h w"]) -> str:
    """Encode a mask as compressed run lengths, column by column."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return str(encoded["counts"], "ascii")


def decode_rle(counts: str, height_px: int, width_px: int) -> Bool[np.ndarray, "h w"]:
    """Decode compressed run lengths to a mask of a given size.

    Raises a DataError if the runs are malformed or do not cover the image exactly. Not pycocotools'
    decoder: it returns uninitialised memory where the runs end too early.
    """
    runs = parse_counts(counts)
    check_runs(runs, height_px, width_px)
    is_foreground = np.arange(len(runs)) % 2 == 1
    columns = np.repeat(is_foreground, runs).reshape(width_px, height_px)
    return np.ascontiguousarray(columns.T)


def area_rle(counts: str) -> int:
    """Number of foreground pixels of a mask in compressed run lengths."""
    return int(parse_counts(counts)[1::2].sum())


def covered_shares(
    segmentations: Sequence[Mapping[str, Any]], annotated: Sequence[str]
) -> Float[np.ndarray, " mask"]:
    """Share of each mask's pixels that lies in any of some annotated masks; 0 if there are none.

    ``segmentations`` have ``size`` and ``counts``, as in COCO; the masks are not empty.
    """
    if not annotated or not segmentations:
        return np.zeros(len(segmentations))
    size = segmentations[0]["size"]
    union = coco_mask.merge([{"size": size, "counts": counts} for counts in annotated])
    # With a crowd, pycocotools divides the common pixels by those of the mask.
    return np.asarray(coco_mask.iou(list(segmentations), [union], [1])[:, 0])


def smallest_around(
    segments: Sequence[tuple[int, str]], pixels: Int64[np.ndarray, " click"], n_persons: int
) -> list[list[str]]:
    """Find each person's smallest segment around each pixel: an RLE per pixel and person.

    ``segments`` has a person and an RLE each; ``pixels`` count column by column. The text is empty
    for a person without a segment there.
    """
    around = [[""] * n_persons for _ in pixels]
    parsed = [(person, rle, parse_counts(rle)) for person, rle in segments]
    # The largest come first, so that smaller ones replace them.
    for person, rle, runs in sorted(parsed, key=lambda item: -item[2][1::2].sum()):
        run = np.searchsorted(np.cumsum(runs), pixels, side="right")
        for place in np.flatnonzero(run % 2):
            around[place][person] = rle
    return around


def parse_counts(counts: str) -> Counts:
    """Parse COCO's compressed form to run lengths in pixels, background first; no sum is checked.

    Raises a DataError if a character is out of range, or a number is too long or cut short.

    Notes
    -----
    A character holds five bits of a number, the lowest first. Its bit 32 says that the number
    continues; bit 16 of a number's last character says that the number is negative. From the fourth
    on, numbers are differences from the run two places before.
    """
    code = np.frombuffer(counts.encode(errors="surrogatepass"), np.uint8).astype(np.int64)
    is_last = (code - _FIRST_CHARACTER) & 32 == 0
    if not code.size or code.min() < _FIRST_CHARACTER or code.max() > _LAST_CHARACTER:
        raise DataError(f"RLE counts must be characters '0' to 'o', got {shown(counts)}")
    length = np.diff(np.flatnonzero(is_last), prepend=-1)
    if not is_last[-1] or length.max() > _MOST_CHARACTERS:
        raise DataError(
            f"RLE counts must be numbers of up to {_MOST_CHARACTERS} characters, "
            f"got {shown(counts)}"
        )
    start = np.cumsum(length) - length
    place = np.arange(len(code)) - np.repeat(start, length)
    value = code - _FIRST_CHARACTER
    number = np.add.reduceat((value & 31) << 5 * place, start)
    number -= np.where(value[is_last] & 16, 1 << 5 * length, 0)
    number[1::2] = np.cumsum(number[1::2])
    number[2::2] = np.cumsum(number[2::2])
    return number


def compress_runs(runs: Sequence[int], height_px: int, width_px: int) -> str:
    """Compress run lengths in pixels, column by column, background first, to COCO's text form.

    Raises a DataError if a run is negative, or the runs do not cover the image exactly.
    """
    try:
        check_runs(np.asarray(runs, np.int64), height_px, width_px)
    except OverflowError as error:
        run = shown(max(runs, key=abs))
        raise DataError(f"RLE runs must be pixels of the image, got a run of {run}") from error
    rle: dict[str, Any] = {"size": [height_px, width_px], "counts": list(runs)}
    return str(coco_mask.frPyObjects(rle, height_px, width_px)["counts"], "ascii")


def run_lengths(pixels: Bool[np.ndarray, " pixel"]) -> Counts:
    """Lengths of the runs of equal pixels, background first.

    >>> run_lengths(np.array([True, True, False])).tolist()
    [0, 2, 1]
    """
    return np.diff(np.flatnonzero(np.diff(pixels, prepend=False)), prepend=0, append=len(pixels))


def check_runs(runs: Counts, height_px: int, width_px: int) -> None:
    """Raise a DataError unless all runs are >= 0 and their sum is the image's number of pixels."""
    if runs.min(initial=0) < 0:
        raise DataError(f"RLE runs must be >= 0, got {runs.min()}")
    n_pixels = height_px * width_px
    longest = int(runs.max(initial=0))
    # A sum of long runs may wrap around to the right number.
    covered = longest if longest > n_pixels else int(runs.sum())
    if covered != n_pixels:
        raise DataError(
            f"RLE runs must cover {height_px} x {width_px} = {n_pixels} pixels, got {covered}"
        )
