"""Rows of an image's objects: in decoder order, whatever the batch, the view or the company."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extraction.predictions import Request, Rows, encode_logits, extract_objects
from pipeline.masks import FIRST_FOREGROUND_CODE, N_CODES, encode
from pipeline.prompt_kinds import EXTRA_PROMPTS, with_extra
from pipeline.prompts import central_error, sample_prompts
from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES, models_of
from pipeline.sam.model import Sam
from pipeline.scenes.scene import draw_scene
from pipeline.views import apply_view, default_view
from pipeline.vocabulary import PROMPTS, TRAIN_PROMPTS
from tests.fixtures.official import OfficialPredictor, Predictions
from tests.fixtures.transformers_models import small_families

VIEWS = ("identity", "vflip")

# Masks are flipped back in the same way, whatever model they are from.
of_any_model = pytest.mark.parametrize(
    ("any_sam", "view"),
    [*(("mini", view) for view in VIEWS), ("edgetam", "identity"), ("sam3", "identity")],
    indirect=["any_sam"],
)

STATISTICS = ("encoder_mean", "encoder_std")

SCENE = draw_scene(3, 160)
POINTS = np.stack([sample_prompts(mask, i) for i, mask in enumerate(SCENE.masks)])


def built(family: str) -> Sam:
    with small_families():
        model = build(family, models_of(family)[0], seed=1)
    return Sam(model, device=torch.device("cpu"), precision="fp32")


@pytest.fixture(scope="module")
def sam() -> Sam:
    return built("mini")


@pytest.fixture(scope="module")
def any_sam(request: pytest.FixtureRequest) -> Sam:
    return built(request.param)


def rows(
    sam: Sam,
    *,
    view: str = "identity",
    prompts: tuple[str, ...] = PROMPTS,
    batch: int = 16,
    with_masks: bool = True,
) -> Rows:
    viewed = apply_view(SCENE.rgb, default_view(view))
    request = Request(POINTS, SCENE.masks, default_view(view), prompts)
    return extract_objects(sam, sam.encode(viewed), request, batch=batch, with_masks=with_masks)


def official_in(view: str, sam: Sam) -> Callable[..., Predictions]:
    """Asks the official predictor about objects in a view; masks are in the image's frame."""
    flip = slice(None, None, -1 if view == "vflip" else 1)
    official = OfficialPredictor(deepcopy(sam.model))
    official.set_image(SCENE.rgb[flip].copy())

    def ask(
        clicks: np.ndarray | None,
        truth: np.ndarray,
        *,
        labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
    ) -> Predictions:
        if view == "vflip" and clicks is not None:
            clicks = clicks * [1, -1] + [0, len(truth) - 1]
        said = official.predict(clicks, truth[flip], labels=labels, box=box)
        return said | {name: said[name][:, flip] for name in ("logits", "masks")}

    return ask


def assert_said(found: Rows, at: tuple[int, int], said: Predictions) -> None:
    for name in ("sam_score", "iou_token", "mask_token", "object_score", "iou"):
        np.testing.assert_allclose(found[name][at], said[name], atol=1e-3, err_msg=name)
    code = encode(1 / (1 + np.exp(-said["logits"].astype(np.float64))))
    assert np.abs(found["mask_code"][at].astype(int) - code).max() <= 1


@pytest.mark.no_cover
@of_any_model
def test_every_row_is_what_the_official_predictor_says_of_its_prompt_set(
    any_sam: Sam, view: str
) -> None:
    found, ask = rows(any_sam, view=view), official_in(view, any_sam)
    for i, truth in enumerate(SCENE.masks):
        for j in range(len(PROMPTS)):
            clicks = POINTS[i] if j == 8 else POINTS[i, j : j + 1]
            assert_said(found, (i, j), ask(clicks, truth))


def box_of(truth: np.ndarray) -> np.ndarray:
    """Corners as the official predictor takes them: x, y of the first and the last pixel."""
    y, x = np.nonzero(truth)
    return np.array([x.min(), y.min(), x.max(), y.max()])


