"""Many images in one call, as ``SAM2ImagePredictor`` takes them."""

from typing import Any, Final

import numpy as np
import pytest
from sam2.sam2_image_predictor import SAM2ImagePredictor

from pipeline.predictor import UncertainPredictor
from pipeline.predictor import uncertain_predictor as module
from pipeline.sam.model import Sam
from tests.fixtures.official import OfficialPredictor, with_stable_masks
from tests.fixtures.predictors import built_mini, drawn, random_heads, trained_mini

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)

IMAGES: Final = [drawn(), np.ascontiguousarray(drawn(192).swapaxes(0, 1)), drawn(64)]
"""No two of one size."""

CLICKS: Final = [np.array([[120.0, 80.5]]), np.array([[70.0, 90]]), np.array([[20.0, 30]])]
LABELS: Final = [np.array([1])] * 3

PROMPTS: Final[dict[str, dict[str, Any]]] = {
    "a click each": {"point_coords_batch": CLICKS, "point_labels_batch": LABELS},
    "single masks": {
        "point_coords_batch": CLICKS,
        "point_labels_batch": LABELS,
        "multimask_output": False,
    },
    "unequally many": {
        "point_coords_batch": [CLICKS[0], np.concatenate(CLICKS[1:]), CLICKS[2]],
        "point_labels_batch": [LABELS[0], np.array([1, 0]), LABELS[2]],
        "return_logits": True,
    },
    "boxes side by side": {
        "box_batch": [np.array([[40.0, 30, 200, 150], [0, 0, 50, 50]]), np.ones((1, 4)) * 20, None]
    },
    "fractions": {
        "point_coords_batch": [np.array([[0.5, 0.4]])] * 3,
        "point_labels_batch": LABELS,
        "normalize_coords": False,
    },
    "masks": {"mask_input_batch": [np.full((1, 64, 64), 2.0)] * 3},
}


@pytest.fixture(scope="module")
def official() -> SAM2ImagePredictor:
    found = OfficialPredictor(with_stable_masks(built_mini().eval())).predictor
    found.set_image_batch(IMAGES)
    return found


@pytest.fixture(scope="module")
def predictor() -> UncertainPredictor:
    found = UncertainPredictor(trained_mini(), random_heads())
    found.set_image_batch(IMAGES)
    return found


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_arrays_are_those_of_the_official_predictor(
    prompt: str, official: SAM2ImagePredictor, predictor: UncertainPredictor
) -> None:
    expected = official.predict_batch(**PROMPTS[prompt])
    found = predictor.predict_batch(**PROMPTS[prompt])
    for name, ours, theirs in zip(("masks", "scores", "logits"), found, expected, strict=True):
        assert len(ours) == len(theirs) == 3
        for one, other in zip(ours, theirs, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            if one.dtype == bool:
                # A logit of 0 up to rounding may fall on either side.
                assert (one != other).mean() < 1e-4
            else:
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=name)


def test_no_more_images_are_encoded_at_once_than_memory_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ENCODED_PIXELS", 2 * 256**2)
    n_encoded = []
    encode_batch = Sam.encode_batch

    def spy(sam: Sam, images: list[np.ndarray]) -> list[Any]:
        n_encoded.append(len(images))
        return encode_batch(sam, images)

    monkeypatch.setattr(Sam, "encode_batch", spy)
    predictor = UncertainPredictor(trained_mini(), random_heads())
    predictor.set_image_batch(IMAGES)
    assert n_encoded == [2, 1]
    assert len(predictor.predict_batch(CLICKS, LABELS)[0]) == 3


def test_one_image_and_many_are_not_mistaken_for_each_other() -> None:
    predictor = UncertainPredictor(trained_mini(), random_heads())
    with pytest.raises(RuntimeError, match=r"must be set by set_image_batch .*, got none"):
        predictor.predict_batch(CLICKS, LABELS)
    predictor.set_image(IMAGES[0])
    with pytest.raises(
        RuntimeError, match=r"must be set by set_image_batch .*, got one by set_ima"
    ):
        predictor.predict_batch(CLICKS, LABELS)
    predictor.set_image_batch(IMAGES)
    for ask in (predictor.predict, predictor.predict_uncertainty):
        with pytest.raises(
            RuntimeError, match=r"set by set_image .*, got 3 by set_image_batch: set one"
        ):
            ask(CLICKS[0], LABELS[0])
    predictor.set_image(IMAGES[0])
    predictor.predict(CLICKS[0], LABELS[0])


def test_prompts_must_be_of_as_many_images(predictor: UncertainPredictor) -> None:
    with pytest.raises(ValueError, match="prompts must be of 3 images, got 2"):
        predictor.predict_batch(CLICKS[:2], LABELS[:2])
