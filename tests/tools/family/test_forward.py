"""SAM2 with gradients says what SAM2 without them says."""

import numpy as np
import pytest
import torch

from pipeline.sam import Sam, build
from pipeline.sam.families import MINI_IMAGE_SIZE_PX
from tools.family.batches import Frame
from tools.family.forward import Encoded, Prompts, decode, encode

CLICKS = np.array([[[20, 30]], [[60, 40]], [[10, 50]], [[33, 7]]], np.float32)
"""Two objects in each of two images."""


def images(size_px: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, size_px, size_px, 3), np.uint8)


MORE: dict[str, np.ndarray] = {
    "a click": np.ones((4, 1), np.int32),
    "a background click": np.zeros((4, 1), np.int32),
    "a box": np.tile(np.array([2, 3], np.int32), (4, 1)),
    "a corrected box": np.tile(np.array([2, 3, 1, 0], np.int32), (4, 1)),
}


@pytest.mark.parametrize("label", MORE.values(), ids=MORE)
@pytest.mark.parametrize("has_mask", [False, True])
def test_answers_are_those_of_the_model_that_extracts(label: np.ndarray, has_mask: bool) -> None:
    model, rgb = build("mini", "tiny", seed=3), images(MINI_IMAGE_SIZE_PX)
    generator = np.random.default_rng(1)
    points = np.concatenate([CLICKS, generator.uniform(0, 256, (4, 3, 2))], axis=1)
    points = points[:, : label.shape[1]].astype(np.float32)
    mask = generator.standard_normal((4, 1, 64, 64)).astype(np.float32) if has_mask else None
    given = None if mask is None else torch.from_numpy(mask)
    with torch.no_grad():
        answer = decode(model, encode(model, rgb), Prompts(points, label, given))
    sam = Sam(model, device=torch.device("cpu"), precision="fp32")
    for image, rows in enumerate((slice(0, 2), slice(2, 4))):
        for masks, is_multimask in ((slice(1, 4), True), (slice(0, 1), False)):
            expected = sam.decode(
                sam.encode(rgb[image]),
                points[rows],
                labels=label[rows],
                mask_input=None if mask is None else mask[rows],
                multimask_output=is_multimask,
            )
            for own, theirs in (
                (answer.logits[rows, masks], expected.logits),
                (answer.sam_score[rows, masks], expected.sam_score),
                (answer.object_score[rows], expected.object_score),
            ):
                torch.testing.assert_close(own, theirs, rtol=0, atol=2e-5)


def test_a_tile_in_a_frame_has_the_places_of_the_frame() -> None:
    model = build("mini", "tiny", seed=3)
    with torch.no_grad():
        whole = encode(model, images(128))
        framed = encode(model, images(64), Frame(128, (16, 48)))
        alone = encode(model, images(64))
    assert torch.equal(framed.position, whole.position[:, :, 3:7, 1:5])
    assert not torch.equal(framed.position, alone.position)
    prompts = Prompts(CLICKS, MORE["a click"])
    moved = Prompts(CLICKS + np.array([16, 48], np.float32), MORE["a click"])
    with torch.no_grad():
        first, second = decode(model, framed, prompts), decode(model, framed, moved)
        encoded = Encoded(framed.levels, framed.position, (0, 0))
        placed = decode(model, encoded, moved)
    assert torch.equal(first.logits, placed.logits)
    assert not torch.equal(first.logits, second.logits)
