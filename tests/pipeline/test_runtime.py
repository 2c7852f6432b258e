"""What is timed does what it is named for."""

import numpy as np
import pytest
import torch
from scipy.stats import quantile_test

from pipeline import runtime
from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.predictions import mask_statistics
from pipeline.heads.kinds import KINDS, KINDS_BY_NAME, HeadSet
from pipeline.heads.networks import initial_heads
from pipeline.heads.predict import n_inputs, predict, set_inputs
from pipeline.prompts import sample_prompts
from pipeline.runtime import METHODS, TIMED_VIEWS, Heads, Question, median_interval
from pipeline.sam.building import build
from pipeline.sam.model import Decoded, Sam
from pipeline.scenes.scene import draw_scene
from pipeline.views import apply_view, default_view
from tests.fixtures.mini import MODELS


@pytest.fixture(scope="module")
def sam() -> Sam:
    return Sam(build("mini", "tiny", seed=0), device=torch.device("cpu"), precision="fp32")


@pytest.fixture(scope="module")
def question() -> Question:
    scene = draw_scene(3, 96)
    return Question(scene.rgb, sample_prompts(scene.masks[0], seed=0))


@pytest.fixture(scope="module")
def heads(sam: Sam) -> Heads:
    return {
        kind: initial_heads(
            HeadSet("selected", "selected", kind),
            MODELS,
            n_inputs(KINDS_BY_NAME[kind], sam.n_channels),
            seed=0,
        )
        for kind in KINDS
    }


def decode(sam: Sam, question: Question, click: int = 0, view: str = "identity") -> Decoded:
    """One click of one view in a call of its own; none of the timed views moves a pixel."""
    embedding = sam.encode(apply_view(question.rgb, default_view(view)))
    return sam.decode(embedding, question.points[np.newaxis, [click]].astype(np.float32))


def soft_mask(decoded: Decoded) -> np.ndarray:
    selected = int(decoded.sam_score[0].argmax())
    mask: np.ndarray = torch.sigmoid(decoded.logits[0, selected]).numpy()
    return mask


def test_sam_alone_gives_the_selected_mask_of_the_first_click(sam: Sam, question: Question) -> None:
    expected = soft_mask(decode(sam, question))
    np.testing.assert_allclose(runtime.segment(sam, question)[0], expected, atol=1e-6)
    assert runtime.entropy(sam, question) == pytest.approx(mask_entropy(expected), abs=1e-6)


def test_views_and_clicks_are_averaged_before_their_entropy(sam: Sam, question: Question) -> None:
    by_view = [soft_mask(decode(sam, question, view=view)) for view in TIMED_VIEWS]
    by_click = [soft_mask(decode(sam, question, click)) for click in range(8)]
    for found, masks in (
        (runtime.view_entropy(sam, question), by_view),
        (runtime.prompt_entropy(sam, question), by_click),
    ):
        # Masks of random weights are all near 0.5: their entropies differ late.
        assert found == pytest.approx(mask_entropy(np.mean(masks, axis=0)), abs=1e-7)
        assert found != pytest.approx(mask_entropy(masks[0]), abs=1e-6)


@pytest.mark.parametrize("kind", ["paper", "ours"])
def test_nine_heads_read_tokens_and_figures_of_the_selected_proposal(
    sam: Sam, question: Question, heads: Heads, kind: str
) -> None:
    decoded = decode(sam, question)
    scores, statistics = decoded.sam_score.numpy(), sam.encode(question.rgb).statistics
    seen = {
        "iou_token": decoded.iou_token.numpy(),
        "mask_token": decoded.mask_token.numpy(),
        "iou": 1 - scores,
        "sam_score": scores,
        "object_score": np.asarray(decoded.object_score),
        **{name: found.numpy() for name, found in mask_statistics(decoded.logits).items()},
        **{name: found.numpy()[np.newaxis] for name, found in statistics.items()},
    }
    inputs = set_inputs(seen, HeadSet("selected", "selected", kind))
    masks, said = runtime.judge(sam, question, heads, KINDS_BY_NAME[kind])
    np.testing.assert_allclose(masks[0], soft_mask(decoded), atol=1e-6)
    assert tuple(said) == HeadSet("selected", "selected", kind).objectives(MODELS)
    for objective, value in predict(heads[kind], inputs).items():
        np.testing.assert_allclose(said[objective], value, atol=1e-6)


@pytest.mark.parametrize("n", [6, 7, 8, 9, 30, 66, 67, 1000])
def test_the_interval_of_a_median_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    # Exact, and as narrow as can be, from either side.
    tails = [
        quantile_test(values, p=0.5, alternative=side).confidence_interval(0.975)
        for side in ("greater", "less")
    ]
    found = median_interval(values)
    assert found.low == tails[0].low
    assert found.high == tails[1].high
    assert found.low <= np.median(values) <= found.high


def test_every_method_is_asked_in_the_same_way(sam: Sam, question: Question, heads: Heads) -> None:
    assert list(METHODS) == ["sam", "entropy", "views5", "prompts8", "usam", "usam_ours"]
    said = [method(sam, question, heads) for method in METHODS.values()]
    assert said[1:4] == [
        ask(sam, question)
        for ask in (runtime.entropy, runtime.view_entropy, runtime.prompt_entropy)
    ]
