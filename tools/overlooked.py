"""How many of the objects that an annotator overlooked ``--prompt overlooked`` lists."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.scoring.bootstrap import Resampled, resample_groups
from pipeline.seeds import derive_seed
from stages.predictor.answers import LEAST_COVERED, everything_answers
from stages.predictor.command_options import GridOptions
from stages.predictor.loading import load_predictor
from storage.datasets.coco import PromptedImage
from storage.datasets.object_records import ImageRecord
from storage.rle import decode_rle, encode_rle
from tools.answers import Image, iou_of
from tools.blocks import with_interval

OVERLOOKED_SHARE: Final = 0.25
"""Share of the objects whose annotations are taken away, drawn at random."""

LEAST_BESIDE: Final = 1 - LEAST_COVERED
"""Share of an object's pixels outside of all other annotations, above which it can be listed."""

LEAST_IOU: Final = 0.5
"""IoU from which on a listed mask is of an object."""

N_RESAMPLES: Final = 1000

Listed = Float[np.ndarray, "mask 3"]
"""Masks that are listed: number of the image, expected IoU, and the number of the overlooked object
that the mask shows, -1 if it shows none."""


def list_overlooked(
    images: Iterable[Image], seed: int, family: str, model: str
) -> tuple[Listed, list[int]]:
    """Take annotations away, and list what a model then finds beside the others.

    Returns
    -------
    The masks of all images, the highest expected IoU first, and for each image the number of
    objects that can be listed.
    """
    options = GridOptions().of_generator(family)
    answer = everything_answers(load_predictor(family, model), options)
    rows, n_overlooked = [], []
    for number, (rgb, masks) in enumerate(images):
        rng = np.random.default_rng(derive_seed(seed, "overlooked", str(number)))
        is_overlooked = rng.random(len(masks)) < OVERLOOKED_SHARE
        kept = masks[~is_overlooked]
        beside = masks & ~kept.any(axis=0)
        is_beside = beside.sum(axis=(1, 2)) > LEAST_BESIDE * masks.sum(axis=(1, 2))
        annotated = tuple(encode_rle(mask) for mask in kept)
        record = ImageRecord(f"{number}.png", *rgb.shape[:2])
        overlooked = masks[is_overlooked & is_beside]
        n_overlooked.append(len(overlooked))
        for entry in answer(rgb, PromptedImage(number, record, (), annotated)):
            mask = decode_rle(entry["segmentation"]["counts"], *rgb.shape[:2])
            iou = np.array([iou_of(mask, of_object) for of_object in overlooked])
            shows = iou.argmax() if (iou >= LEAST_IOU).any() else -1
            rows.append((number, entry["score"], shows))
    listed = np.array(rows, np.float64).reshape(-1, 3)
    return listed[np.argsort(-listed[:, 1], kind="stable")], n_overlooked


def overlooked_words(listed: Listed, n_overlooked: list[int], images: str) -> str:
    """Sentence on the precision of the list, and on how many of the objects it has."""
    n = sum(n_overlooked)
    n_objects = len({(image, shows) for image, _, shows in listed.tolist() if shows >= 0})
    first = (
        f"; of the {n} masks with the highest expected IoU, {_precision(listed[:n])}"
        if n < len(listed)
        else ""
    )
    return (
        f"In {len(n_overlooked)} {images}, annotations were taken away, among them {n} of objects "
        f"that lie mostly beside all others. Of {len(listed)} masks that are listed, "
        f"{_precision(listed)} are such objects (IoU of {LEAST_IOU} or more){first}. "
        f"{n_objects / n:.0%} of the objects are in the list."
    )


def _precision(listed: Listed) -> str:
    """Share of the masks that show an overlooked object, with its interval over the images."""
    resamples = resample_groups(listed[:, 0].astype(int), N_RESAMPLES, seed=0)
    shown = resamples.sums((listed[:, 2:] >= 0).astype(np.float64))[:, 0]
    precision: Resampled = shown / resamples.n_objects
    return with_interval(precision, resamples.n_groups, ".0%")
