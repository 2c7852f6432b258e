"""Measures how well rules find wrong annotations, and writes it into docs: ``make results``.

Usage: ``python -m tools.show_annotations [FOLDER]``, where the folder has photographs in ``images``
and their annotations in ``annotations.json``, in the form of COCO.

Reads   the weights and heads that ship, ``params.yaml:shapes``, the folder.
Writes  the blocks ``annotations`` and ``overlooked`` of ``docs/annotate.md``.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import Bool
from sklearn.metrics import roc_auc_score

from pipeline.annotations import annotation_doubt, model_evidence
from pipeline.predictor import PromptSet, UncertainPredictor
from pipeline.prompts import measure_objects
from pipeline.proposals import Values
from pipeline.sam.families import DRAWN, PHOTOGRAPHS, models_of
from pipeline.scoring.bootstrap import Resampled, Resamples, ranked, resample_groups
from pipeline.seeds import derive_seed
from stages.predictor.loading import load_predictor
from tools.answers import Image, Mask, Masks, coco_images, corners_of, drawn_images, iou_of
from tools.blocks import replace_block, table, with_interval
from tools.overlooked import list_overlooked, overlooked_words

PAGE: Final = Path("docs", "annotate.md")

SEED, N_SCENES = 413, 48
"""Scenes on which the rules are compared. The rule was chosen on 36 of the seed 311."""

N_PHOTOGRAPHS: Final = 60
"""Photographs on which the rules are compared. The rule was chosen on 28 of BSDS500's validation
images."""

N_OBJECTS: Final = 8
"""Largest number of objects of an image, drawn at random."""

LEAST_SHARE: Final = 0.001
"""Smallest area of an object, as a share of the image: below, errors are of a pixel or two."""

MASK_SIZE_PX: Final = (128, 128)
"""Size at which masks are compared: a quarter of a drawn scene's pixels, and four times as fast."""

N_RESAMPLES: Final = 1000

MOST_IOU: Final = 0.85
"""Highest IoU of a wrong annotation with the right one: a nearer one is no error."""

LEAST_PX: Final = 20
"""Fewest pixels of a wrong annotation."""

REACH: Final = 0.35
"""Distance by which annotations grow or move, in radii of a disc of the object's area."""


def half(masks: Masks, i: int, rng: np.random.Generator) -> Mask:
    """Half to three quarters of an object, cut along a line."""
    y, x = np.nonzero(masks[i])
    angle = rng.uniform(0, 2 * np.pi)
    along = (x - x.mean()) * np.cos(angle) + (y - y.mean()) * np.sin(angle)
    is_cut = along > np.quantile(along, rng.uniform(0.5, 0.75))
    wrong = masks[i].copy()
    wrong[y[is_cut], x[is_cut]] = False
    return np.asarray(wrong)


def grown(masks: Masks, i: int, _: np.random.Generator) -> Mask:
    """An object, grown on all sides."""
    side_px = _reach_px(masks[i]) | 1
    kernel = np.ones((side_px, side_px), np.uint8)
    return np.asarray(cv2.dilate(masks[i].astype(np.uint8), kernel) > 0)


def moved(masks: Masks, i: int, rng: np.random.Generator) -> Mask:
    """An object, moved in some direction."""
    angle, reach_px = rng.uniform(0, 2 * np.pi), _reach_px(masks[i])
    offset_px = int(reach_px * np.sin(angle)), int(reach_px * np.cos(angle))
    return np.asarray(np.roll(masks[i], offset_px, (0, 1)))


