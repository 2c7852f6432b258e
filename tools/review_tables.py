"""Tables of the wrong masks that a review finds first, and of its end."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from pipeline.iou_errors import IouErrors, bins_of, lowest_mean_iou
from pipeline.review import MOST_UNJUDGED, is_judged, review_order
from pipeline.scoring.bootstrap import interval
from stages.page.labels import DASH
from tools.answers import CLICK, PROMPTS
from tools.blocks import table

REVIEWED: Final[Mapping[str, str]] = {CLICK: "center", "box": "box"}
"""Kinds of prompts of the tables, and the names of their prompt sets."""

N_RESAMPLES: Final = 1000

WRONG: Final = 0.5
"""IoU below which a mask is wrong."""

SHARES: Final = (0.1, 0.2, 0.5)
"""Shares of the masks that a person looks at."""

ORDERS: Final[Mapping[str, str]] = {
    "judged_iou": "expected IoU, as `usam review`",
    "sam_score": "SamScore",
    "stable_score": "SamScore × stability",
}
"""Columns by which masks are ordered, the lowest first, and their names."""

SCENES_OF_A_REVIEW: Final = (30, 300, 3000)
"""Numbers of scenes of a simulated review."""

N_REVIEWS: Final = 1000
"""Number of simulated reviews of each size."""


def found_table(rows: Mapping[str, pd.DataFrame]) -> str:
    """Shares of the wrong masks among the first masks of each order, with their intervals.

    ``rows`` are results of ``answers`` by a name of their images.
    """
    header = ("masks", "order", *(f"first {share:.0%}" for share in SHARES))
    lines = []
    for source, masks in rows.items():
        for prompt, of_prompt in _by_prompt(masks):
            n_wrong = int((of_prompt["iou"] < WRONG).sum())
            words = f"{source}, {prompt}: {n_wrong} of {len(of_prompt)} wrong"
            for column, name in ORDERS.items():
                lines.append([words, name, *_found_cells(of_prompt, column)])
                words = ""
    return table(header, lines, left=(0, 1))


def _by_prompt(masks: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows of the prompts of ``REVIEWED`` with the columns of all orders, by words."""
    reviewed = masks[masks["prompt"].isin([*REVIEWED])]
    # Unlike images come first, as in ``review_order``.
    judged = is_judged(reviewed["unlike_training"].to_numpy(np.float64))
    ordered = reviewed.assign(
        judged_iou=reviewed["expected_iou"] * judged,
        stable_score=reviewed["sam_score"] * reviewed["stability"],
    )
    for prompt, of_prompt in ordered.groupby("prompt", sort=False):
        yield PROMPTS[str(prompt)], of_prompt


def _found_cells(masks: pd.DataFrame, column: str) -> list[str]:
    values = masks[["iou", column]].to_numpy(np.float64)
    by_image = [values[rows] for rows in masks.groupby("image").indices.values()]
    n = len(by_image)
    draws = np.random.default_rng(0).integers(0, n, (N_RESAMPLES, n))
    resampled = np.array([found(np.concatenate([by_image[i] for i in draw])) for draw in draws])
    cells = []
    for share, of_all in enumerate(found(values)):
        ends = interval(resampled[:, share], n)
        cells.append(f"{of_all:.0%} ({ends.low:.0%} to {ends.high:.0%})")
    return cells


def found(values: np.ndarray) -> list[float]:
    """Shares of the wrong masks that are among the first masks, by share of masks looked at.

    Parameters
    ----------
    values
        IoU and the value of the order of each mask.
    """
    is_wrong = values[np.argsort(values[:, 1], kind="stable"), 0] < WRONG
    firsts = [round(share * len(values)) for share in SHARES]
    return [float(is_wrong[:first].sum() / max(1, is_wrong.sum())) for first in firsts]


