"""Measures how well rules find wrong annotations, and writes it into docs: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``.
Writes  the part of ``docs/annotate.md`` between ``<!-- annotations -->`` and
        ``<!-- /annotations -->``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import Bool
from sklearn.metrics import roc_auc_score

from pipeline.annotations import annotation_doubt
from pipeline.proposals import Values
from pipeline.sam.families import DRAWN
from pipeline.scoring.bootstrap import Resampled, Resamples, ranked, resample_groups
from pipeline.seeds import derive_seed
from stages.predictor.loading import load_predictor
from storage.head_files.head_file import read_head_file, shipped_heads
from tools.answers import Image, Mask, Masks, answers, drawn_images, iou_of
from tools.blocks import replace_block, table, with_interval

PAGE: Final = Path("docs", "annotate.md")

SEED, N_SCENES = 212, 120
"""Scenes on which the rules are compared. The rule was chosen on as many of the seed 211."""

N_RESAMPLES: Final = 1000

WRONG_SHARE: Final = 0.15
"""Share of the annotations that are made wrong."""

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
    "merged": merged,
}
"""Kinds of errors that annotators make -> functions that make a right annotation wrong."""


def annotated(masks: Masks, rng: np.random.Generator) -> Iterator[tuple[Mask, str]]:
    """The annotation of each object, and the kind of its error; empty for a right annotation."""
    for i, right in enumerate(masks):
        kind = list(ERRORS)[rng.integers(len(ERRORS))]
        wrong = ERRORS[kind](masks, i, rng)
        is_error = wrong.sum() > LEAST_PX and iou_of(wrong, right) < MOST_IOU
        yield (wrong, kind) if rng.random() < WRONG_SHARE and is_error else (right, "")


Annotations = Mapping[str, np.ndarray]
"""Annotated objects with the answers of all models to the boxes of the annotations.

``kind`` has the kind of each annotation's error, empty for a right annotation, and ``image`` the
number of its image; ``expected_iou``, ``sam_score`` and ``iou`` (of the selected mask) are
columns of ``answers``, ``(object, model)``.
"""


def spoiled(images: Iterable[Image], seed: int) -> Annotations:
    """Make some annotations of the images wrong, and ask every model about each by its box."""
    kinds, judged = [], []
    for number, (rgb, masks) in enumerate(images):
        rng = np.random.default_rng(derive_seed(seed, str(number)))
        annotations, of_image = zip(*annotated(masks, rng), strict=True)
        kinds += of_image
        judged.append((rgb, np.stack(annotations)))
    models = read_head_file(shipped_heads()).models
    rows = [answers(load_predictor(DRAWN, model), judged, ("box",)) for model in models]
    values = {
        name: np.stack([of_model[name] for of_model in rows], axis=1)
        for name in ("expected_iou", "sam_score", "iou")
    }
    return {"kind": np.array(kinds), "image": rows[0]["image"].to_numpy(), **values}


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


OURS: Final = "expected IoU × (1 − IoU)"
"""Name of the rule of ``annotation_doubt``, by which the project ranks annotations."""

RULES: Final[Mapping[str, Callable[[Annotations], Values]]] = {
    OURS: lambda made: annotation_doubt(made["expected_iou"], made["iou"]),
    "1 − IoU": lambda made: 1 - made["iou"].mean(axis=1),
    "FiftyOne's mistakenness": lambda made: mistakenness(made["sam_score"], made["iou"]).mean(
        axis=1
    ),
}
"""Our rule and its rivals -> functions that compute them; means over models. FiftyOne's has the
SamScore as the confidence."""


def main() -> None:
    """Rewrite the block."""
    torch.set_num_threads(1)  # sums of several threads differ in last digits, and so do ties
    shown = spoiled(drawn_images(SEED, "val", N_SCENES), SEED)
    replace_block(PAGE, "annotations", f"\n{annotations_block(shown)}\n")


def annotations_block(shown: Annotations) -> str:
    """A table of all rules, and by how much our rule differs from its rivals."""
    n_wrong, n = int((shown["kind"] != "").sum()), len(shown["kind"])
    ours, *rivals = RULES
    differences = [f"{_difference(shown, ours, rival)} beside {rival}" for rival in rivals]
    lead = (
        f"Of {n} annotations in {len(np.unique(shown['image']))} drawn scenes, {n_wrong} were made "
        "wrong: cut in half, grown, moved, or merged with a neighbour. The models saw the box of "
        "each. The table has the AUROC of each rule (0.5 by chance), in brackets 95 % intervals "
        "over the scenes, and the AUROC of one kind of error against right annotations. The rule "
        f"of the project, chosen on other scenes, has an AUROC of {', '.join(differences)}."
    )
    rows = [[name, *_cells(shown, rule(shown))] for name, rule in RULES.items()]
    return f"{lead}\n\n{table(('rule', 'AUROC', *ERRORS), rows)}"


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


def _difference(shown: Annotations, rule: str, rival: str) -> str:
    """AUROC of a rule less that of another, with the interval over the same resamples."""
    resamples = resample_groups(shown["image"], N_RESAMPLES, seed=0)
    is_wrong = shown["kind"] != ""
    ours, theirs = (
        resampled_auroc(is_wrong, RULES[name](shown), resamples) for name in (rule, rival)
    )
    return with_interval(ours - theirs, resamples.n_groups, "+.2f")


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
    main()
