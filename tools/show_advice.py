"""Measures the predictor's advice, and writes tables into ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``.
Writes  the parts of the page between ``<!-- advice -->`` and ``<!-- /advice -->``, ``regret``
        likewise, and ``advised`` in ``README.md``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.decisions import Decisions, choose
from pipeline.predictor import PromptSet, Uncertainty
from pipeline.predictor.advice import CORRECTIONS, KEEP, Costs
from pipeline.prompts import measure_objects
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.scoring.bootstrap import (
    Resampled,
    Resamples,
    interval,
    resample_groups,
    resampled_means,
)
from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from tools.blocks import replace_block, table
from tools.show_predictions import SCENE

README: Final = Path("README.md")

PAGE: Final = Path("docs", "predict.md")

FURTHER_SEED: Final = 29
"""Seed of scenes on which nothing was learned or chosen. The default costs were chosen on 400
scenes each of the seeds 2, 26, 27 and 28."""

N_FURTHER: Final = 400

N_RESAMPLES: Final = 2000

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


def main() -> None:
    """Rewrite the blocks."""
    shapes = read_params().shapes
    rows = followed(scenes(FURTHER_SEED, N_FURTHER, shapes.image_size_px))
    replace_block(PAGE, "advice", f"\n{advice_table(rows)}\n")
    replace_block(PAGE, "regret", f"\n{regret_table(rows)}\n")
    replace_block(README, "advised", advised_words(rows, SCENE.advice))


def advised_words(rows: pd.DataFrame, correction: str) -> str:
    """Sentence on the masks that got an advice: the share that gained, and the mean gain."""
    advised_rows = rows[advised(rows, Costs()) == list(CORRECTIONS).index(correction)]
    gain = advised_rows[f"iou {correction}"] - advised_rows[f"iou {KEEP}"]
    return (
        f"Such advice may be wrong: of {len(gain)} masks that got it in {N_FURTHER} fresh scenes, "
        f"{(gain > 0).mean():.0%} gained IoU, {gain.mean():+.2f} in the mean."
    )


def scenes(seed: int, n: int, size_px: int) -> Iterator[Scene]:
    """Validation scenes of a seed."""
    return (draw_scene(scene_seed, size_px) for scene_seed in scene_seeds(seed, "val", n))


def followed(drawn: Iterable[Scene]) -> pd.DataFrame:
    """The tiny model's first answer about each object, and the IoU after each correction.

    Returns
    -------
    A row per object: the expected gain of each correction (``gain model`` ...) and the IoU after it
    (``iou model`` ...); the chosen mask is the mask that the advice would name.
    """
    rows = []
    small, large = load_predictor("mini", "tiny"), load_predictor("mini", "large")
    for number, scene in enumerate(drawn, start=1):
        points = measure_objects((mask, 0) for mask in scene.masks).point_px
        for predictor in (small, large):
            predictor.set_image(scene.rgb)
        clicks = [PromptSet(clicks[:1], [1]) for clicks in points]
        answers = zip(
            small.predict_uncertainties(clicks),
            large.predict_uncertainties(clicks),
            small.predict_uncertainties([PromptSet(clicks, np.ones(8, int)) for clicks in points]),
            strict=True,
        )
        rows += [
            {"scene": number, **_row(*answer, mask)}
            for answer, mask in zip(answers, scene.masks, strict=True)
        ]
    return pd.DataFrame(rows)


def _row(
    answer: Uncertainty, enlarged: Uncertainty, refined: Uncertainty, truth: np.ndarray
) -> dict[str, float]:
    """Values of the answer to a click, and the IoUs of the large model and of eight clicks."""
    masks = {
        KEEP: answer.masks[answer.selected],
        "model": enlarged.masks[enlarged.selected],
        "prompt": refined.masks[refined.selected],
        "task": answer.best_mask.mask,
        "segmentation": truth,
    }
    return {
        "sam_score": float(answer.sam_score[answer.selected]),
        "expected": float(answer.expected_iou.own[answer.selected]),
        **{f"gain {name}": gain for name, gain in answer.advice.gains.items()},
        **{f"iou {name}": _iou(mask, truth) for name, mask in masks.items()},
    }


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def advice_table(rows: pd.DataFrame) -> str:
    """Number of objects with each advice, and its gain there beyond its gain on all objects.

    The stated IoU is the expected IoU after the correction, which the advice promises.
    """
    header = (
        *("advice", "objects", "true IoU", "after it", "stated"),
        "gain beyond that of all objects",
    )
    resamples = _resamples(rows)
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
        return ["0", *["–"] * 4]
    expected_gain = 0.0 if correction == KEEP else advised_rows[f"gain {correction}"]
    stated = advised_rows["expected"] + expected_gain
    means = [advised_rows[f"iou {KEEP}"], advised_rows[f"iou {correction}"], stated]
    difference = "–"
    if correction != KEEP:
        gain = (rows[f"iou {correction}"] - rows[f"iou {KEEP}"]).to_numpy()
        difference = _with_interval(_beyond_all(gain, is_advised, resamples), resamples, "+.2f")
    return [str(len(advised_rows)), *(f"{values.mean():.2f}" for values in means), difference]


def _beyond_all(values: np.ndarray, is_advised: np.ndarray, resamples: Resamples) -> Resampled:
    """Mean of a value over the advised objects, less its mean over all objects, in each draw."""
    sums = resampled_means(np.stack([values * is_advised, is_advised, values], axis=1), resamples)
    of_advised, share, everywhere = sums.T
    beyond_all: Resampled = of_advised / np.where(share, share, np.nan) - everywhere
    return beyond_all


def regret_table(rows: pd.DataFrame) -> str:
    """Regret that the advice saves, compared with other ways to choose."""
    header = (
        *("cost of a click or the large model", "of a person"),
        *("less regret than the best fixed choice", "than by SamScore"),
    )
    resamples = _resamples(rows)
    lines = []
    for costs in BUDGETS:
        decisions = Decisions(net_gains(rows, costs))
        by_advice = decisions.chosen(advised(rows, costs))
        by_score = decisions.by_score(rows["sam_score"].to_numpy())
        lines.append(
            [
                *("–" if cost == NEVER else f"{cost:g}" for cost in (costs.click, costs.person)),
                *(
                    _with_interval(_mean(by_advice - alternative, resamples), resamples, "+.3f")
                    for alternative in (decisions.best_fixed, by_score)
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


def advised(rows: pd.DataFrame, costs: Costs) -> np.ndarray:
    """Index in ``CORRECTIONS`` of the advice about each object; to keep it without advice.

    An image unlike those that the heads learned from gets no advice, and has no expected gains.
    """
    gains = rows.assign(**{f"gain {KEEP}": 0.0})[[f"gain {name}" for name in CORRECTIONS]]
    return choose(gains.fillna(-1).to_numpy(), np.array(list(costs.by_correction.values())))


def _resamples(rows: pd.DataFrame) -> Resamples:
    return resample_groups(rows["scene"].to_numpy(), N_RESAMPLES, seed=0)


def _mean(values: np.ndarray, resamples: Resamples) -> Resampled:
    return resampled_means(values[:, np.newaxis], resamples)[:, 0]


def _with_interval(values: Resampled, resamples: Resamples, form: str) -> str:
    bounds = interval(values, resamples.n_groups)
    return f"{values[0]:{form}} ({bounds.low:{form}} to {bounds.high:{form}})"


if __name__ == "__main__":
    main()
