"""Tables of the wrong masks that a review finds first, and of its end."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pandas as pd

from pipeline.review import most_doubtful_first, remaining
from pipeline.scoring.bootstrap import interval
from stages.page.labels import DASH
from tools.answers import CLICK, PROMPTS
from tools.blocks import table

REVIEWED: Final = (CLICK, "box")
"""Kinds of prompts of the tables."""

N_RESAMPLES: Final = 1000

WRONG: Final = 0.5
"""IoU below which a mask is wrong."""

SHARES: Final = (0.1, 0.2, 0.5)
"""Shares of the masks that a person looks at."""

ORDERS: Final[Mapping[str, str]] = {
    "expected_iou": "expected IoU, as `usam review`",
    "sam_score": "SamScore",
    "stable_score": "SamScore × stability",
}
"""Columns by which masks are ordered, the lowest first, and their names."""

TARGETS: Final = (0.7, 0.8, 0.9)
"""Mean IoUs of the masks left at which a review may stop."""

SCENES_OF_A_REVIEW: Final = 20


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
    reviewed = masks[masks["prompt"].isin(REVIEWED)]
    ordered = reviewed.assign(stable_score=reviewed["sam_score"] * reviewed["stability"])
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


def stop_table(masks: pd.DataFrame) -> str:
    """When reviews of a few scenes may stop, and the true IoU of the masks that are left then."""
    header = ("prompt", "stop at", "reviews that stop early", "looked at", "true IoU left", "short")
    lines = []
    for prompt, of_prompt in _by_prompt(masks):
        number = of_prompt["image"] // SCENES_OF_A_REVIEW
        reviews = [*(review for _, review in of_prompt.groupby(number)), of_prompt]
        for target in TARGETS:
            stops = [stop for review in reviews if (stop := stopped(review, target)) is not None]
            looked, left = np.array(stops).reshape(-1, 2).T
            lines.append(
                [
                    prompt,
                    f"{target:g}",
                    f"{len(stops)} of {len(reviews)}",
                    f"{looked.mean():.0%}" if stops else DASH,
                    f"{left.mean():.3f}" if stops else DASH,
                    str(int((left < target).sum())),
                ]
            )
    return table(header, lines)


def stopped(review: pd.DataFrame, target: float) -> tuple[float, float] | None:
    """Share of masks looked at when a review may stop, and the mean true IoU of the masks left.

    None if it may stop only after the last mask.
    """
    ordered = review.iloc[most_doubtful_first(review["expected_iou"].to_numpy())]
    expected, unlike, iou = ordered[["expected_iou", "unlike_training", "iou"]].to_numpy(float).T
    for n_first in range(len(ordered)):
        is_reviewed = np.arange(len(ordered)) < n_first
        if remaining(expected, unlike, is_reviewed).may_stop(target):
            return n_first / len(ordered), float(iou[n_first:].mean())
    return None