def stop_table(
    rows: Mapping[str, pd.DataFrame], errors: Mapping[tuple[str, str], IouErrors], target: float
) -> str:
    """When simulated reviews stop, how many masks an oracle looks at, and promises that are kept.

    Parameters
    ----------
    rows
        Results of ``answers`` by model.
    errors
        Measured errors of the heads, by model and by the name of the prompt set.
    target
        Mean IoU of the masks left at which a review stops.
    """
    header = (
        *("prompt", "model", "scenes", "stop early", "looked at", "by an oracle", "times as many"),
        "promise kept",
    )
    lines = []
    for prompt, name in REVIEWED.items():
        for model, of_model in rows.items():
            masks = of_model[of_model["prompt"] == prompt]
            for n_scenes in SCENES_OF_A_REVIEW:
                ends = simulated(masks, errors.get((model, name)), n_scenes, target)
                looked, oracle, left_iou = ends.T
                stops = ~np.isnan(left_iou)
                kept = (left_iou[stops] >= target).mean() if stops.any() else None
                lines.append(
                    [
                        *(PROMPTS[prompt], model.replace("_", " "), f"{n_scenes:,}"),
                        *(f"{share.mean():.0%}" for share in (stops, looked, oracle)),
                        f"{looked.mean() / max(oracle.mean(), 1 / len(masks)):.2f}",
                        DASH if kept is None else f"{kept:.1%}",
                    ]
                )
    return table(header, lines, left=(0, 1))


def simulated(
    masks: pd.DataFrame, errors: IouErrors | None, n_scenes: int, target: float
) -> Float[np.ndarray, "review 3"]:
    """Simulate ``N_REVIEWS`` reviews of scenes that are drawn at random; a row of ``stopped`` each.

    Scenes are drawn without replacement, or with it if a review has more scenes than there are.
    """
    columns = masks[["expected_iou", "unlike_training", "iou"]].to_numpy(np.float64)
    order = review_order(columns[:, 0], columns[:, 1])
    _, image = np.unique(masks["image"].to_numpy()[order], return_inverse=True)
    n = int(image.max()) + 1
    generator = np.random.default_rng(0)
    ends = []
    for _ in range(N_REVIEWS):
        drawn = generator.choice(n, n_scenes, replace=n_scenes > n)
        rows = np.repeat(order, np.bincount(drawn, minlength=n)[image])
        expected_iou, unlike_training, iou = columns[rows].T
        ends.append(stopped(expected_iou, unlike_training, iou, errors, target))
    return np.array(ends)


def stopped(
    expected_iou: Float[np.ndarray, " mask"],
    unlike_training: Float[np.ndarray, " mask"],
    iou: Float[np.ndarray, " mask"],
    errors: IouErrors | None,
    target: float,
) -> tuple[float, float, float]:
    """When a review of masks in ``review_order`` stops.

    Returns
    -------
    The share of masks looked at; the share that an oracle looks at, which knows each IoU and takes
    the masks in the same order; and the mean IoU of the masks left, NaN if none is left.
    """
    n = len(iou)
    n_left = np.arange(n, 0, -1)
    true_mean = iou[::-1].cumsum()[::-1] / n_left
    oracle = _first(true_mean >= target)
    n_unjudged = int((~is_judged(unlike_training)).sum())
    if errors is None or n_unjudged > MOST_UNJUDGED * n:
        return 1.0, oracle / n, np.nan
    judged = expected_iou[n_unjudged:].clip(0, 1)
    in_bin = np.eye(len(errors.lowest), dtype=np.int64)[bins_of(judged, errors.lowest)]
    mean_expected = judged[::-1].cumsum()[::-1] / n_left[n_unjudged:]
    lowest = lowest_mean_iou(mean_expected, in_bin[::-1].cumsum(axis=0)[::-1], errors)
    stop = n_unjudged + _first(lowest >= target)
    return stop / n, oracle / n, true_mean[stop] if stop < n else np.nan


def _first(is_enough: Bool[np.ndarray, " depth"]) -> int:
    """The first depth at which it is enough; the number of depths if there is none."""
    return int(is_enough.argmax()) if is_enough.any() else len(is_enough)
