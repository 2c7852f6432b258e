"""Writes how the mini models answer boxes and corrections into ``docs/mini.md``: ``make results``.

Reads   ``params.yaml:shapes``; the packaged weights, or the weights in the state of a training:
        ``python -m tools.show_prompts cache/work/family/state.pt``.
Writes  the part of ``docs/mini.md`` between ``<!-- prompts -->`` and ``<!-- /prompts -->``; for a
        state, it prints the text instead.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32

from pipeline.predictor.prompt_sets import BACKGROUND, FOREGROUND
from pipeline.predictor.uncertainty import bounded
from pipeline.prompt_kinds import BOX
from pipeline.prompts import central_error, measure_objects
from pipeline.sam.building import build
from pipeline.sam.families import MINI_TRUNKS
from pipeline.sam.model import Decoded, Sam
from pipeline.upsampling import masks_at_image
from stages.extraction.models import load_sam
from stages.settings.params import read_params
from tools.answers import Image, Masks, corners_of, drawn_images, iou_of
from tools.blocks import replace_block, table

PAGE: Final = Path("docs") / "mini.md"

N_CORRECTIONS: Final = 5
"""Corrections in a row after a click."""

SHOWN: Final = (1, 5)
"""Corrections after which the table has the IoU."""

LEAD: Final = (
    "Of the same {n_objects} objects, in %: mean IoU of the selected proposal from a box, and of "
    "the single mask after 1 and 5 corrections, clicks in the middle of the largest wrong region, "
    "with the mask before as input; and the share of first and of all corrections that raise it:"
)
"""Text above the table."""


def main() -> None:
    """Rewrite the block, or print it for a state."""
    torch.set_num_threads(1)
    shapes = read_params().shapes
    images = list(drawn_images(shapes.seed, "val", shapes.n_val_images))
    if sys.argv[1:]:
        print(prompts_block(dict(_answers(_trained(Path(sys.argv[1])), images))))
    else:
        replace_block(PAGE, "prompts", prompts_block(dict(_answers(_shipped(), images))))


def _answers(
    models: Iterable[tuple[str, Sam]], images: Iterable[Image]
) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, sam in models:
        yield name, pd.concat([answer_prompts(sam, *image) for image in images])


def _shipped() -> Iterator[tuple[str, Sam]]:
    for name in MINI_TRUNKS:
        yield name, load_sam("mini", name, precision="fp32", device="cpu")


def _trained(state: Path) -> Iterator[tuple[str, Sam]]:
    """Models of a training's state."""
    weights = torch.load(state, weights_only=True)["training"]["models"]
    for name in MINI_TRUNKS:
        model = build("mini", name, seed=0)
        model.load_state_dict(weights[name])
        yield name, Sam(model, device=torch.device("cpu"), precision="fp32")


def answer_prompts(sam: Sam, rgb: np.ndarray, masks: Masks) -> pd.DataFrame:
    """Ask a model about every object of an image; one row each.

    Returns
    -------
    True IoU at the image's resolution: ``box`` of the selected proposal from a box,
    ``corrected_0`` of the selected proposal from one click, and ``corrected_1`` to
    ``corrected_5`` of the single mask after clicks where the mask before was wrong, each with
    that mask as input.
    """
    embedding, truth = sam.encode(rgb), measure_objects((mask, 0) for mask in masks)
    points = truth.point_px[:, :1].astype(np.float32)
    labels = np.full((len(masks), 1), FOREGROUND, np.int32)
    box_labels = np.tile(np.array(BOX, np.int32), (len(masks), 1))
    corners = corners_of(truth).reshape(-1, 2, 2)
    boxed = _selected(sam.decode(embedding, corners, labels=box_labels))
    logits = _selected(sam.decode(embedding, points, labels=labels))
    columns = {"box": _ious(boxed, masks), "corrected_0": _ious(logits, masks)}
    for number in range(1, N_CORRECTIONS + 1):
        objects = list(zip(_masks(logits, masks), masks, strict=True))
        pixels = [central_error(mask, true) for mask, true in objects]
        is_member = [[true[y, x]] for (x, y), true in zip(pixels, masks, strict=True)]
        points = np.append(points, np.array(pixels, np.float32)[:, None], axis=1)
        label = np.where(is_member, FOREGROUND, BACKGROUND).astype(np.int32)
        labels = np.append(labels, label, axis=1)
        answer = sam.decode(
            embedding, points, labels=labels, mask_input=logits[:, None], multimask_output=False
        )
        logits = bounded(answer.logits).numpy()[:, 0]
        columns[f"corrected_{number}"] = _ious(logits, masks)
    return pd.DataFrame(columns)


def _selected(answer: Decoded) -> Float32[np.ndarray, "object y x"]:
    chosen = answer.sam_score.numpy().argmax(axis=1)
    return np.asarray(bounded(answer.logits).numpy()[np.arange(len(chosen)), chosen])


def _masks(logits: Float32[np.ndarray, "object y x"], true: Masks) -> np.ndarray:
    """Masks at the image's resolution."""
    return masks_at_image(torch.from_numpy(logits[:, None]), true[0].shape)[:, 0]


def _ious(logits: Float32[np.ndarray, "object y x"], true: Masks) -> Float[np.ndarray, " object"]:
    return np.array(list(map(iou_of, _masks(logits, true), true)))


def prompts_block(by_model: Mapping[str, pd.DataFrame]) -> str:
    """A table of boxes, corrections in a row, and how many help."""
    n_objects = len(next(iter(by_model.values())))
    header = ("model", "box", *map(str, SHOWN), "first raise", "all raise")
    rows = [[name, *_cells(of_model)] for name, of_model in by_model.items()]
    return f"{LEAD.format(n_objects=n_objects)}\n\n{table(header, rows)}"


def _cells(rows: pd.DataFrame) -> Iterator[str]:
    for column in ("box", *(f"corrected_{number}" for number in SHOWN)):
        yield _percent(rows[column])
    raised = [
        rows[f"corrected_{number}"] > rows[f"corrected_{number - 1}"]
        for number in range(1, N_CORRECTIONS + 1)
    ]
    yield _percent(raised[0])
    yield _percent(pd.concat(raised))


def _percent(values: "pd.Series[Any]") -> str:
    return f"{100 * values.mean():.1f}"


if __name__ == "__main__":
    main()
