"""Writes how the embedded families answer clicks, boxes and corrections into their cards.

``python -m tools.show_family [COCO]`` is a part of ``make results``: COCO is a folder of
photographs with ``images`` and ``annotations.json``. ``python -m tools.show_family FAMILY STATE``
prints the scores of a training's state on drawn scenes.

Reads   ``params.yaml:shapes``; the packaged weights; ``data/BSDS500``, if it is there.
Writes  in ``docs/mini.md`` and ``docs/mini_photos.md``, the parts between ``<!-- drawn -->`` and
        ``<!-- /drawn -->``, and likewise for ``bsds500`` and ``coco``; a part whose photographs
        are not there stays as it is; in ``README.md``, the part ``photographs``.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32

from pipeline.predictor.prompt_sets import BACKGROUND, FOREGROUND
from pipeline.predictor.uncertainty import bounded
from pipeline.prompt_kinds import BOX
from pipeline.prompts import central_error, measure_objects
from pipeline.sam.building import build
from pipeline.sam.families import PHOTOGRAPHS, models_of
from pipeline.sam.model import Decoded, Sam
from pipeline.upsampling import masks_at_image
from stages.extraction.models import load_sam
from stages.settings.params import read_params
from tools.answers import (
    Image,
    Masks,
    bsds500_images,
    coco_images,
    corners_of,
    drawn_images,
    iou_of,
)
from tools.blocks import mean_of, replace_block, table

CARDS: Final = {"mini": Path("docs/mini.md"), "mini-photos": Path("docs/mini_photos.md")}
"""The page of each embedded family."""

BSDS500: Final = Path("data/BSDS500")

N_SCENES: Final = 40
"""Drawn scenes: those of ``shapes_val`` in ``params/results.yaml``."""

N_CORRECTIONS: Final = 5
"""Corrections in a row after a click."""

COLUMNS: Final[Mapping[str, str]] = {
    "selected": "one click",
    "best": "best of three",
    "refined": "eight clicks",
    "box": "box",
    "corrected_1": "1 correction",
    f"corrected_{N_CORRECTIONS}": f"{N_CORRECTIONS} corrections",
}
"""Mean IoUs of a card, with the headings of their columns."""


def main(arguments: list[str]) -> None:
    """Rewrite the blocks of the cards, or print the scores of a state."""
    torch.set_num_threads(1)
    drawn = list(drawn_images(read_params().shapes.seed, "val", N_SCENES))
    match arguments:
        case [family, state]:
            print(scores_block(_answers(_trained(family, Path(state)), drawn)))
            return
        case _:
            worlds = {"drawn": drawn}
    if BSDS500.is_dir():
        worlds["bsds500"] = list(bsds500_images(BSDS500, "test"))
    for folder in arguments:
        worlds["coco"] = list(coco_images(Path(folder)))
    for family, card in CARDS.items():
        for world, images in worlds.items():
            answered = _answers(_shipped(family), images)
            replace_block(card, world, scores_block(answered))
            if (family, world) == (PHOTOGRAPHS, "bsds500"):
                replace_block(Path("README.md"), "photographs", words_on(answered))


Models = Iterable[tuple[str, Sam]]


def _answers(models: Models, images: Iterable[Image]) -> dict[str, pd.DataFrame]:
    return {
        name: pd.concat(
            [answer_prompts(sam, *image).assign(image=k) for k, image in enumerate(images)]
        )
        for name, sam in models
    }


def _shipped(family: str) -> Iterator[tuple[str, Sam]]:
    for name in models_of(family):
        yield name, load_sam(family, name, precision="fp32", device="cpu")


def _trained(family: str, state: Path) -> Iterator[tuple[str, Sam]]:
    """Models of a training's state."""
    weights = torch.load(state, weights_only=True)["training"]["models"]
    for name in models_of(family):
        model = build(family, name, seed=0)
        model.load_state_dict(weights[name])
        yield name, Sam(model, device=torch.device("cpu"), precision="fp32")


