"""Writes what the predictor's advice is worth into ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``.
Writes  the parts of the page between ``<!-- advice -->`` and ``<!-- /advice -->``, ``regret``
        likewise, and ``advised`` in the page and in ``README.md``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.decisions import Decisions, Mean, choose, mean
from pipeline.predictor import PromptSet, Uncertainty
from pipeline.predictor.advice import CORRECTIONS, KEEP, Costs
from pipeline.prompts import measure_objects
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.scoring.bootstrap import Resamples, interval, resample_groups, resampled_means
from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from tools.blocks import replace_block, table
from tools.show_predictions import SCENE

README: Final = Path("README.md")

PAGE: Final = Path("docs", "predict.md")

FURTHER_SEED: Final = 29
"""Of scenes that nothing was learned from or chosen on. The default costs were chosen on 400 scenes
each of the seeds 2, 26, 27 and 28."""

N_FURTHER: Final = 400

N_RESAMPLES: Final = 2000

NEVER: Final = 1.0
"""Cost of what is not to be had: no mask gains as much."""

BUDGETS: Final = (
    Costs(),
    Costs(0.05, 0.05),
    *(Costs(cost, cost, NEVER) for cost in (0.02, 0.05, 0.12)),
)
"""Costs under which the advice is judged: the defaults, then those at which the large model costs a
click."""

OFFERED: Final = {"model": Costs(larger_model=0.05), "prompt": Costs(click=0.05)}
"""Costs under which corrections are judged that the defaults never advise."""


def main() -> None:
    """Rewrite the blocks."""
    shapes = read_params().shapes
    rows = followed(scenes(FURTHER_SEED, N_FURTHER, shapes.image_size_px))
    replace_block(PAGE, "advice", f"\n{advice_table(rows)}\n")
    replace_block(PAGE, "regret", f"\n{regret_table(rows)}\n")
    for page in (README, PAGE):
        replace_block(page, "advised", f"\n{advised_words(rows, SCENE.advice)}\n")


def advised_words(rows: pd.DataFrame, correction: str) -> str:
    """How many masks gained that got an advice, and how much."""
    got_it = rows[advised(rows, Costs()) == list(CORRECTIONS).index(correction)]
    gain = got_it[f"iou {correction}"] - got_it[f"iou {KEEP}"]
    return (
        f"Such advice may be wrong: of {len(gain)} masks that got it in {N_FURTHER} fresh scenes, "
        f"{(gain > 0).mean():.0%} gained IoU, {gain.mean():+.2f} in the mean."
    )


def scenes(seed: int, n: int, size_px: int) -> Iterator[Scene]:
    """Validation scenes of a seed."""
    return (draw_scene(own, size_px) for own in scene_seeds(seed, "val", n))


def followed(drawn: Iterable[Scene]) -> pd.DataFrame:
    """The tiny model's first answer about each object, and the IoU after each correction.

    Returns
    -------
    With the expected gain of each correction (``gain model`` ...) and the IoU after it
    (``iou model`` ...); another proposal is the one that the advice would name.
    """
    rows = []
    small, large = load_predictor("mini", "tiny"), load_predictor("mini", "large")
    for number, scene in enumerate(drawn, start=1):
        points = measure_objects((mask, 0) for mask in scene.masks).point_px
        for predictor in (small, large):
            predictor.set_image(scene.rgb)
        clicks = [PromptSet(one[:1], [1]) for one in points]
        told = zip(
            small.predict_uncertainties(clicks),
            large.predict_uncertainties(clicks),
            small.predict_uncertainties([PromptSet(one, np.ones(8, int)) for one in points]),
            strict=True,
        )
        rows += [
            {"scene": number, **_row(*own, mask)}
            for own, mask in zip(told, scene.masks, strict=True)
        ]
    return pd.DataFrame(rows)


def _row(
    found: Uncertainty, enlarged: Uncertainty, refined: Uncertainty, truth: np.ndarray
) -> dict[str, float]:
    """What is said of a click, and the IoU that the large model and eight clicks have."""
    masks = {
        KEEP: found.masks[found.selected],
        "model": enlarged.masks[enlarged.selected],
        "prompt": refined.masks[refined.selected],
        "task": found.masks[found.alternative],
        "segmentation": truth,
    }
    return {
        "sam_score": float(found.sam_score[found.selected]),
        **{f"gain {name}": gain for name, gain in found.advice.gains.items()},
        **{f"iou {name}": _iou(mask, truth) for name, mask in masks.items()},
    }


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def advice_table(rows: pd.DataFrame) -> str:
    """How often each advice is given, and what it gains there beyond its gain on all objects."""
    header = ("advice", "objects", "true IoU", "after it", "gain beyond that of all objects")
    resamples = _resamples(rows)
    given = {name: (words, Costs()) for name, words in CORRECTIONS.items()}
    for name, costs in OFFERED.items():
        given[name] = f"{CORRECTIONS[name]} (cost {costs.by_correction[name]:g})", costs
    lines = [
        [words, *_advice_cells(rows, name, costs, resamples)]
        for name, (words, costs) in given.items()
    ]
    return table(header, lines)


def _advice_cells(
    rows: pd.DataFrame, correction: str, costs: Costs, resamples: Resamples
) -> list[str]:
    is_own = advised(rows, costs) == list(CORRECTIONS).index(correction)
    own = rows[is_own]
    if not len(own):
        return ["0", *["–"] * 3]
    means = [own[f"iou {KEEP}"], own[f"iou {correction}"]]
    difference = "–"
    if correction != KEEP:
        gain = (rows[f"iou {correction}"] - rows[f"iou {KEEP}"]).to_numpy()
        difference = _with_interval(_beyond_all(gain, is_own, resamples), "+.2f")
    return [str(len(own)), *(f"{values.mean():.2f}" for values in means), difference]


def _beyond_all(values: np.ndarray, is_own: np.ndarray, resamples: Resamples) -> Mean:
    """Mean of a value over some objects, less that over all."""
    sums = resampled_means(np.stack([values * is_own, is_own, values], axis=1), resamples)
    own, share, everywhere = sums.T
    found = own / np.where(share, share, np.nan) - everywhere
    return Mean(float(values[is_own].mean() - values.mean()), interval(found))


def regret_table(rows: pd.DataFrame) -> str:
    """How much less regret the advice has than other ways to choose."""
    header = (
        *("cost of a click or the large model", "of a person"),
        *("less regret than the best fixed choice", "than by SamScore"),
    )
    resamples = _resamples(rows)
    lines = []
    for costs in BUDGETS:
        decisions = Decisions(net_gains(rows, costs))
        own = decisions.chosen(advised(rows, costs))
        by_score = decisions.by_score(rows["sam_score"].to_numpy())
        lines.append(
            [
                *("–" if one == NEVER else f"{one:g}" for one in (costs.click, costs.person)),
                *(
                    _with_interval(mean(own - other, resamples), "+.3f")
                    for other in (decisions.best_fixed, by_score)
                ),
            ]
        )
    return table(header, lines, left=())


def net_gains(rows: pd.DataFrame, costs: Costs) -> np.ndarray:
    """What each of ``CORRECTIONS`` truly gains for each object, less its cost."""
    gains = [
        (rows[f"iou {name}"] - rows[f"iou {KEEP}"] - cost).to_numpy()
        for name, cost in costs.by_correction.items()
    ]
    return np.stack(gains, axis=1)


def advised(rows: pd.DataFrame, costs: Costs) -> np.ndarray:
    """Which of ``CORRECTIONS`` would be advised for each object; to keep it where none is.

    An image unlike those that the heads learned from gets no advice, and has no expected gains.
    """
    gains = rows.assign(**{f"gain {KEEP}": 0.0})[[f"gain {name}" for name in CORRECTIONS]]
    return choose(gains.fillna(-1).to_numpy(), np.array(list(costs.by_correction.values())))


def _resamples(rows: pd.DataFrame) -> Resamples:
    return resample_groups(rows["scene"].to_numpy(), N_RESAMPLES, seed=0)


def _with_interval(found: Mean, form: str) -> str:
    low, high = found.interval.low, found.interval.high
    return f"{found.value:{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()
