"""What uncertainty costs beside SAM2's own predictor and mask generator, of the same weights."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.sam2_image_predictor import SAM2ImagePredictor

from pipeline.masks import CUT
from pipeline.predictor import PromptSet, UncertainMaskGenerator, UncertainPredictor
from pipeline.sam.building import build
from pipeline.sam.model import Sam
from stages.predictor.loading import load_predictor
from tests.fixtures.measured import least_busy_s
from tests.fixtures.official import OfficialPredictor
from tests.fixtures.predictors import CHOICE_GAIN, drawn, random_heads
from tools.bars import Bar, missed_bars

pytestmark = pytest.mark.usefixtures("one_thread")

MOST_OVERHEAD = {"mini": 1.25, "sam2.1": 0.8}
"""Most time of a click with its uncertainty, as a multiple of SAM2's click alone: our decoder and
our masks at the size of the image save more than heads and entropies cost, but not with a mini
model: its decoder takes few milliseconds, and the heads are three networks."""

LEAST_SPEEDUP = 2
"""Of 32 prompt sets in one call over as many calls of SAM2's predictor, the image encoded before.

Beside as many calls of our own it is about 1 at full size: what the prompt sets of an image share
is computed once for all calls about it.
"""

LEAST_SPEEDUP_ENCODED = 1
"""The same with an encoding on either side, which a CPU cannot double: it takes as long for that of
the large model as for a hundred clicks, and both sides run the same encoder.
"""

MOST_OF_EVERYTHING = 1.1
"""Most time of everything in an image with its uncertainty, as a multiple of SAM2's generator."""

MOST_OF_CHOICE = 1.1
"""Most time of a click with the choice of its mask, as a multiple of a click without."""

N_ROUNDS = {"mini": 40, "sam2.1": 8}

POINTS_PER_SIDE = {"mini": 32, "sam2.1": 8}

N_PROMPTS = 32


def predictor_of(family: str, model: str) -> UncertainPredictor:
    """A predictor that has the drawn scene before it; at full size, of random weights."""
    if family == "mini":
        predictor = load_predictor(family, model)
    else:
        sam = Sam(build(family, model, seed=0), device=torch.device("cpu"), precision="fp32")
        heads = random_heads(model, n_channels=sam.n_channels, kind="ours", seed=1)
        predictor = UncertainPredictor(sam, heads)
    predictor.set_image(drawn())
    return predictor


def official_of(predictor: UncertainPredictor) -> SAM2ImagePredictor:
    """SAM2's own, of the same weights, with the same image before it."""
    official = OfficialPredictor(predictor.sam.model).predictor
    official.set_image(drawn())
    return official


@pytest.mark.parametrize("family", N_ROUNDS)
def test_uncertainty_costs_no_more_than_a_click_of_sam2(
    benchmark: BenchmarkFixture, family: str
) -> None:
    predictor = predictor_of(family, "tiny")
    official = official_of(predictor)
    click = (np.array([[120.0, 80.5]]), np.array([1]))
    official_s, whole_s = least_busy_s(
        N_ROUNDS[family],
        lambda: official.predict(*click),
        lambda: predictor.predict_uncertainty(*click),
    )
    benchmark.pedantic(predictor.predict_uncertainty, click)  # type: ignore[no-untyped-call]
    what = f"click with its uncertainty, {family} tiny, over a click of SAM2"
    bar = Bar(what, whole_s / official_s, at_most=MOST_OVERHEAD[family])
    assert missed_bars(benchmark, bar) == []


@pytest.mark.parametrize("family", N_ROUNDS)
def test_the_choice_of_a_mask_costs_little(benchmark: BenchmarkFixture, family: str) -> None:
    plain, choosing = predictor_of(family, "tiny"), predictor_of(family, "tiny")
    plain.heads = replace(plain.heads, choices=())
    choosing.heads = replace(choosing.heads, choices=(CHOICE_GAIN,))
    click = (np.array([[80.0, 120.0]]), np.array([1]))
    choice = choosing.predict_uncertainty(*click).choice
    assert choice is not None
    assert choice.cut != CUT  # a mask that must be made
    plain_s, choosing_s = least_busy_s(
        N_ROUNDS[family],
        lambda: plain.predict_uncertainty(*click),
        lambda: choosing.predict_uncertainty(*click),
    )
    benchmark.pedantic(choosing.predict_uncertainty, click)  # type: ignore[no-untyped-call]
    what = "click with the choice of its mask, over a click without"
    bar = Bar(what, choosing_s / plain_s, at_most=MOST_OF_CHOICE, case=f"{family} tiny")
    assert missed_bars(benchmark, bar) == []


@pytest.mark.parametrize(
    ("family", "model", "n_rounds"),
    [("mini", "tiny", 8), ("sam2.1", "tiny", 2), ("sam2.1", "large", 1)],
)
def test_many_prompts_in_one_call(
    benchmark: BenchmarkFixture, family: str, model: str, n_rounds: int
) -> None:
    predictor = predictor_of(family, model)
    official = official_of(predictor)
    points = np.random.default_rng(0).integers(10, 180, (N_PROMPTS, 1, 2)).astype(float)
    asked = [PromptSet(one, [1]) for one in points]
    official_encode_s, encode_s, official_s, together_s = least_busy_s(
        n_rounds,
        lambda: official.set_image(drawn()),
        lambda: predictor.set_image(drawn()),
        lambda: [official.predict(one, np.ones(1)) for one in points],
        lambda: predictor.predict_uncertainties(asked),
    )
    benchmark.pedantic(predictor.predict_uncertainties, (asked,))  # type: ignore[no-untyped-call]
    ratio = official_s / together_s
    encoded = (official_encode_s + official_s) / (encode_s + together_s)
    what, case = f"{N_PROMPTS} prompt sets in a call: speed over SAM2's calls", f"{family} {model}"
    missed = missed_bars(
        benchmark,
        Bar(what, ratio, at_least=LEAST_SPEEDUP, case=case),
        Bar(f"{what}, with the encoding", encoded, at_least=LEAST_SPEEDUP_ENCODED, case=case),
    )
    assert missed == []


@pytest.mark.parametrize("family", POINTS_PER_SIDE)
def test_everything_costs_little_beside_the_generator_alone(
    benchmark: BenchmarkFixture, family: str
) -> None:
    predictor = predictor_of(family, "tiny")
    side = predictor.sam.image_size_px // 4
    options: dict[str, Any] = {
        "points_per_side": POINTS_PER_SIDE[family],
        "stability_score_thresh": 0.8,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        official = SAM2AutomaticMaskGenerator(predictor.sam.model, **options)
    official.predictor._bb_feat_sizes = [(side, side), (side // 2,) * 2, (side // 4,) * 2]
    uncertain = UncertainMaskGenerator(predictor, **options)
    bare_s, whole_s = least_busy_s(
        2, lambda: official.generate(drawn()), lambda: uncertain.generate(drawn())
    )
    benchmark.pedantic(uncertain.generate, (drawn(),))  # type: ignore[no-untyped-call]
    what = "everything with its uncertainty, over SAM2's generator"
    bar = Bar(what, whole_s / bare_s, at_most=MOST_OF_EVERYTHING, case=f"{family} tiny")
    assert missed_bars(benchmark, bar) == []
