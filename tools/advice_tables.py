"""Tables of what the advice of a predictor gains."""

from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from pipeline.predictor.advice import CORRECTIONS, KEEP, Costs
from pipeline.scoring.bootstrap import (
    Resampled,
    Resamples,
    ranked,
    resampled_means,
)
from stages.page.labels import DASH
from tools.answers import CLICK
from tools.blocks import resamples_of, table, with_interval

NEVER: Final = 1.0
"""Cost of a correction that is not available: no mask gains as much."""

BUDGETS: Final = (
    Costs(),
    Costs(0.05, 0.05),
    *(Costs(cost, cost, NEVER) for cost in (0.02, 0.05, 0.12)),
)
"""Costs under which the advice is judged: the defaults, then costs at which the large model costs
as much as a click."""

OFFERED: Final = {"model": Costs(larger_model=0.05), "prompt": Costs(click=0.05)}
"""Costs under which corrections are judged that the defaults never advise."""


def followed(rows: pd.DataFrame, larger: pd.DataFrame) -> pd.DataFrame:
    """A model's answer about each object after one click, and the IoU after each correction.

    Parameters
    ----------
    rows, larger
        Results of ``answers`` of the model and of a larger one about the same objects.

    Returns
    -------
    Rows of ``answers`` with the columns ``iou keep``, ``iou model`` and so on. The chosen mask is
    the mask that the advice would name.
    """
    clicked, refined, enlarged = (
        of_model[of_model["prompt"] == prompt].reset_index(drop=True)
        for of_model, prompt in ((rows, CLICK), (rows, "refined"), (larger, CLICK))
    )
    ious = {
        KEEP: clicked["iou"],
        "model": enlarged["iou"],
        "prompt": refined["iou"],
        "task": clicked["chosen_iou"],
        "segmentation": pd.Series(1.0, clicked.index),
    }
    return clicked.assign(**{f"iou {name}": iou for name, iou in ious.items()})


def advised_words(rows: pd.DataFrame, correction: str) -> str:
    """Sentence on the masks that got an advice: the mean IoU after it, and the stated one.

    A mask that a person draws counts as true: for this advice, both IoUs are of the mask before.
    """
    advised_rows = rows[advised(rows, Costs()) == list(CORRECTIONS).index(correction)]
    followed_by, when = (KEEP, "") if correction == "segmentation" else (correction, "after it ")
    iou, stated = advised_rows[f"iou {followed_by}"], _stated(advised_rows, followed_by)
    return (
        f"Such advice may be wrong: of {len(iou)} masks that got it in {rows['image'].nunique()} "
        f"fresh scenes, the mean IoU {when}is {iou.mean():.2f}, the stated {stated.mean():.2f}."
    )


def _stated(rows: pd.DataFrame, correction: str) -> "pd.Series[float]":
    """The IoU of each mask that an advice promises."""
    return rows["expected_iou"] + (0.0 if correction == KEEP else rows[f"gain {correction}"])


def advice_table(rows: pd.DataFrame) -> str:
    """Number of objects with each advice, and its gain there beyond its gain on all objects.

    The stated IoU is the expected IoU after the correction, which the advice promises.
    """
    header = (
        *("advice", "objects", "true IoU", "after it", "stated"),
        "gain beyond that of all objects",
    )
    resamples = resamples_of(rows)
    judged = {name: (words, Costs()) for name, words in CORRECTIONS.items()}
    for name, costs in OFFERED.items():
        judged[name] = f"{CORRECTIONS[name]} (cost {costs.by_correction[name]:g})", costs
    lines = [
        [words, *_advice_cells(rows, name, costs, resamples)]
        for name, (words, costs) in judged.items()
    ]
    return table(header, lines)


