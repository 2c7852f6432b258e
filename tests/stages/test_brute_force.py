"""Every AUC of both protocols again, from the stores and heads alone, an object at a time.

Nothing of ``pipeline.scoring`` or ``pipeline.heads`` is used: what they do is said here once more,
in the words of the design.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
import zarr
from safetensors.numpy import load_file

from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS

METHOD: Final = ROOT / "docs" / "method.md"

SPLIT = SPLITS[0]
MODELS = ("tiny", "small", "base_plus", "large")
CENTER, REFINED = 0, 8
"""Places of the prompt sets in the stores."""

KINDS = {"paper": "", "ours": "_ours"}
"""Kinds of heads, and how the names of their measures end."""

ENTROPIES = ("h_y", "h_theta", "h_a", "h_std", "h_xp", "h_t")
AGREEMENTS = (
    *("dice_theta", "dice_ends", "dice_a"),
    *("dice_xp", "dice_t", "dice_near", "soft_dice"),
)
FIGURES = ("area", "mask_entropy", "confidence", "agreement", "object_score")
TASKS = ("model", "prompt", "task", "segmentation")
PROTOCOLS = ("best", "selected")
COLUMNS = ["protocol", "task", "model", "train_split", "measure"]
AREAS = ["auc", "oracle", "worst", "relative"]


@pytest.fixture(scope="module")
def told(evaluated: Path) -> pd.DataFrame:
    """What the stage says, heads without a token apart, read as docs/method.md reads it."""
    (block,) = re.findall(r"```python\n(.*?)```", METHOD.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {"pd": pd}
    with chdir(evaluated):
        exec(block, names)  # noqa: S102 - of docs/method.md
    auc: pd.DataFrame = names["auc"].rename_axis(columns=None).reset_index()
    return auc[~auc["tokens"].str.contains("_no_")].set_index(COLUMNS)[AREAS]


@pytest.fixture(scope="module")
def found(evaluated: Path) -> pd.DataFrame:
    """The same by brute force."""
    return pd.DataFrame(rows(evaluated)).set_index(COLUMNS)[AREAS]


@dataclass(frozen=True)
class Model:
    """One model's identity cell, and what else concerns it."""

    name: str
    iou: np.ndarray
    sam_score: np.ndarray
    stability_score: np.ndarray
    iou_token: np.ndarray
    mask_token: np.ndarray
    encoder_mean: np.ndarray
    encoder_std: np.ndarray
    figures: dict[str, np.ndarray]
    """Of the masks, by name in the store."""
    uncertainties: dict[str, dict[str, np.ndarray]]
    """Entropies and disagreements by judged proposal and name."""
    heads: Callable[[str, str, str, str, str], dict[str, np.ndarray]]
    """Tensors by protocol, kind, tokens, train split and objective."""
    isotonic: Callable[[str, str], dict[str, list[float]]]
    """Knots by train split and judged proposal."""

    def judged(self, judged: str, prompt: int = CENTER) -> list[int]:
        """The best or the selected proposal of each object; of equals, the first."""
        by = {"best": self.iou, "selected": self.sam_score}[judged]
        return [row.index(max(row)) for row in by[:, prompt].tolist()]

    def judged_iou(self, judged: str, prompt: int = CENTER) -> np.ndarray:
        chosen = self.judged(judged, prompt)
        return np.array([self.iou[i, prompt, k] for i, k in enumerate(chosen)], np.float64)

    def all_figures(self, i: int, k: int) -> list[float]:
        """What heads of our own read of an object's masks, besides tokens, if proposal k counts."""
        score = [float(value) for value in self.sam_score[i, CENTER]]
        second, third = sorted({0, 1, 2} - {k}, key=lambda j: (-score[j], j))
        order = (k, second, third)
        clipped = [min(max(score[j], 0.001), 0.999) for j in order]
        area, entropy, confidence = (
            [float(self.figures[name][i, CENTER, j]) for j in order]
            for name in ("area", "mask_entropy", "confidence")
        )
        dice = dict(zip(("01", "02", "12"), self.figures["agreement"][i, CENTER], strict=True))
        pairs = ((k, second), (k, third), (second, third))
        return [
            *(score[j] for j in order),
            *(math.log(p / (1 - p)) for p in clipped),
            *area,
            *(math.log(a + 1e-4) for a in area),
            *entropy,
            *confidence,
            *(dice[f"{min(pair)}{max(pair)}"] for pair in pairs),
            self.figures["object_score"][i, CENTER],
        ]

    def head(
        self, protocol: str, kind: str, judged: str, train_split: str, objective: str
    ) -> np.ndarray:
        """What a head expects of the judged proposal."""
        tensors = self.heads(protocol, kind, judged, train_split, objective)
        said = []
        for i, k in enumerate(self.judged(judged)):
            x = np.concatenate([self.iou_token[i, CENTER], self.mask_token[i, CENTER, k + 1]])
            if kind != "paper":
                image = (self.encoder_mean[i], self.encoder_std[i])
                x = np.concatenate([x, self.all_figures(i, k), *image])
                x = (x - tensors["inputs.mean"]) / tensors["inputs.scale"]
            said.append(run(tensors, x))
        return np.array(said)


