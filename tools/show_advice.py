"""Writes what the predictor's advice is worth into ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``.
Writes  the parts of the page between ``<!-- example -->`` and ``<!-- /example -->``, ``advice`` and
        ``regret`` likewise.
"""

from collections.abc import Iterable, Iterator, Sequence
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
from stages.predictor import load_predictor
from stages.settings.params import read_params
from tools.blocks import replace_block, table

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
    *(Costs(cost, cost) for cost in (0.02, 0.05, 0.12)),
    *(Costs(cost, cost, NEVER) for cost in (0.02, 0.05, 0.12)),
)
"""Costs under which the advice is judged: the defaults, then the large model costs a click."""

OFFERED: Final = {"model": Costs(larger_model=0.05), "prompt": Costs(click=0.05)}
"""Costs under which corrections are judged that the defaults never advise."""

SHOWN: Final = (KEEP, "task", "segmentation")
"""Advice of the worked example."""


def main() -> None:
    """Rewrite the blocks."""
    shapes = read_params().shapes
    demo = scenes(shapes.seed, shapes.n_val_images, shapes.image_size_px)
    replace_block(PAGE, "example", f"\n{example_table(followed(demo))}\n")
    rows = followed(scenes(FURTHER_SEED, N_FURTHER, shapes.image_size_px))
    replace_block(PAGE, "advice", f"\n{advice_table(rows)}\n")
    replace_block(PAGE, "regret", f"\n{regret_table(rows)}\n")


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
            {"scene": number, "x": x, "y": y, **_row(*own, mask)}
            for own, mask, (x, y) in zip(told, scene.masks, points[:, 0], strict=True)
        ]
    return pd.DataFrame(rows)


def _row(
    found: Uncertainty, enlarged: Uncertainty, refined: Uncertainty, truth: np.ndarray
) -> dict[str, float | str]:
    """What is said of a click, and the IoU that the large model and eight clicks have."""
    masks = {
        KEEP: found.masks[found.selected],
        "model": enlarged.masks[enlarged.selected],
        "prompt": refined.masks[refined.selected],
        "task": found.masks[found.alternative],
        "segmentation": truth,
    }
    return {
        "advice": found.advice.correction,
        "sam_score": float(found.sam_score[found.selected]),
        "expected": float(found.expected_iou.own[found.selected]),
        **{f"gain {name}": gain for name, gain in found.advice.gains.items()},
        **{f"iou {name}": _iou(mask, truth) for name, mask in masks.items()},
    }


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def advice_table(rows: pd.DataFrame) -> str:
    """How often each advice is given, what it gains there and on all objects, and beats."""
    header = (
        *("advice", "objects", "true IoU", "after it", "gain, over that of all objects"),
        "net of costs, over the best fixed choice",
    )
    resamples = _resamples(rows)
    given = {name: (words, Costs()) for name, words in CORRECTIONS.items()}
    for name, costs in OFFERED.items():
        words = f"{CORRECTIONS[name]}, at a cost of {costs.by_correction[name]:g}"
        given[name] = words, costs
    lines = [
        [words, *_advice_cells(rows, name, costs, resamples)]
        for name, (words, costs) in given.items()
    ]
    return table(header, lines)


def _advice_cells(
    rows: pd.DataFrame, correction: str, costs: Costs, resamples: Resamples
) -> list[str]:
    decisions, chosen = Decisions(net_gains(rows, costs)), advised(rows, costs)
    is_own = chosen == list(CORRECTIONS).index(correction)
    own = rows[is_own]
    if not len(own):
        return ["0", *["–"] * 4]
    means = [own[f"iou {KEEP}"], own[f"iou {correction}"]]
    difference = "–"
    if correction != KEEP:
        gain = (rows[f"iou {correction}"] - rows[f"iou {KEEP}"]).to_numpy()
        difference = _with_interval(_mean_of(gain, is_own, resamples, beyond_all=True), "+.2f")
    over_fixed = decisions.chosen(chosen) - decisions.best_fixed
    beats = _with_interval(_mean_of(over_fixed, is_own, resamples), "+.3f")
    return [str(len(own)), *(f"{values.mean():.2f}" for values in means), difference, beats]


def _mean_of(
    values: np.ndarray, is_own: np.ndarray, resamples: Resamples, *, beyond_all: bool = False
) -> Mean:
    """Mean of a value over some objects; ``beyond_all`` takes off that over all objects."""
    sums = resampled_means(np.stack([values * is_own, is_own, values], axis=1), resamples)
    own, share, everywhere = sums.T
    found = own / np.where(share, share, np.nan) - beyond_all * everywhere
    value = values[is_own].mean() - beyond_all * values.mean()
    return Mean(float(value), interval(found))


def regret_table(rows: pd.DataFrame) -> str:
    """What each way to choose loses to hindsight, and what the advice wins over the others."""
    header = (
        *("cost of clicking again", "of the large model", "of a person", "net gain in hindsight"),
        *("regret of the advice", "by SamScore"),
        *("advice over the best fixed choice", "advice over SamScore"),
    )
    resamples = _resamples(rows)
    lines = []
    for costs in BUDGETS:
        decisions = Decisions(net_gains(rows, costs))
        own = decisions.chosen(advised(rows, costs))
        by_score = decisions.by_score(rows["sam_score"].to_numpy())
        ways = {"advice": own, "score": by_score}
        worth = decisions.worth(ways, resamples)
        regrets = [worth[name]["regret"].value for name in ways]
        given = ["–" if cost == NEVER else f"{cost:g}" for cost in vars(costs).values()]
        lines.append(
            [
                *(*given, f"{decisions.net.max(axis=1).mean():.3f}"),
                *(f"{regret:.3f}" for regret in regrets),
                _with_interval(worth["advice"]["margin"], "+.3f"),
                _with_interval(mean(own - by_score, resamples), "+.3f"),
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


def example_table(rows: pd.DataFrame, shown: Sequence[str] = SHOWN) -> str:
    """The first object of each advice that is shown."""
    header = ("scene, click", "SamScore", "expected IoU", "advice", "true IoU", "after the advice")
    lines = []
    for correction in shown:
        row = rows[rows["advice"] == correction].iloc[0]
        lines.append(
            [
                f"`{row['scene']:06}.png`, {row['x']},{row['y']}",
                *(f"{row[name]:.2f}" for name in ("sam_score", "expected")),
                CORRECTIONS[correction],
                *(f"{row[name]:.2f}" for name in (f"iou {KEEP}", f"iou {correction}")),
            ]
        )
    return table(header, lines, left=(0, 3))


if __name__ == "__main__":
    main()