def _advice_cells(
    rows: pd.DataFrame, correction: str, costs: Costs, resamples: Resamples
) -> list[str]:
    is_advised = advised(rows, costs) == list(CORRECTIONS).index(correction)
    advised_rows = rows[is_advised]
    if not len(advised_rows):
        return ["0", *[DASH] * 4]
    stated = _stated(advised_rows, correction)
    means = [advised_rows[f"iou {KEEP}"], advised_rows[f"iou {correction}"], stated]
    difference = DASH
    if correction != KEEP:
        gain = (rows[f"iou {correction}"] - rows[f"iou {KEEP}"]).to_numpy()
        beyond_all = _beyond_all(gain, is_advised, resamples)
        difference = with_interval(beyond_all, resamples.n_groups, "+.2f")
    return [str(len(advised_rows)), *(f"{values.mean():.2f}" for values in means), difference]


def _beyond_all(values: np.ndarray, is_advised: np.ndarray, resamples: Resamples) -> Resampled:
    """Mean of a value over the advised objects, less its mean over all objects, in each draw."""
    sums = resampled_means(np.stack([values * is_advised, is_advised, values], axis=1), resamples)
    of_advised, share, everywhere = sums.T
    differences: Resampled = of_advised / np.where(share, share, np.nan) - everywhere
    return differences


def regret_table(rows: pd.DataFrame) -> str:
    """Regret that the advice saves, compared with other ways to choose."""
    header = (
        *("cost of a click or the large model", "of a person"),
        *("less regret than the best fixed choice", "than by SamScore"),
    )
    resamples = resamples_of(rows)
    lines = []
    for costs in BUDGETS:
        net = net_gains(rows, costs)
        by_advice = net[np.arange(len(net)), advised(rows, costs)]
        best_fixed = net[:, net.mean(axis=0).argmax()]
        by_score = net_by_score(net, rows["sam_score"].to_numpy())
        savings = np.stack([by_advice - best_fixed, by_advice - by_score], axis=1)
        lines.append(
            [
                *(DASH if cost == NEVER else f"{cost:g}" for cost in (costs.click, costs.person)),
                *(
                    with_interval(saved, resamples.n_groups, "+.3f")
                    for saved in resampled_means(savings, resamples).T
                ),
            ]
        )
    return table(header, lines, left=())


def net_gains(rows: pd.DataFrame, costs: Costs) -> np.ndarray:
    """True gain of each of ``CORRECTIONS`` for each object, less its cost."""
    gains = [
        (rows[f"iou {name}"] - rows[f"iou {KEEP}"] - cost).to_numpy()
        for name, cost in costs.by_correction.items()
    ]
    return np.stack(gains, axis=1)


def net_by_score(
    net: Float[np.ndarray, "object choice"], score: Float[np.ndarray, " object"]
) -> Float[np.ndarray, " object"]:
    """Net gain of every object under the best rule of one correction and one threshold.

    The rule corrects the objects whose score is at most the threshold, and keeps the masks of the
    others. Correction and threshold are chosen in hindsight: no other pair gains more on these
    objects. A rule with several corrections or thresholds may gain more.
    """
    order, is_last = ranked(score)
    sums = np.cumsum(net[order], axis=0)[is_last]
    sums = np.concatenate([np.zeros((1, sums.shape[1])), sums])
    n_below, correction = np.unravel_index(sums.argmax(), sums.shape)
    highest = np.append(-np.inf, score[order][is_last])[n_below]
    by_score: np.ndarray = np.where(score <= highest, net[:, correction], 0.0)
    return by_score


def advised(rows: pd.DataFrame, costs: Costs) -> np.ndarray:
    """Index in ``CORRECTIONS`` of the advice about each object; to keep it without advice.

    An image unlike those that the heads learned from gets no advice, and has no expected gains.
    """
    gains = rows.assign(**{f"gain {KEEP}": 0.0})[[f"gain {name}" for name in CORRECTIONS]]
    net = gains.fillna(-1).to_numpy() - np.array(list(costs.by_correction.values()))
    return np.asarray(net.argmax(axis=1))