def boxed(masks: Masks, i: int, _: np.random.Generator) -> Mask:
    """The box of an object."""
    y, x = np.nonzero(masks[i])
    wrong = np.zeros_like(masks[i])
    wrong[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
    return np.asarray(wrong)


def merged(masks: Masks, i: int, _: np.random.Generator) -> Mask:
    """An object together with the nearest other object."""
    centres = np.array([np.argwhere(mask).mean(axis=0) for mask in masks])
    distance = np.hypot(*(centres - centres[i]).T)
    distance[i] = np.inf
    return np.asarray(masks[i] | masks[distance.argmin()])


def _reach_px(mask: Mask) -> int:
    return max(3, int(REACH * np.sqrt(mask.sum() / np.pi)))


ERRORS: Final[Mapping[str, Callable[..., Mask]]] = {
    "half": half,
    "grown": grown,
    "moved": moved,
    "boxed": boxed,
    "merged": merged,
}
"""Kinds of errors that annotators make -> functions that make a right annotation wrong."""


def annotated(masks: Masks, rng: np.random.Generator) -> Iterator[tuple[Mask, str]]:
    """The right annotation of each object, then one with each kind of error, with its kind.

    The kind is empty for the right annotation. Errors that leave it almost as it was are left out.
    """
    for i, right in enumerate(masks):
        yield right, ""
        for kind, make_wrong in ERRORS.items():
            wrong = make_wrong(masks, i, rng)
            if wrong.sum() > LEAST_PX and iou_of(wrong, right) < MOST_IOU:
                yield wrong, kind


Annotations = Mapping[str, np.ndarray]
"""Annotated objects with the answers of two models to the prompts of the annotations.

``kind`` has the kind of each annotation's error, empty for a right annotation, and ``image`` the
number of its image. ``(object, model)``: of the selected mask for the box ``expected_iou``,
``sam_score`` and ``iou``; ``expected`` and ``highest_iou`` of ``model_evidence``.
"""


def spoiled(images: Iterable[Image], seed: int, family: str) -> Annotations:
    """Annotate the images, right and wrong, and ask a family's smallest and largest model."""
    models = models_of(family)
    predictors = [load_predictor(family, model) for model in sorted({models[0], models[-1]})]
    kinds, numbers, answers = [], [], []
    for number, (rgb, masks) in enumerate(images):
        rng = np.random.default_rng(derive_seed(seed, str(number)))
        large = masks[masks.mean(axis=(1, 2)) > LEAST_SHARE]
        if len(large) < 2:  # noqa: PLR2004 - merging takes two
            continue
        drawn = large[rng.permutation(len(large))[:N_OBJECTS]]
        made, of_image = zip(*annotated(drawn, rng), strict=True)
        kinds += of_image
        numbers += [number] * len(made)
        asked = [_asked(predictor, rgb, np.stack(made)) for predictor in predictors]
        answers.append(
            {name: np.stack([of[name] for of in asked], axis=1) for name in (*asked[0],)}
        )
    values = {name: np.concatenate([of[name] for of in answers]) for name in (*answers[0],)}
    return {"kind": np.array(kinds), "image": np.array(numbers), **values}


def _asked(predictor: UncertainPredictor, rgb: np.ndarray, masks: Masks) -> dict[str, Values]:
    """Answers of one model about annotations, by their names in ``Annotations``."""
    predictor.set_image(rgb)
    truth = measure_objects((mask, number) for number, mask in enumerate(masks))
    prompts = [
        prompt
        for box, clicks in zip(corners_of(truth), truth.point_px, strict=True)
        for prompt in (PromptSet(box=box), *(PromptSet([click], [1]) for click in clicks))
    ]
    answers = predictor.predict_uncertainties(prompts, mask_size_px=MASK_SIZE_PX)
    of_annotation = len(prompts) // len(masks)
    shape = len(masks), of_annotation, 3
    small = np.array([_resized(mask) for mask in masks])
    true = np.repeat(small, of_annotation, axis=0)
    iou = np.array([_ious(of.masks, mask) for of, mask in zip(answers, true, strict=True)])
    iou, expected, sam_score = (
        np.asarray(values, np.float64).reshape(shape)
        for values in (
            iou,
            [of.expected_iou.own for of in answers],
            [of.sam_score for of in answers],
        )
    )
    selected = sam_score[:, 0].argmax(axis=1)
    of_box = [values[np.arange(len(masks)), 0, selected] for values in (expected, sam_score, iou)]
    evidence = model_evidence(of_box[0], expected, iou)
    names = ("expected_iou", "sam_score", "iou", "expected", "highest_iou")
    return dict(zip(names, (*of_box, *evidence), strict=True))


def _resized(mask: Mask) -> Mask:
    resized = cv2.resize(mask.astype(np.float32), MASK_SIZE_PX[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(resized > 0.5)  # noqa: PLR2004 - most of a pixel


def _ious(masks: Masks, true: Mask) -> Values:
    common = (masks & true).sum(axis=(1, 2))
    ious: Values = common / np.maximum(1, (masks | true).sum(axis=(1, 2)))
    return ious


def mistakenness(confidence: Values, iou: Values) -> Values:
    """Mistakenness of a location, as FiftyOne computes it.

    Notes
    -----
    ``_compute_mistakenness_loc_conf`` of fiftyone-brain: with ``i = 2 (1 - IoU)``, the mistakenness
    is ``(c (2 i - 1) + 1) / 2``. It pairs predictions and labels of an IoU of 0.5 or more; here,
    each prediction answers the box of its label, and i is at most 1.
    """
    doubt = np.minimum(2 * (1 - iou), 1)
    located: Values = (confidence * (2 * doubt - 1) + 1) / 2
    return located


OURS: Final = "the project's doubt"
"""Name of the rule by which the project ranks annotations: box and clicks."""

BOX_ALONE: Final = "expected IoU × (1 − IoU), box alone"

RULES: Final[Mapping[str, Callable[[Annotations], Values]]] = {
    OURS: lambda made: annotation_doubt(made["expected"], made["highest_iou"]),
    BOX_ALONE: lambda made: annotation_doubt(made["expected_iou"], made["iou"]),
    "1 − IoU, box alone": lambda made: 1 - made["iou"].mean(axis=1),
    "FiftyOne's mistakenness": lambda made: mistakenness(made["sam_score"], made["iou"]).mean(
        axis=1
    ),
}
"""Our rule and its rivals -> functions that compute them; means over models. FiftyOne's has the
SamScore as the confidence."""


def main(folders: Sequence[str]) -> None:
    """Rewrite the blocks."""
    torch.set_num_threads(1)  # sums of several threads differ in last digits, and so do ties
    images = {"drawn scenes": (DRAWN, list(drawn_images(SEED, "val", N_SCENES)))}
    for folder in folders:
        photographs = list(islice(coco_images(Path(folder)), N_PHOTOGRAPHS))
        images["photographs"] = (PHOTOGRAPHS, photographs)
    doubted, overlooked = [], []
    for name, (family, annotated_images) in images.items():
        made = spoiled(annotated_images, SEED, family)
        doubted.append(f"{words(made, name)}\n\n{rules_table(made)}")
        listed = list_overlooked(annotated_images, SEED, family, models_of(family)[-1])
        overlooked.append(overlooked_words(*listed, name))
    replace_block(PAGE, "annotations", "\n" + "\n\n".join(doubted) + "\n")
    replace_block(PAGE, "overlooked", "\n" + "\n\n".join(overlooked) + "\n")


def words(shown: Annotations, images: str) -> str:
    """What a user can expect of the rule, and how it differs from the box alone."""
    is_wrong = shown["kind"] != ""
    n_right, n_wrong = int((~is_wrong).sum()), int(is_wrong.sum())
    doubt = RULES[OURS](shown)
    first = np.argsort(-doubt, kind="stable")[: len(doubt) // 10]
    gains = ", ".join(f"{kind} {_difference(shown, kind)}" for kind in ERRORS)
    return (
        f"In {len(np.unique(shown['image']))} {images}, {n_right} annotations were taken as they "
        f"are, and each again with every kind of error, {n_wrong} in all. If a right and a wrong "
        "annotation are drawn, the wrong one is doubted more in "
        f"{roc_auc_score(is_wrong, doubt):.0%} of the cases; in a random order, in half. Of the "
        f"first tenth, {is_wrong[first].mean():.0%} are wrong, of all {is_wrong.mean():.0%}. AUROC "
        f"gained over the box alone, with 95 % intervals over the images: {gains}."
    )


def rules_table(shown: Annotations) -> str:
    """AUROC of each rule, of all errors and of each kind of error against right annotations."""
    rows = [[name, *_cells(shown, rule(shown))] for name, rule in RULES.items()]
    return table(("rule", "AUROC", *ERRORS), rows)


def resampled_auroc(
    is_wrong: Bool[np.ndarray, "object"], doubt: Values, resamples: Resamples
) -> Resampled:
    """AUROC of doubt for wrong annotations, in each draw."""
    order, is_last = ranked(-doubt)
    n_drawn = resamples.n_drawn[:, resamples.group[order]]
    counts = (np.cumsum(n_drawn * of[order], axis=1)[:, is_last] for of in (is_wrong, ~is_wrong))
    caught, alarms = (np.pad(n / n[:, -1:], ((0, 0), (1, 0))) for n in counts)
    auroc: Resampled = np.trapezoid(caught, alarms, axis=1)
    return auroc


def _difference(shown: Annotations, kind: str) -> str:
    """AUROC for one kind of error less that of the box alone, with its interval over the images."""
    is_of = np.isin(shown["kind"], ("", kind))
    resamples = resample_groups(shown["image"][is_of], N_RESAMPLES, seed=0)
    is_wrong = shown["kind"][is_of] != ""
    ours, box_alone = (
        resampled_auroc(is_wrong, RULES[name](shown)[is_of], resamples)
        for name in (OURS, BOX_ALONE)
    )
    return with_interval(ours - box_alone, resamples.n_groups, "+.2f")


def _cells(shown: Annotations, doubt: Values) -> list[str]:
    """AUROC with its interval, then the AUROC of each kind of error."""
    resamples = resample_groups(shown["image"], N_RESAMPLES, seed=0)
    is_wrong = shown["kind"] != ""
    areas = resampled_auroc(is_wrong, doubt, resamples)
    cells = [with_interval(areas, resamples.n_groups, ".2f")]
    for kind in ERRORS:
        is_of = ~is_wrong | (shown["kind"] == kind)
        cells.append(f"{roc_auc_score(is_wrong[is_of], doubt[is_of]):.2f}")
    return cells


if __name__ == "__main__":
    main(sys.argv[1:])
