"""The adapter says what the official predictor says, for a prompt set alone or among others."""

import numpy as np
import pytest
import torch

from pipeline.sam.building import build
from pipeline.sam.families import MINI_TRUNKS
from pipeline.sam.model import Sam
from tests.fixtures.official import OfficialPredictor

CPU = torch.device("cpu")


def mini(model: str = "tiny", precision: str = "fp32") -> Sam:
    return Sam(build("mini", model, seed=1), device=CPU, precision=precision)  # type: ignore[arg-type]


def picture(height: int = 120, width: int = 200) -> np.ndarray:
    coarse = np.random.default_rng(5).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((height // 8, width // 10, 1), np.uint8))


@pytest.mark.parametrize("model", MINI_TRUNKS)
@pytest.mark.parametrize("n_clicks", [1, 8])
def test_a_prompt_set_among_others_says_what_the_official_predictor_says(
    model: str, n_clicks: int
) -> None:
    sam, rgb = mini(model), picture()
    points = np.random.default_rng(0).integers(0, 120, (5, n_clicks, 2)).astype(np.float32)
    decoded = sam.decode(sam.encode(rgb), points)
    official = OfficialPredictor(build("mini", model, seed=1).eval())
    official.set_image(rgb)
    for i in range(5):
        said = official.predict(points[i], np.ones(rgb.shape[:2], bool))
        for name in ("logits", "sam_score", "iou_token", "mask_token", "object_score"):
            ours = getattr(decoded, name)[i].numpy()
            np.testing.assert_allclose(ours, said[name], rtol=0, atol=1e-5, err_msg=name)


def test_the_sizes_of_a_model_are_read_off_it() -> None:
    sam = mini()
    assert (sam.image_size_px, sam.mask_size_px, sam.n_channels) == (256, 64, 64)
    decoded = sam.decode(sam.encode(picture()), np.zeros((2, 1, 2), np.float32))
    assert decoded.logits.shape == (2, 3, 64, 64)
    assert decoded.mask_token.shape == (2, 4, 64)


def test_bf16_stays_near_fp32_and_gives_float32() -> None:
    points = np.full((1, 1, 2), 50, np.float32)
    full, half = (
        sam.decode(sam.encode(picture()), points) for sam in (mini(), mini(precision="bf16"))
    )
    assert half.logits.dtype == half.iou_token.dtype == torch.float32
    assert not torch.equal(full.iou_token, half.iou_token)
    torch.testing.assert_close(half.iou_token, full.iou_token, rtol=0.1, atol=0.1)