def run(tensors: dict[str, np.ndarray], x: np.ndarray) -> float:
    """Output of a network."""
    for layer in (0, 1):
        x = np.maximum(tensors[f"layers.{layer}.weight"] @ x + tensors[f"layers.{layer}.bias"], 0)
    (logit,) = tensors["layers.2.weight"] @ x + tensors["layers.2.bias"]
    return 1 / (1 + math.exp(-float(logit)))


def read_models(root: Path) -> dict[str, Model]:
    entropy = zarr.open_group(root / "cache" / "entropy" / f"{SPLIT}.zarr", mode="r")
    of_masks = {name: np.asarray(entropy[name]) for name in (*ENTROPIES, *AGREEMENTS)}
    models = {}
    for place, name in enumerate(MODELS):
        path = root / "cache" / "features" / SPLIT / name / "identity.zarr"
        cell = zarr.open_group(path, mode="r")
        names = (
            *("iou", "sam_score", "stability_score", "iou_token", "mask_token"),
            *("encoder_mean", "encoder_std"),
        )
        models[name] = Model(
            name=name,
            **{key: np.asarray(cell[key]) for key in names},
            figures={key: np.asarray(cell[key]) for key in FIGURES},
            uncertainties={
                judged: {
                    key: 1 - own if key in AGREEMENTS else own
                    for key, values in of_masks.items()
                    for own in [of_model(key, values.astype(np.float64), k, place)]
                }
                for k, judged in enumerate(("best", "selected"))
            },
            heads=partial(read_head, root),
            isotonic=partial(read_knots, root, name),
        )
    return models


def of_model(name: str, values: np.ndarray, judged: int, place: int) -> np.ndarray:
    """What an array of the entropy store says of a model: all have as many axes as they need."""
    if name == "h_y":
        return values
    if name in {"h_theta", "dice_theta", "dice_ends"}:
        return values[:, judged]
    return values[:, place] if name in {"h_a", "dice_a"} else values[:, judged, place]


@cache
def read_knots(root: Path, model: str, train_split: str, judged: str) -> dict[str, list[float]]:
    text = (root / "heads" / train_split / "paper" / "isotonic.json").read_text("utf-8")
    knots: dict[str, list[float]] = json.loads(text)["fitted"][model][judged]
    return knots


def between(knots: dict[str, list[float]], score: float) -> float:
    """Height of a line through knots, which goes on level at either end."""
    xs, ys = knots["sam_score"], knots["iou"]
    if score <= xs[0]:
        return ys[0]
    for x, after, y, y_after in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if score <= after:
            return y + (y_after - y) * (score - x) / (after - x)
    return ys[-1]


read_heads = cache(load_file)


