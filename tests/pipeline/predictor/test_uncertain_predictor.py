"""The predictor answers as ``SAM2ImagePredictor`` does: same arrays, same order, same values."""

import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from sam2.build_sam import build_sam2
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor

from pipeline.predictor import PromptSet, UncertainMaskGenerator, UncertainPredictor
from pipeline.predictor.encoded_image import rgb_of
from pipeline.predictor.uncertain_predictor import LEAST_STABILITY, STABILITY_DELTA
from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES
from pipeline.sam.model import Precision, Sam
from tests.fixtures.official import OfficialPredictor, patched_components, with_stable_masks
from tests.fixtures.predictors import (
    drawn,
    mini_predictor,
    mini_with_single_masks,
    random_heads,
    trained_mini,
)

ROOT: Final = Path(__file__).parents[3]
PHOTOGRAPHS: Final = sorted((ROOT.parent / "shared" / "samples" / "COCO").rglob("*.jpg"))[:3]

MINI: Final = ("mini", "tiny")
FULL_SIZE: Final = ("sam2.1", "tiny")

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


@cache
def models(member: tuple[str, str]) -> tuple[Sam, SAM2ImagePredictor]:
    """Ours and the official one, of the same weights: trained where there are some at hand."""
    if member == MINI:
        own, theirs = mini_with_single_masks(), with_stable_masks(mini_with_single_masks())
    else:
        own, theirs = build(*member, seed=1), official_model(member, seed=1)
    ours = Sam(own, device=torch.device("cpu"), precision="fp32")
    return ours, OfficialPredictor(theirs).predictor


