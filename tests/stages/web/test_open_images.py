"""Images that are open: bounded, and each seen by who has its name."""

import numpy as np
import pytest

from pipeline.predictor import PromptSet, UncertainPredictor
from stages.web.open_images import MOST_ENCODED, OpenImage, OpenImages
from tests.fixtures.predictors import drawn, random_heads, trained_mini

MODELS = ("tiny", "small", "large")


def image(side: int = 8) -> OpenImage:
    return OpenImage(np.full((side, side, 3), 90, np.uint8))


def test_names_cannot_be_guessed() -> None:
    images = OpenImages()
    names = {images.add(image()) for _ in range(20)}
    assert len(names) == 20
    assert min(len(name) for name in names) >= 32
    assert images.get("") is None


def test_beyond_their_number_those_used_longest_ago_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stages.web.open_images.MOST_IMAGES", 2)
    images = OpenImages()
    first, second = images.add(image()), images.add(image())
    assert images.get(first) is not None
    third = images.add(image())
    assert [images.get(name) is None for name in (first, second, third)] == [False, True, False]


def test_beyond_their_bytes_too_but_one_always_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.web.open_images.MOST_BYTES", 2 * image().n_bytes)
    images = OpenImages()
    names = [images.add(image()) for _ in range(3)]
    assert images.get(names[0]) is None
    large = images.add(image(600))
    assert len(images) == 1
    assert images.get(large) is not None


@pytest.mark.parametrize(
    ("size_px", "shown_px"),
    [((192, 256), (768, 1024)), ((3000, 2000), (1024, 683)), ((1, 4000), (1, 1024))],
)
def test_masks_are_shown_at_one_size(size_px: tuple[int, int], shown_px: tuple[int, int]) -> None:
    assert OpenImage(np.zeros((*size_px, 3), np.uint8)).shown_size_px == shown_px


def test_an_image_is_encoded_once_per_model_and_the_oldest_encoding_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[object] = []
    set_image = UncertainPredictor.set_image

    def counted(self: UncertainPredictor, rgb: np.ndarray) -> None:
        encoded.append(self.sam)
        set_image(self, rgb)

    monkeypatch.setattr(UncertainPredictor, "set_image", counted)
    predictors = [UncertainPredictor(trained_mini(m), random_heads(m)) for m in MODELS]
    one = OpenImage(drawn())
    n_bytes = one.n_bytes
    for predictor in (predictors[0], predictors[0], predictors[1], predictors[0]):
        one.predictor_like(predictor)
    assert encoded == [predictors[0].sam, predictors[1].sam]
    levels = [one.predictor_like(p).get_image_embedding().nbytes for p in predictors[:2]]
    assert one.n_bytes > n_bytes + sum(levels)
    one.predictor_like(predictors[0])
    one.predictor_like(predictors[2])  # of 1 and 0, 1 was asked longer ago
    one.predictor_like(predictors[0])
    assert len(encoded) == MOST_ENCODED + 1
    one.predictor_like(predictors[1])
    assert len(encoded) == MOST_ENCODED + 2


def test_other_heads_read_the_same_encoding() -> None:
    sam = trained_mini()
    one = OpenImage(drawn())
    asked = PromptSet([[120, 80]], [1])
    for kind in ("ours", "paper"):
        alone = UncertainPredictor(sam, random_heads(kind=kind))
        alone.set_image(drawn())
        (found,) = one.predictor_like(alone).predict_uncertainties([asked])
        (expected,) = alone.predict_uncertainties([asked])
        np.testing.assert_allclose(found.expected_iou.own, expected.expected_iou.own)