def read_head(
    root: Path, protocol: str, kind: str, tokens: str, train_split: str, objective: str
) -> dict[str, np.ndarray]:
    every = read_heads(root / "heads" / train_split / kind / protocol / f"{tokens}.safetensors")
    named = [name.split(".", 1) for name in every if name.split(".", 1)[0] in {"shared", objective}]
    return {name: every[f"{owner}.{name}"] for owner, name in named}


def rows(root: Path) -> Iterator[dict[str, str | float]]:
    models = read_models(root)
    for protocol in PROTOCOLS:
        for model in models.values():
            corrected = corrections(models, model, protocol)
            told = {
                judged: list(measures(model, models["large"], protocol, judged))
                for judged in {protocol, "selected"}
            }
            for task in TASKS:
                judged = "selected" if task == "task" else protocol
                for (train_split, measure), value in told[judged]:
                    key = (protocol, task, model.name, train_split, measure)
                    areas = zip(AREAS, slow_areas(*corrected[task], value), strict=True)
                    yield dict(zip(COLUMNS, key, strict=True)) | dict(areas)


def corrections(
    models: dict[str, Model], model: Model, protocol: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    own = model.judged_iou(protocol)
    return {
        "model": (models["tiny"].judged_iou(protocol), models["large"].judged_iou(protocol)),
        "prompt": (own, model.judged_iou(protocol, REFINED)),
        "task": (model.judged_iou("selected"), model.judged_iou("best")),
        "segmentation": (own, np.ones(len(own))),
    }


def judged_score(model: Model, judged: str) -> np.ndarray:
    score = model.sam_score[:, CENTER].astype(np.float64)
    return np.array([score[i, k] for i, k in enumerate(model.judged(judged))])


def measures(
    model: Model, large: Model, protocol: str, judged: str
) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    score = model.sam_score[:, CENTER].astype(np.float64)
    own_score, large_score = judged_score(model, judged), judged_score(large, judged)
    yield ("", "sam_score"), 1 - own_score
    yield ("", "sam_score_largest"), 1 - large_score
    yield ("", "sam_score_gain"), large_score - own_score
    judged_row = np.array(model.judged(judged))
    stability = model.stability_score[np.arange(len(judged_row)), CENTER, judged_row]
    yield ("", "stable_score"), 1 - own_score * stability.astype(np.float64)
    if judged == "best":
        yield ("", "sam_score_highest"), 1 - score.max(axis=1)
    elif protocol == "best":
        misses = np.array(model.judged("selected")) != model.judged("best")
        yield ("", "not_selected"), misses.astype(np.float64)
        for train_split in TRAIN_SPLITS:
            of_best = model.head(protocol, "paper", "best", train_split, "task_gap")
            yield (train_split, "delta_a_star_known"), of_best - 0.5
    for name, value in model.uncertainties[judged].items():
        yield ("", name), value
    for train_split in TRAIN_SPLITS:
        knots = model.isotonic(train_split, judged)
        calibrated = np.array([between(knots, one) for one in own_score])
        yield (train_split, "sam_score_isotonic"), 1 - calibrated
    for train_split, (kind, end) in product(TRAIN_SPLITS, KINDS.items()):
        # Heads that learned the IoU at nine cuts expect of a mask what they expect of it at 0.5.
        is_cut = (protocol, kind) == ("selected", "ours")
        usam = "iou_at_50" if is_cut else f"iou_{model.name}"
        own = model.head(protocol, kind, judged, train_split, usam)
        yield (train_split, f"usam{end}"), 1 - own

        def head(objective: str, train_split: str = train_split, kind: str = kind) -> np.ndarray:
            return model.head(protocol, kind, judged, train_split, objective)

        if protocol == "best":
            best, selected = own, head("iou_selected")
        else:
            best, selected = head("iou_best"), own
        by_name = {
            "delta_theta": head("iou_large") - head("iou_tiny"),
            "delta_xp": head("iou_refined") - own,
            "delta_a": best - selected,
            "delta_theta_star": head("model_gap") - 0.5,
            "delta_xp_star": head("prompt_gap") - 0.5,
            "delta_a_star": head("task_gap") - 0.5,
        }
        yield from (((train_split, name + end), value) for name, value in by_name.items())


def slow_areas(
    iou: np.ndarray, corrected_iou: np.ndarray, uncertainty: np.ndarray
) -> tuple[float, float, float, float]:
    """Area under the curve of the mean IoU, of the order, the oracle's and the worst one's."""

    def area(order: np.ndarray) -> float:
        done, fraction, mean_iou = np.array(iou, np.float64), [0.0], [float(np.mean(iou))]
        for value in sorted(set(order.tolist()), reverse=True):
            # A tie is a straight line: the average over its orders.
            tied = order == value
            done[tied] = corrected_iou[tied]
            fraction.append(fraction[-1] + tied.mean())
            mean_iou.append(float(done.mean()))
        return float(np.trapezoid(mean_iou, fraction))

    gain = corrected_iou - iou
    auc, oracle, worst = area(uncertainty), area(gain), area(-gain)
    return auc, oracle, worst, (auc - worst) / (oracle - worst)


def test_the_stage_says_what_brute_force_says(told: pd.DataFrame, found: pd.DataFrame) -> None:
    assert set(told.index) == set(found.index)
    assert len(told) == len(found)
    pd.testing.assert_frame_equal(told, found.loc[told.index], rtol=1e-5, atol=1e-5)


def test_protocols_that_are_exchanged_are_seen_in_every_task_but_that_of_the_selection(
    told: pd.DataFrame, found: pd.DataFrame
) -> None:
    exchanged = told.rename({"best": "selected", "selected": "best"}, level="protocol")
    shared = exchanged.index.intersection(found.index)
    distance = (exchanged.loc[shared, "relative"] - found.loc[shared, "relative"]).abs()
    share = distance.gt(1e-5).groupby(level=["task", "measure"]).mean()
    for task in ("model", "prompt", "segmentation"):
        # The large model's SamScore gains nothing over itself.
        assert share[task]["sam_score_gain"] == (3 / 4)
        assert (share[task].drop("sam_score_gain") == 1).all(), task
    # The task of the selection judges the same mask in both; its heads learned other targets.
    assert share["task"].drop(["delta_theta_star"]).loc["usam"] == 1
    assert (share["task"].loc[["sam_score", "h_std", "h_y"]] == 0).all()


def test_ious_of_better_masks_are_means_over_the_stores(evaluated: Path) -> None:
    scores = pd.read_csv(evaluated / "results" / "splits" / SPLIT / "scores.csv")
    rows = scores[scores["statistic"] == "mask_iou"].fillna({"train_split": ""})
    means = rows.set_index(["model", "choice", "train_split"])["value"]
    entropy = zarr.open_group(evaluated / "cache" / "entropy" / f"{SPLIT}.zarr", mode="r")
    arrays = {
        "selected_codes": "iou_std",
        "mean_views": "iou_t",
        "mean_clicks": "iou_xp",
        "mean_models": "iou_theta",
    }
    for place, model in enumerate(MODELS):
        features = evaluated / "cache" / "features" / SPLIT / model / "identity.zarr"
        at_cut, sam_score = (
            np.asarray(zarr.open_group(features, mode="r")[name])[:, CENTER]
            for name in ("iou_at_cut", "sam_score")
        )
        selected = np.stack(
            [
                iou[list(score).index(max(score))]
                for iou, score in zip(at_cut, sam_score, strict=True)
            ]
        )
        for train_split, name, cut in (("", "selected", 0.5), (TRAIN_SPLITS[0], "fixed_cut", 0.6)):
            mean = selected[:, round(10 * cut) - 1].mean()
            assert means[model, name, train_split] == pytest.approx(mean, abs=1e-6)
        for name, array in arrays.items():
            values = np.asarray(entropy[array])
            values = values[:, PROTOCOLS.index("selected")] if array != "iou_a" else values
            of_model = values[:, place] if array != "iou_theta" else values
            assert means[model, name, ""] == pytest.approx(of_model.mean(), abs=1e-6), name
