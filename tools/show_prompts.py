"""Writes how the mini models answer boxes and corrections into ``docs/mini.md``: ``make results``.

Reads   ``cache/objects/shapes_val.zarr`` and the images of ``params.yaml:splits.shapes_val``; the
        packaged weights, or the weights in the state of a training: ``python -m tools.show_prompts
        cache/work/family/state.pt``.
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

from pipeline.sam.building import build
from pipeline.sam.families import MINI_TRUNKS
from pipeline.sam.model import Sam
from stages.extraction.models import load_sam
from stages.settings.params import read_params
from storage.images.videos import SplitImages
from storage.split.object_table import ObjectTable, read_objects_of
from tools.blocks import replace_block, table
from tools.family.answers import N_CORRECTIONS, VISIBLE_PX, Annotated, answer_prompts

SPLIT: Final = "shapes_val"
PAGE: Final = Path("docs") / "mini.md"

ROUNDS: Final = range(1, N_CORRECTIONS + 1)

SHOWN_ROUNDS: Final = (1, 5)

LEAD: Final = (
    "Of the same {n_objects} objects, in %: mean IoU of the selected proposal from a box, and of "
    "the single mask after 1 and 5 corrections, clicks in the middle of the largest wrong region, "
    "with the mask before as input; the share of first and of all corrections that raise it, in "
    "brackets where that region is {visible_px:.0f} px deep or more; and of background clicks on "
    "what was taken for the object, as deep, the share that raise it, and that take the clicked "
    "pixel out:"
)
"""Text above the table."""


def main() -> None:
    """Rewrite the block, or print it for a state."""
    folder = Path(read_params().splits[SPLIT].images)
    torch.set_num_threads(1)
    if sys.argv[1:]:
        print(prompts_block(answers(_trained(Path(sys.argv[1])), folder)))
    else:
        replace_block(PAGE, "prompts", prompts_block(answers(_shipped(), folder)))


def answers(models: Iterable[tuple[str, Sam]], folder: Path) -> dict[str, pd.DataFrame]:
    """Answers of each model about all objects of the split."""
    images = list(annotated(read_objects_of(SPLIT), folder))
    return {name: answer_prompts(sam, images) for name, sam in models}


def annotated(objects: ObjectTable, folder: Path) -> Iterator[Annotated]:
    """Images of a split, with the first click and the box of every object."""
    images = SplitImages(folder, [str(file) for file in objects.file])
    for index, file in enumerate(objects.file):
        rows = np.flatnonzero(objects.image_index == index)
        x, y, width, height = objects.box_px[rows].T
        rgb = images.read(
            str(file),
            height_px=int(objects.height_px[index]),
            width_px=int(objects.width_px[index]),
            sha256=str(objects.image_sha256[index]),
        )
        yield Annotated(
            rgb=rgb,
            masks=np.stack([objects.truth(int(row)) for row in rows]),
            point_px=objects.point_px[rows, 0].astype(np.float32),
            corner_px=np.stack([x, y, x + width, y + height], axis=1).reshape(-1, 2, 2),
        )


def prompts_block(by_model: Mapping[str, pd.DataFrame]) -> str:
    """A table of boxes, corrections in a row, how many help, and background clicks."""
    n_objects = len(next(iter(by_model.values())))
    header = (
        *("model", "box", *map(str, SHOWN_ROUNDS)),
        *("first raise", "all raise", "background raise", "out"),
    )
    rows = table(
        header, [[name, *_cells(rows_of_model)] for name, rows_of_model in by_model.items()]
    )
    return f"{LEAD.format(n_objects=n_objects, visible_px=VISIBLE_PX)}\n\n{rows}"


def _cells(rows: pd.DataFrame) -> Iterator[str]:
    for column in ("box", *(f"corrected_{number}" for number in SHOWN_ROUNDS)):
        yield _percent(rows[column])
    raised = [rows[f"corrected_{n}"] > rows[f"corrected_{n - 1}"] for n in ROUNDS]
    visible = [rows[f"is_visible_{n}"] for n in ROUNDS]
    for is_raised, is_visible in ((raised[0], visible[0]), (pd.concat(raised), pd.concat(visible))):
        yield f"{_percent(is_raised)} ({_percent(is_raised[is_visible])})"
    wrong = rows.dropna(subset=["false_before"])
    yield _percent(wrong["false_after"] > wrong["false_before"])
    yield _percent(wrong["is_left"])


def _percent(values: "pd.Series[Any]") -> str:
    return f"{100 * values.mean():.1f}"


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


if __name__ == "__main__":
    main()