def answer_prompts(sam: Sam, rgb: np.ndarray, masks: Masks) -> pd.DataFrame:
    """Ask a model about every object of an image; one row each.

    Returns
    -------
    True IoU at the image's resolution: of the selected proposal from one click (``selected``), from
    eight (``refined``) and from a box; ``best`` of the three proposals from one click; and
    ``corrected_1`` to ``corrected_5`` of the single mask after clicks where the mask before was
    wrong, each with that mask as input, first the selected one. ``sam_score`` is that of the
    selected proposal from one click.
    """
    embedding, truth = sam.encode(rgb), measure_objects((mask, 0) for mask in masks)

    def ask(points: np.ndarray, labels: Iterable[int]) -> Decoded:
        rows = np.tile(np.array([*labels], np.int32), (len(masks), 1))
        return sam.decode(embedding, points.astype(np.float32), labels=rows)

    clicks = truth.point_px
    click = ask(clicks[:, :1], (FOREGROUND,))
    logits = _selected(click)
    proposals = [_ious(bounded(click.logits).numpy()[:, k], masks) for k in range(3)]
    columns = {
        "sam_score": click.sam_score.numpy().max(axis=1),
        "selected": _ious(logits, masks),
        "best": np.max(proposals, axis=0),
        "refined": _ious(_selected(ask(clicks, clicks.shape[1] * (FOREGROUND,))), masks),
        "box": _ious(_selected(ask(corners_of(truth).reshape(-1, 2, 2), BOX)), masks),
    }
    points, labels = clicks[:, :1], np.full((len(masks), 1), FOREGROUND, np.int32)
    for number in range(1, N_CORRECTIONS + 1):
        objects = list(zip(_masks(logits, masks), masks, strict=True))
        pixels = np.array([central_error(mask, true) for mask, true in objects])
        is_member = masks[np.arange(len(masks)), pixels[:, 1], pixels[:, 0]]
        points = np.append(points, pixels[:, None], axis=1)
        label = np.where(is_member, FOREGROUND, BACKGROUND).astype(np.int32)
        labels = np.append(labels, label[:, None], axis=1)
        answer = sam.decode(
            embedding,
            points.astype(np.float32),
            labels=labels,
            mask_input=logits[:, None],
            multimask_output=False,
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


def scores_block(by_model: Mapping[str, pd.DataFrame]) -> str:
    """Mean IoUs with intervals over the images; how SamScores order masks; corrections that help.

    ``by_model`` has a row for each object, with the number of its image.
    """
    first = next(iter(by_model.values()))
    header = ("model", *COLUMNS.values(), "SamScore", "first raise", "all raise")
    rows = [[name, *_cells(of_model)] for name, of_model in by_model.items()]
    n_images = first["image"].nunique()
    return f"{len(first)} objects in {n_images} images:\n\n{table(header, rows)}"


def words_on(by_model: Mapping[str, pd.DataFrame]) -> str:
    """A sentence on how good masks from a click are, by the smallest and the largest model."""
    smallest, *_, largest = (
        (name, 100 * rows[["selected", "best"]].mean()) for name, rows in by_model.items()
    )
    first = next(iter(by_model.values()))
    (small, small_iou), (large, large_iou) = smallest, largest
    return (
        f"Of {len(first)} segments that people outlined in {first['image'].nunique()} photographs "
        "that these models have not seen, a click on one gives a mask with a mean IoU of "
        f"{small_iou['selected']:.0f} % ({small}) to {large_iou['selected']:.0f} % ({large}), the "
        f"best of the three proposals {small_iou['best']:.0f} to {large_iou['best']:.0f} %."
    )


def _cells(rows: pd.DataFrame) -> Iterator[str]:
    yield from (mean_of(rows, 100 * rows[column], ".1f") for column in COLUMNS)
    yield f"{rows['sam_score'].corr(rows['selected']):.2f}"
    steps = rows[["selected", *(f"corrected_{k}" for k in range(1, N_CORRECTIONS + 1))]].to_numpy()
    raised = steps[:, 1:] > steps[:, :-1]
    yield f"{100 * raised[:, 0].mean():.0f}"
    yield f"{100 * raised.mean():.0f}"


if __name__ == "__main__":
    main(sys.argv[1:])
