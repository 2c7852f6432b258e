"""Entropies over views, clicks and models, beside a loop over single passes."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pytest

from pipeline.predictor import BayesianPlan, UncertainPredictor
from pipeline.predictor.bayesian import VIEWS
from pipeline.prompts import sample_prompts
from pipeline.sam.building import build
from pipeline.sam.model import Sam
from pipeline.views import apply_view, default_view
from tests.fixtures.predictors import drawn, mini_predictor, random_heads, trained_mini

Asked = dict[str, Any]

CLICK: Final[Asked] = {"point_coords": [[120.0, 80]], "point_labels": [1]}
BOX: Final[Asked] = {"box": [40.0, 30, 200, 150]}
BOX_AND_CLICKS: Final[Asked] = BOX | {"point_coords": [[120, 80], [10, 9]], "point_labels": [1, 0]}
MASKED: Final[Asked] = CLICK | {"mask_input": np.linspace(-3, 3, 64 * 64).reshape(1, 64, 64)}

HEIGHT: Final = 192


def selected(sam: Sam, rgb: np.ndarray, asked: Asked) -> np.ndarray:
    """Probabilities of the mask of the highest SamScore, from a predictor of their own."""
    predictor = UncertainPredictor(sam, random_heads())
    predictor.set_image(rgb)
    found = predictor.predict_uncertainty(**asked)
    probability: np.ndarray = found.probability[found.selected].astype(np.float64)
    return probability


def entropy(masks: Iterable[np.ndarray]) -> float:
    """Eq. 3 of the mean, as it is written."""
    p = np.mean(list(masks), axis=0)
    sure = np.clip(p, 1e-300, 1 - 1e-16)
    bits = -(sure * np.log2(sure) + (1 - sure) * np.log2(1 - sure))
    return float((p / p.sum() * bits).sum())


def upside_down(asked: Asked) -> Asked:
    """The same prompt about the flipped image."""
    turned = dict(asked)
    if "point_coords" in asked:
        turned["point_coords"] = [[x, HEIGHT - 1 - y] for x, y in asked["point_coords"]]
    if "box" in asked:
        left, top, right, bottom = asked["box"]
        turned["box"] = [left, HEIGHT - 1 - bottom, right, HEIGHT - 1 - top]
    if "mask_input" in asked:
        turned["mask_input"] = asked["mask_input"][:, ::-1].copy()
    return turned


@pytest.mark.parametrize("asked", [BOX_AND_CLICKS, MASKED], ids=" ".join)
def test_h_t_is_the_entropy_of_the_mean_over_the_views(asked: Asked) -> None:
    found = mini_predictor().predict_bayesian(**asked, plan=BayesianPlan(name="photo.jpg"))
    sam, masks = trained_mini(), []
    for view in VIEWS:
        rgb = apply_view(drawn(), view, image="photo.jpg")
        if view.name == "vflip":
            masks.append(selected(sam, rgb, upside_down(asked))[::-1])
        else:
            masks.append(selected(sam, rgb, asked))
    assert found.h_t == pytest.approx(entropy(masks), abs=1e-5)
    assert abs(found.h_t - entropy(masks[:1])) > 1e-3  # the views differ


def test_h_xp_is_over_the_prompt_and_clicks_drawn_from_the_predicted_mask() -> None:
    predictor = mini_predictor()
    first = predictor.predict_uncertainty(**CLICK)
    clicks = sample_prompts(first.masks[first.selected], 5)[1:]
    found = predictor.predict_bayesian(**CLICK, plan=BayesianPlan(seed=5))
    np.testing.assert_array_equal(found.clicks, clicks)
    every = [CLICK, *({"point_coords": [one], "point_labels": [1]} for one in clicks.tolist())]
    masks = [selected(trained_mini(), drawn(), asked) for asked in every]
    assert found.h_xp == pytest.approx(entropy(masks), abs=1e-5)
    other = predictor.predict_bayesian(**CLICK, plan=BayesianPlan(seed=6))
    assert not np.array_equal(other.clicks, clicks)


def test_h_theta_is_over_the_models() -> None:
    others = [trained_mini("small"), trained_mini("large")]
    found = mini_predictor().predict_bayesian(**BOX, others=others)
    masks = [selected(sam, drawn(), BOX) for sam in (trained_mini(), *others)]
    assert found.h_theta == pytest.approx(entropy(masks), abs=1e-5)
    assert mini_predictor().predict_bayesian(**BOX).h_theta is None


def test_the_second_question_about_an_image_encodes_nothing_anew() -> None:
    predictor = mini_predictor()
    asked: Asked = {"others": [trained_mini("small")], "plan": BayesianPlan(clicks=[[60, 100]])}
    first = predictor.predict_bayesian(**CLICK, **asked)
    # Five views and one model; one click of three, one view of six, one model.
    assert (first.cost.n_encodes, first.cost.n_decodes) == (6, 8)
    second = predictor.predict_bayesian(**CLICK, **asked)
    assert (second.cost.n_encodes, second.cost.n_decodes) == (0, 8)
    assert (second.h_t, second.h_xp, second.h_theta) == (first.h_t, first.h_xp, first.h_theta)
    predictor.set_image(drawn())
    assert predictor.predict_bayesian(**CLICK, **asked).cost.n_encodes == 6


def test_another_view_of_a_name_or_of_another_image_is_encoded_for_itself() -> None:
    predictor = mini_predictor()
    plans = [BayesianPlan((default_view("gnoise"),), name=name) for name in ("a", "b", "a")]
    found = [predictor.predict_bayesian(**CLICK, plan=plan) for plan in plans]
    assert [one.cost.n_encodes for one in found] == [1, 1, 0]
    assert found[0].h_t == found[2].h_t != found[1].h_t


def test_an_empty_mask_has_no_clicks() -> None:
    sam = Sam(build("mini", "tiny", seed=1), device=trained_mini().device, precision="fp32")
    with_torch_zero(sam)
    predictor = UncertainPredictor(sam, random_heads())
    predictor.set_image(drawn())
    assert not predictor.predict_uncertainty(**CLICK).masks.any()
    found = predictor.predict_bayesian(**CLICK)
    assert found.h_xp is None
    assert found.clicks.shape == (0, 2)


def with_torch_zero(sam: Sam) -> None:
    """Make every logit 0, which is background."""
    for part in sam.model.sam_mask_decoder.output_hypernetworks_mlps:
        part.layers[-1].weight.data.zero_()
        part.layers[-1].bias.data.zero_()


def test_what_does_not_fit_is_refused() -> None:
    predictor = mini_predictor()
    with pytest.raises(ValueError, match=r"clicks must be of shape \(click, 2\), got \(2,\)"):
        predictor.predict_bayesian(**CLICK, plan=BayesianPlan(clicks=[1, 2]))
    with pytest.raises(ValueError, match="click must lie in the image of 256 x 192 px, got 256,"):
        predictor.predict_bayesian(**CLICK, plan=BayesianPlan(clicks=[[256, 2]]))
    with pytest.raises(ValueError, match="prompts must be of one set, got 2"):
        predictor.predict_bayesian(box=[[1, 2, 3, 4]] * 2)
    with pytest.raises(RuntimeError, match="must be set by set_image"):
        UncertainPredictor(trained_mini(), random_heads()).predict_bayesian(**CLICK)


def test_models_of_another_mask_size_are_refused() -> None:
    small = build("mini", "small", seed=0)
    other = Sam(small, device=trained_mini().device, precision="fp32", mask_size_px=32)
    with pytest.raises(ValueError, match="other models must have masks of 64 px, got 32"):
        mini_predictor().predict_bayesian(**CLICK, others=[other])


def test_float_images_have_the_views_of_their_bytes() -> None:
    predictor = mini_predictor()
    expected = predictor.predict_bayesian(**CLICK)
    predictor.set_image((drawn() / 255).astype(np.float32))
    assert predictor.predict_bayesian(**CLICK).h_t == pytest.approx(expected.h_t, abs=1e-4)
