"""Writes how the mini models answer boxes and corrections into ``docs/mini.md``: ``make results``.

Reads   ``cache/objects/shapes_val.zarr`` and the images of ``params.yaml:splits.shapes_val``; the
        weights that ship, or those of the state of a training: ``python -m tools.show_prompts
        cache/work/family/state.pt``.
Writes  the part of ``docs/mini.md`` between ``<!-- prompts -->`` and ``<!-- /prompts -->``; of a
        state it prints the same.
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
from storage.split.objects import ObjectTable, read_objects_of
from tools.blocks import replace_block, table
from tools.family.answers import N_CORRECTIONS, VISIBLE_PX, Annotated, answer_prompts

SPLIT: Final = "shapes_val"
PAGE: Final = Path("docs") / "mini.md"

BOXES: Final[Mapping[str, str]] = {
    "best_box": "box, best",
    "selected_box": "box, selected",
    "box": "box, single",
}
"""Answers to a box by what a table calls them."""

ROUNDS: Final = range(1, N_CORRECTIONS + 1)

LEADS: Final = (
    (
        "Mean IoU in % of the same {n_objects} objects from a box; of the selected proposal from "
        "one click (0); and of the single mask after 1 to 5 corrections, each a click in the "
        "middle of the largest region that is wrong, with the mask before as input:"
    ),
    (
        "Share in % of these corrections that raise the IoU; in brackets, of those where that "
        "region is {visible_px:.0f} px deep or more, and not just a rim:"
    ),
    (
        "A background click in the middle of what the selected proposal took for the object, where "
        "that is as deep: mean IoU in % before, after with the mask before as input, and after "
        "without; how often in % the first raises the IoU, and takes the clicked pixel out of the "
        "mask:"
    ),
)
"""What stands above each table."""


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
        height_px, width_px = int(objects.height_px[index]), int(objects.width_px[index])
        yield Annotated(
            rgb=images.read(str(file), height_px=height_px, width_px=width_px),
            masks=np.stack([objects.truth(int(row)) for row in rows]),
            point_px=objects.point_px[rows, 0].astype(np.float32),
            corner_px=np.stack([x, y, x + width, y + height], axis=1).reshape(-1, 2, 2),
        )


def prompts_block(found: Mapping[str, pd.DataFrame]) -> str:
    """Tables of boxes and corrections in a row, how many help, and of a background click."""
    n_objects = len(next(iter(found.values())))
    columns = [*BOXES, *(f"corrected_{number}" for number in (0, *ROUNDS))]
    given = [[name, *(_percent(own[column]) for column in columns)] for name, own in found.items()]
    raised = [[name, *_raised_cells(own)] for name, own in found.items()]
    refused = [_refused_row(name, own) for name, own in found.items()]
    tables = (
        table(["model", *BOXES.values(), "0", *map(str, ROUNDS)], given),
        table(["model", *map(str, ROUNDS), "all"], raised),
        table(["model", "objects", "before", "after", "without", "raised", "out"], refused),
    )
    leads = (lead.format(n_objects=n_objects, visible_px=VISIBLE_PX) for lead in LEADS)
    return "\n\n".join(part for pair in zip(leads, tables, strict=True) for part in pair)


def _raised_cells(own: pd.DataFrame) -> Iterator[str]:
    """How often each correction raises the IoU, and how often any does."""
    raised = [own[f"corrected_{n}"] > own[f"corrected_{n - 1}"] for n in ROUNDS]
    visible = [own[f"is_visible_{n}"] for n in ROUNDS]
    for some, is_visible in zip(
        (*raised, pd.concat(raised)), (*visible, pd.concat(visible)), strict=True
    ):
        yield f"{_percent(some)} ({_percent(some[is_visible])})"


def _refused_row(name: str, own: pd.DataFrame) -> list[str]:
    wrong = own.dropna(subset=["false_before"])
    return [
        name,
        str(len(wrong)),
        _percent(wrong["false_before"]),
        _percent(wrong["false_after"]),
        _percent(wrong["false_alone"]),
        _percent(wrong["false_after"] > wrong["false_before"]),
        _percent(wrong["is_left"]),
    ]


def _percent(values: "pd.Series[Any]") -> str:
    return f"{100 * values.mean():.1f}"


def _shipped() -> Iterator[tuple[str, Sam]]:
    for name in MINI_TRUNKS:
        yield name, load_sam("mini", name, precision="fp32", device="cpu")


def _trained(state: Path) -> Iterator[tuple[str, Sam]]:
    """Members of a training, as they are."""
    weights = torch.load(state, weights_only=True)["training"]["models"]
    for name in MINI_TRUNKS:
        model = build("mini", name, seed=0)
        model.load_state_dict(weights[name])
        yield name, Sam(model, device=torch.device("cpu"), precision="fp32")


if __name__ == "__main__":
    main()