def official_model(member: tuple[str, str], *, seed: int) -> SAM2Base:
    """A model as ``build_sam2`` makes it by default, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        row = FAMILIES[member[0]]
        built = build_sam2(row.models[member[1]], None, "cpu")
    built.pixel_mean, built.pixel_std = row.mean, row.std
    return built


@cache
def earlier_logits(member: tuple[str, str]) -> np.ndarray:
    """Logits of a first click, as people hand them back."""
    _, official = models(member)
    official.set_image(drawn())
    _, scores, logits = official.predict(np.array([[100.0, 90]]), np.array([1]))
    best: np.ndarray = logits[scores.argmax()][np.newaxis]
    return best


ONE: Final = np.array([[120.0, 80.5]])
MANY: Final = np.array([[120.0, 80], [100, 60], [30, 150], [0, 0]])
BOX: Final = np.array([40.0, 30, 200, 150])

Asked = dict[str, Any]
"""Arguments of ``predict``."""

PROMPTS: Final[dict[str, Asked]] = {
    "one click": {"point_coords": ONE, "point_labels": np.array([1])},
    "many clicks": {"point_coords": MANY, "point_labels": np.ones(4, int)},
    "background": {"point_coords": MANY, "point_labels": np.array([1, 1, 0, 0])},
    "only background": {"point_coords": ONE, "point_labels": np.array([0])},
    "box": {"box": BOX},
    "box with clicks": {
        "point_coords": MANY,
        "point_labels": np.array([1, 0, 1, 0]),
        "box": BOX,
    },
    "sets side by side": {"point_coords": MANY[:, np.newaxis], "point_labels": np.ones((4, 1))},
    "boxes side by side": {"box": np.stack([BOX, BOX / 2])},
    "fractions of the image": {
        "point_coords": ONE / [256, 192],
        "point_labels": np.array([1]),
        "normalize_coords": False,
    },
    "nothing": {},
    "no clicks but a box": {
        "point_coords": np.zeros((0, 2)),
        "point_labels": np.zeros(0),
        "box": BOX,
    },
}
OUTPUTS: Final[dict[str, dict[str, bool]]] = {
    "three": {},
    "single": {"multimask_output": False},
    "logits": {"return_logits": True},
}


def compare(member: tuple[str, str], image: np.ndarray | Image.Image, *prompts: Asked) -> None:
    ours, official = models(member)
    predictor = UncertainPredictor(ours, random_heads())
    predictor.set_image(image)
    official.set_image(image)
    for asked in prompts:
        found, expected = predictor.predict(**asked), official.predict(**asked)
        for name, one, other in zip(("masks", "scores", "logits"), found, expected, strict=True):
            assert one.shape == other.shape, name
            assert one.dtype == other.dtype, name
            if name == "masks" and not asked.get("return_logits"):
                # A logit of 0 up to rounding may fall on either side.
                assert (one != other).mean() < 1e-4
            else:
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.no_cover
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_gives_the_arrays_of_the_official_predictor(prompt: str) -> None:
    compare(MINI, drawn(), *(PROMPTS[prompt] | output for output in OUTPUTS.values()))


def test_a_single_mask_that_is_not_stable_is_the_selected_proposal_and_no_other_is() -> None:
    predictor = UncertainPredictor(models(MINI)[0], random_heads())
    predictor.set_image(drawn())
    asked = PROMPTS["sets side by side"]
    _, single, _ = predictor.predict(**asked, multimask_output=False)
    _, three, _ = predictor.predict(**asked)
    is_proposal = np.isclose(single[:, 0], three.max(axis=1), atol=1e-6)
    # As the official predictor has it, to which the test above holds all of them.
    assert set(is_proposal.tolist()) == {True, False}


def test_a_mask_is_as_stable_as_build_sam2_wants_it() -> None:
    decoder = official_model(FULL_SIZE, seed=0).sam_mask_decoder
    assert decoder.dynamic_multimask_via_stability
    assert decoder.dynamic_multimask_stability_delta == STABILITY_DELTA
    assert decoder.dynamic_multimask_stability_thresh == LEAST_STABILITY


@pytest.mark.parametrize(
    "prompt", ["one click", "background", "box", "sets side by side", "nothing"]
)
def test_a_mask_of_an_earlier_answer_is_taken_up(prompt: str) -> None:
    asked = PROMPTS[prompt] | {"mask_input": earlier_logits(MINI)}
    compare(MINI, drawn(), asked, asked | OUTPUTS["single"])
    with pytest.raises(AssertionError):  # it makes a difference
        np.testing.assert_allclose(answer(asked)[1], answer(PROMPTS[prompt])[1], atol=1e-3)


def test_answers_of_eight_threads_with_one_model_are_those_of_one() -> None:
    mask = np.random.default_rng(0).normal(0, 5, (1, 64, 64)).astype(np.float32)
    prompts = [
        PromptSet([[20 + 12 * i, 90]], [1], mask_input=mask if i % 2 else None) for i in range(16)
    ]
    predictor = UncertainPredictor(trained_mini(), random_heads())
    predictor.set_image(drawn())

    def arrays(number: int) -> tuple[bytes, ...]:
        asked = predictor
        if number % 64 == 0:  # some threads encode while others decode
            asked = UncertainPredictor(predictor.sam, predictor.heads)
            asked.set_image(drawn())
        (found,) = asked.predict_uncertainties([prompts[number % len(prompts)]])
        of_answer = found.masks, found.logits, found.expected_iou.own
        return tuple(array.tobytes() for array in of_answer)

    expected = [arrays(number) for number in range(len(prompts))]
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(arrays, range(160))] == 10 * expected


def answer(asked: Asked) -> tuple[np.ndarray, ...]:
    predictor = mini_predictor()
    return predictor.predict(**asked)


@pytest.mark.skipif(not PHOTOGRAPHS, reason="needs the COCO samples")
@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda path: path.stem)
def test_photographs_give_the_arrays_of_the_official_predictor(photograph: Path) -> None:
    image = Image.open(photograph).convert("RGB")
    compare(
        MINI, image, *(PROMPTS[name] for name in ("one click", "background", "box with clicks"))
    )


@pytest.mark.full_size
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_model_at_full_size_gives_the_arrays_of_the_official_predictor(output: str) -> None:
    photographs = [np.array(Image.open(path).convert("RGB")) for path in PHOTOGRAPHS[:1]]
    for image in (drawn(), *photographs):
        earlier = {"mask_input": earlier_logits(FULL_SIZE)}
        masked = [PROMPTS[name] | earlier for name in ("one click", "box", "nothing")]
        compare(FULL_SIZE, image, *(p | OUTPUTS[output] for p in (*PROMPTS.values(), *masked)))


def test_every_kind_of_image_is_taken_as_the_official_predictor_takes_it() -> None:
    asked = PROMPTS["one click"]
    for image in (
        drawn(),
        Image.fromarray(drawn()),
        (drawn() / 255).astype(np.float32),
        np.asfortranarray(drawn()),
    ):
        compare(MINI, image, asked)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


SURROUNDINGS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
    "double precision": lambda: default_dtype(torch.float64),
    "half precision": lambda: default_dtype(torch.float16),
}


def every_answer(predictor: UncertainPredictor) -> list[np.ndarray]:
    click = PROMPTS["one click"]
    predictor.set_image(drawn())
    arrays: list[np.ndarray] = []
    for asked in (click, click | {"mask_input": earlier_logits(MINI)}):
        arrays += [*predictor.predict(**asked), *predictor.predict(**asked, multimask_output=False)]
        uncertainty = predictor.predict_uncertainty(**asked)
        arrays += [uncertainty.masks, uncertainty.probability, uncertainty.expected_iou.own]
    records = UncertainMaskGenerator(
        predictor, points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0, use_m2m=True
    ).generate(drawn())
    return [*arrays, *(record["segmentation"] for record in records)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_callers_precision_changes_no_byte(precision: Precision) -> None:
    sam = Sam(mini_with_single_masks(), device=torch.device("cpu"), precision=precision)
    predictor = UncertainPredictor(sam, random_heads())
    expected = every_answer(predictor)
    for name, surroundings in SURROUNDINGS.items():
        with surroundings():
            answers = every_answer(predictor)
        assert len(answers) == len(expected)
        for array, other in zip(answers, expected, strict=True):
            assert (array.dtype, array.tobytes()) == (other.dtype, other.tobytes()), name


@pytest.mark.parametrize(
    "settings",
    [
        {"mask_threshold": 1.5},
        {"max_hole_area": 12.0, "max_sprinkle_area": 30.0},
        {"mask_threshold": -1.0, "max_hole_area": 40.0},
    ],
    ids=str,
)
def test_settings_of_the_constructor_change_masks_as_the_official_ones_do(
    settings: dict[str, Any],
) -> None:
    ours, official = models(MINI)
    predictor = UncertainPredictor(ours, random_heads(), **settings)
    plain = UncertainPredictor(ours, random_heads())
    for one in (predictor, plain, official):
        one.set_image(drawn())
    with (
        mock.patch.object(official, "mask_threshold", predictor.mask_threshold),
        mock.patch.multiple(official._transforms, **settings),
        patched_components(),
    ):
        expected = official.predict(**PROMPTS["one click"])[0]
        upsampled = official.predict(**PROMPTS["one click"], return_logits=True)[0]
    is_sure = np.abs(upsampled - predictor.mask_threshold) > 1e-4
    masks = predictor.predict(**PROMPTS["one click"])[0]
    np.testing.assert_array_equal(masks[is_sure], expected[is_sure])
    assert (masks != plain.predict(**PROMPTS["one click"])[0]).any()
    uncertainty = predictor.predict_uncertainty(**PROMPTS["one click"])
    np.testing.assert_array_equal(uncertainty.masks, masks > 0)
    assert "the heads know masks that are cut at a logit of 0" in uncertainty.caution


@pytest.mark.parametrize("name", ["predict", "predict_batch", "set_image_batch"])
def test_the_signature_is_that_of_the_official_predictor(name: str) -> None:
    ours, official = (
        inspect.signature(getattr(one, name)).parameters.values()
        for one in (UncertainPredictor, SAM2ImagePredictor)
    )
    assert [(p.name, p.default, p.kind) for p in ours] == [
        (p.name, p.default, p.kind) for p in official
    ]


def test_all_that_the_official_predictor_has_is_there_but_what_is_made_of_other_things() -> None:
    ours, official = models(MINI)
    names = {name for name in dir(official) if not name.startswith("_")}
    names -= {"from_pretrained"}  # of `usam_cache`: it reads files
    predictor = UncertainPredictor(ours, random_heads())
    assert names <= set(dir(predictor))
    assert predictor.model is ours.model
    assert predictor.device == official.device


def test_the_embedding_is_that_of_the_official_predictor_until_it_is_reset() -> None:
    ours, official = models(MINI)
    predictor = UncertainPredictor(ours, random_heads())
    official.set_image(drawn())
    predictor.set_image(drawn())
    expected = official.get_image_embedding().numpy()
    np.testing.assert_allclose(predictor.get_image_embedding().numpy(), expected, atol=1e-5)
    predictor.set_image_batch([drawn(), drawn()[:, ::-1]])
    both = predictor.get_image_embedding().numpy()
    np.testing.assert_allclose(both[:1], expected, atol=1e-5)
    assert both.shape == (2, *expected.shape[1:])
    predictor.reset_predictor()
    for ask in (predictor.get_image_embedding, predictor.predict):
        with pytest.raises(RuntimeError, match=r"must be set by set_image .*, got none"):
            ask()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"must be of shape \(height, width, 3\), got \(4, 4\)"),
        (np.zeros((4, 4, 3), np.int64), "must be of uint8 or of floats in 0..1, got int64"),
        (np.full((4, 4, 3), 255.0), "must be on the scale 0..1, got 255"),
        (Image.new("RGBA", (4, 4)), r"must be in mode RGB, got RGBA: use \.convert\('RGB'\)"),
    ],
)
def test_another_image_is_refused_and_the_last_one_forgotten(image: Any, message: str) -> None:  # noqa: ANN401
    predictor = mini_predictor()
    with pytest.raises(ValueError, match=message):
        predictor.set_image(image)
    with pytest.raises(RuntimeError, match=r"must be set by set_image .*, got none"):
        predictor.predict(**PROMPTS["one click"])


def test_a_path_is_no_image() -> None:
    with pytest.raises(TypeError, match="image must be a PIL image or an array, got str"):
        rgb_of("photo.jpg")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"point_coords": ONE}, "point_coords and point_labels must be given together"),
        ({"point_coords": [1, 2], "point_labels": [1]}, r"\(click, 2\) or .*, got \(2,\)"),
        ({"point_coords": ONE, "point_labels": [1, 1]}, r"of shape \(1,\), got \(2,\)"),
        ({"point_coords": ONE, "point_labels": [5]}, "must be 1 on the .* or 0 beside it, got 5"),
        ({"point_coords": [[1, np.nan]], "point_labels": [1]}, "must be finite numbers, got nan"),
        ({"point_coords": [[1e300, 1]], "point_labels": [1]}, "must be finite numbers, got inf"),
        ({"box": [1, 2, 3]}, r"box must be LEFT,TOP,RIGHT,BOTTOM of shape .*, got \(3,\)"),
        ({"mask_input": np.zeros((64, 64))}, r"mask_input must be .*, got \(64, 64\)"),
        (
            {"mask_input": np.zeros((1, 48, 64))},
            "mask_input must be of 64 x 64 px, as this model's logits are, got 64 x 48",
        ),
        (
            {"point_coords": ONE, "point_labels": [1], "box": [BOX, BOX]},
            r"of equally many prompt sets, got \[2, 1\]",
        ),
        (
            {"box": [BOX] * 3, "mask_input": np.zeros((2, 1, 64, 64))},
            "mask_input must be of 3 prompt sets, got 2",
        ),
    ],
)
def test_prompts_that_do_not_fit_are_refused(asked: Asked, message: str) -> None:
    predictor = mini_predictor()
    with pytest.raises(ValueError, match=message):
        predictor.predict(**asked)
