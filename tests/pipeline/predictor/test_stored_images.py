"""Predictors that take embeddings from stores answer as those that encode, byte for byte."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
import torch

from pipeline.embeddings import StoredEmbedding, check_embedding
from pipeline.predictor import UncertainMaskGenerator, UncertainPredictor
from pipeline.predictor.encoded_image import Statistics
from pipeline.sam.model import Precision, Sam
from storage.head_files.head_file import read_head_file, shipped_heads
from tests.fixtures.predictors import built_mini, drawn, random_heads, trained_mini
from tests.fixtures.stored_images import refuse_to_encode, stored_embedding

CLICK: Final[dict[str, Any]] = {"point_coords": [[120, 80]], "point_labels": [1]}

LENIENT: Final[dict[str, Any]] = {
    "points_per_side": 4,
    "pred_iou_thresh": 0.3,
    "stability_score_thresh": 0.5,
}
"""Few points of a grid, of which some masks are kept."""


class InMemory:
    """Embeddings, and statistics by the smallest model, of images that were encoded before."""

    def __init__(self, sam: Sam, images: list[np.ndarray], smallest: Sam | None = None) -> None:
        stored = [stored_embedding(sam, rgb) for rgb in images]
        self.embeddings = {embedding.pixels_sha256: embedding for embedding in stored}
        by_smallest = [] if smallest is None else [stored_embedding(smallest, x) for x in images]
        self.statistics = {
            embedding.pixels_sha256: np.concatenate([*embedding.statistics.values()])
            for embedding in by_smallest
        }

    def embedding(self, pixels_sha256: str) -> StoredEmbedding | None:
        return self.embeddings.get(pixels_sha256)

    def smallest_statistics(self, pixels_sha256: str) -> Statistics | None:
        return self.statistics.get(pixels_sha256)


def predictor_of(sam: Sam, model: str, smallest: Sam | None) -> UncertainPredictor:
    """A predictor that knows the training images of the heads that ship."""
    training_images = read_head_file(shipped_heads()).training_images
    heads = replace(random_heads(model), training_images=training_images)
    return UncertainPredictor(sam, heads, smallest=smallest)


def answers(predictor: UncertainPredictor) -> list[object]:
    masks, sam_score, logits = predictor.predict(**CLICK)
    again = predictor.predict(**CLICK, mask_input=logits[:1], multimask_output=False)
    uncertainty = predictor.predict_uncertainty(**CLICK)
    arrays = masks, sam_score, logits, *again, uncertainty.masks, uncertainty.expected_iou.own
    return [*(array.tobytes() for array in arrays), uncertainty.unlike_training]


@pytest.mark.no_cover
@pytest.mark.parametrize("model", ["tiny", "large"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_image_of_a_store_is_answered_without_encoding_by_the_same_bytes(
    model: str, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = Sam(built_mini(model), device=torch.device("cpu"), precision=precision)
    smallest = None if model == "tiny" else trained_mini("tiny")
    predictor = predictor_of(sam, model, smallest)
    predictor.set_image(drawn())
    expected = answers(predictor)
    assert expected[-1] is not None
    predictor.stored_images = stored = InMemory(sam, [drawn()], smallest)
    (embedding,) = stored.embeddings.values()
    refuse_to_encode(monkeypatch)
    predictor.set_image(drawn())
    assert answers(predictor) == expected
    for image in (drawn(), None):
        predictor.set_embedding(embedding, image)
        assert answers(predictor) == expected


def test_only_images_that_no_store_has_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [drawn(), drawn()[::-1].copy(), (drawn() / 255).astype(np.float32)]
    predictor = predictor_of(trained_mini(), "tiny", None)
    prompts = [CLICK["point_coords"]] * 3, [CLICK["point_labels"]] * 3
    predictor.set_image_batch(images)
    expected = predictor.predict_batch(*prompts)
    predictor.stored_images = InMemory(trained_mini(), images[:1])
    n_encoded: list[int] = []
    encode = Sam.encode_squares

    def counted(sam: Sam, squares: Any) -> Any:  # noqa: ANN401
        n_encoded.append(len(squares))
        return encode(sam, squares)

    monkeypatch.setattr(Sam, "encode_squares", counted)
    predictor.set_image_batch(images)
    assert sum(n_encoded) == 2
    # An encoder call of fewer images has other last digits.
    for arrays, others in zip(predictor.predict_batch(*prompts), expected, strict=True):
        for array, other in zip(arrays, others, strict=True):
            np.testing.assert_allclose(array, other, atol=1e-4)


def test_without_pixels_a_large_model_cannot_tell_whether_an_image_is_unlike() -> None:
    predictor = predictor_of(trained_mini("large"), "large", trained_mini("tiny"))
    embedding = stored_embedding(trained_mini("large"), drawn())
    predictor.set_embedding(embedding)
    assert predictor.predict_uncertainty(**CLICK).unlike_training is None
    predictor.set_embedding(embedding, drawn())
    assert predictor.predict_uncertainty(**CLICK).unlike_training is not None


def test_an_embedding_of_another_image_or_precision_is_refused() -> None:
    predictor = predictor_of(trained_mini(), "tiny", None)
    embedding = stored_embedding(trained_mini(), drawn())
    with pytest.raises(ValueError, match="must be of the same pixels as the image"):
        predictor.set_embedding(embedding, drawn()[::-1])
    other = Sam(built_mini(), device=torch.device("cpu"), precision="bf16")
    with pytest.raises(ValueError, match=r"must be of the precision fp32, got finer_level_bf16, "):
        predictor.set_embedding(stored_embedding(other, drawn()), drawn())
    with pytest.raises(TypeError, match=r"^embedding must be from read_embedding, got ndarray$"):
        check_embedding(np.zeros((1, 256, 64, 64)), "fp32")


def test_the_size_of_an_embedding_is_that_of_the_pixels_or_of_an_image_that_is_read() -> None:
    predictor = predictor_of(trained_mini(), "tiny", None)
    embedding = stored_embedding(trained_mini(), drawn())
    with pytest.raises(ValueError, match=r"1 to 178956970 pixels, got 2147483648 x 1$"):
        replace(embedding, size_px=(2**31, 1))
    predictor.set_embedding(embedding, drawn())
    expected = answers(predictor)
    predictor.set_embedding(replace(embedding, size_px=(9, 9)), drawn())
    assert answers(predictor) == expected


@pytest.mark.parametrize("model", ["tiny", "large"])
def test_masks_of_everything_are_the_same_bytes_without_encoding(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = trained_mini(model)
    smallest = None if model == "tiny" else trained_mini("tiny")
    predictor = predictor_of(sam, model, smallest)
    generator = UncertainMaskGenerator(predictor, **LENIENT)
    expected = generator.generate(drawn())
    predictor.stored_images = InMemory(sam, [drawn()], smallest)
    refuse_to_encode(monkeypatch)
    records = generator.generate(drawn())
    assert len(records) == len(expected) > 0
    for record, encoded in zip(records, expected, strict=True):
        assert record["unlike_training"] is not None
        np.testing.assert_equal(record, encoded)


def test_crops_of_a_stored_image_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = predictor_of(trained_mini(), "tiny", None)
    generator = UncertainMaskGenerator(predictor, **LENIENT, crop_n_layers=1)
    expected = generator.generate(drawn())
    predictor.stored_images = InMemory(trained_mini(), [drawn()])
    sizes: list[tuple[int, ...]] = []
    encode = Sam.encode

    def counted(sam: Sam, rgb: np.ndarray) -> Any:  # noqa: ANN401
        sizes.append(rgb.shape)
        return encode(sam, rgb)

    monkeypatch.setattr(Sam, "encode", counted)
    np.testing.assert_equal(generator.generate(drawn()), expected)
    assert len(sizes) == 4
    assert drawn().shape not in sizes
