"""What an ML backend of Label Studio answers: the mask of clicks or a box as a brush region.

Plain data in and out: Label Studio's own packages are not needed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
from jaxtyping import Bool

from pipeline.predictor import PromptSet, UncertainPredictor
from storage.images.files import read_rgb

PERCENT: Final = 100
"""Label Studio's coordinates are percent of the image's width and height."""

CHANNELS: Final = 4
"""A mask is written as an RGBA picture, row by row: each pixel four times."""

RUN_BITS: Final = 16
"""Bits of the length of a run."""

MOST_RUN: Final = 2**RUN_BITS


def predictions(
    predictor: UncertainPredictor,
    path: str | Path,
    context: Mapping[str, Any] | None,
    *,
    from_name: str,
    to_name: str,
) -> list[dict[str, Any]]:
    """The selected mask of what a person has marked; its score is the expected IoU.

    Parameters
    ----------
    path
        The image of the task.
    context
        What Label Studio sends with a click or a box; without it, nothing is to be found.
    from_name, to_name
        Names of the tags ``BrushLabels`` and ``Image``.

    Returns
    -------
    One prediction of one region, or none.

    Raises
    ------
    ImageError, PromptError
        If the file is no image, or the prompt is not of an object in it.
    """
    marks = (context or {}).get("result") or []
    if not marks:
        return []
    rgb = read_rgb(Path(path))
    height, width = rgb.shape[:2]
    predictor.set_image(rgb)
    (found,) = predictor.predict_uncertainties([_prompt_set(marks, (height, width))])
    mask, score = found.masks[found.selected], float(found.expected_iou.own[found.selected])
    region = {
        "id": str(uuid4()),
        "from_name": from_name,
        "to_name": to_name,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_rle(mask), "brushlabels": _labels(marks[-1])},
        "score": score,
    }
    return [{"result": [region], "score": score}] if mask.any() else []


def brush_rle(mask: Bool[np.ndarray, "height width"]) -> list[int]:
    """A mask as Label Studio packs brushes, 255 inside: bytes of a stream of bits.

    Notes
    -----
    The format of the package ``rle-pack`` of thi.ng/umbrella: the number of values (32 bits), bits
    of a value less 1 (5), four widths of run lengths less 1 (4 each); then for each run 1, which
    of the widths (2), its length less 1, and its value. All four widths are the same here.
    """
    values = np.repeat(mask.ravel(), CHANNELS)
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]))
    lengths = np.diff(starts, append=len(values))
    head = f"{len(values):032b}{7:05b}" + 4 * f"{RUN_BITS - 1:04b}"
    runs = (
        f"111{part - 1:0{RUN_BITS}b}" + ("11111111" if values[start] else "00000000")
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        for part in _parts(length)
    )
    bits = head + "".join(runs)
    n_bytes = -(-len(bits) // 8)
    return list(int(bits.ljust(8 * n_bytes, "0"), 2).to_bytes(n_bytes, "big"))


def _parts(length: int) -> list[int]:
    """A run in parts whose lengths have enough bits."""
    n_whole, rest = divmod(length, MOST_RUN)
    return [*([MOST_RUN] * n_whole), *([rest] if rest else [])]


def _prompt_set(marks: Sequence[Mapping[str, Any]], size_px: tuple[int, int]) -> PromptSet:
    height, width = size_px
    clicks: list[list[float]] = []
    labels: list[int] = []
    box = None
    for mark in marks:
        value = mark["value"]
        x, y = value["x"] * width / PERCENT, value["y"] * height / PERCENT
        if "width" in value and "height" in value:
            box = [
                *(x, y),
                x + value["width"] * width / PERCENT,
                y + value["height"] * height / PERCENT,
            ]
        else:
            clicks.append([x, y])
            labels.append(int(mark.get("is_positive", 1)))
    return PromptSet(clicks, labels, box) if clicks else PromptSet(box=box)


def _labels(mark: Mapping[str, Any]) -> list[str]:
    """Labels of the mark, under the name of its tag, such as ``keypointlabels``."""
    return list(mark["value"].get(mark["type"], []))