@pytest.mark.no_cover
@of_any_model
def test_a_box_is_what_the_official_predictor_says_of_it(any_sam: Sam, view: str) -> None:
    found, ask = rows(any_sam, view=view, prompts=("box",)), official_in(view, any_sam)
    for i, truth in enumerate(SCENE.masks):
        there = truth[::-1] if view == "vflip" else truth
        assert_said(found, (i, 0), ask(None, truth, box=box_of(there)))


@pytest.mark.no_cover
@pytest.mark.parametrize("view", VIEWS)
def test_each_correction_is_where_the_official_predictor_is_wrong_after_those_before(
    sam: Sam, view: str
) -> None:
    found, ask = rows(sam, view=view, prompts=("corrected",)), official_in(view, sam)
    for i, truth in enumerate(SCENE.masks):
        clicks, labels = POINTS[i, :1], np.ones(1, np.int32)
        for _ in range(4):
            said = ask(clicks, truth, labels=labels)
            x, y = central_error(said["masks"][said["sam_score"].argmax()], truth)
            clicks = np.append(clicks, [[x, y]], axis=0)
            labels = np.append(labels, np.int32(truth[y, x]))
        assert set(labels) <= {0, 1}
        assert_said(found, (i, 0), said)


def test_more_prompt_sets_change_no_byte_of_the_others(sam: Sam) -> None:
    few, more = rows(sam), rows(sam, prompts=with_extra(EXTRA_PROMPTS))
    for name, values in few.items():
        same = more[name] if name in STATISTICS else more[name][:, : len(PROMPTS)]
        assert same.tobytes() == values.tobytes(), name
    refined = rows(sam, prompts=("refined",))
    for name, values in refined.items():
        same = few[name] if name in STATISTICS else few[name][:, [PROMPTS.index("refined")]]
        assert same.tobytes() == values.tobytes(), name


@pytest.mark.no_cover
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_the_batch_changes_nothing_but_last_bits(sam: Sam, batch: int) -> None:
    one, other = rows(sam), rows(sam, batch=batch)
    for name in ("sam_score", "iou_token", "mask_token", "object_score"):
        np.testing.assert_allclose(one[name], other[name], atol=2e-5, err_msg=name)
    np.testing.assert_allclose(one["iou"], other["iou"], atol=1e-3)


@pytest.mark.parametrize("view", ["identity", "vflip", "gnoise"])
def test_every_object_has_the_statistics_of_its_image_in_the_view(sam: Sam, view: str) -> None:
    found = rows(sam, view=view, prompts=TRAIN_PROMPTS, with_masks=False)
    embedding = sam.encode(apply_view(SCENE.rgb, default_view(view)))
    for name, values in embedding.statistics.items():
        assert found[name].shape == (len(SCENE.masks), FAMILIES["mini"].n_encoder_channels)
        assert (found[name] == values.numpy()).all(), name


def test_the_train_prompt_sets_are_columns_of_all(sam: Sam) -> None:
    few = rows(sam, prompts=TRAIN_PROMPTS, with_masks=False)
    every = rows(sam)
    assert set(few) == set(every) - {"mask_code"}
    for name in ("sam_score", "iou", "mask_token"):
        np.testing.assert_allclose(few[name], every[name][:, [0, 8]], atol=1e-3, err_msg=name)


@settings(max_examples=50)
@given(st.lists(st.floats(-40, 40, width=32), min_size=4, max_size=4))
def test_logits_have_the_code_of_their_probability(values: list[float]) -> None:
    logits = torch.tensor(values, dtype=torch.float32).view(2, 2)
    code = encode(torch.sigmoid(logits.double()).numpy())
    # Either may fall on the other side of a tie in the last bit.
    assert np.abs(encode_logits(logits).numpy().astype(int) - code).max() <= 1


def test_logits_far_out_have_the_outermost_codes() -> None:
    assert encode_logits(torch.tensor([[-100.0, 100.0]])).tolist() == [[0, N_CODES - 1]]
    assert encode_logits(torch.tensor([[-200.0, 200.0]])).tolist() == [[0, N_CODES - 1]]


def test_no_logit_crosses_the_cut() -> None:
    logits = torch.tensor([[-1e-6, -0.0, 0.0, 1e-6, -1e-3, 1e-3]])
    assert (encode_logits(logits) >= FIRST_FOREGROUND_CODE).tolist() == (logits > 0).tolist()
