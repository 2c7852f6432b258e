"""Points are embedded bit for bit as SAM2's prompt encoder embeds them."""

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch

from pipeline.sam.building import build
from pipeline.sam.families import models_of
from pipeline.sam.points import NO_POINT, PointEncoder
from tests.fixtures.transformers_models import small_families

LABELS = np.array([[1, 0, 2, 3, NO_POINT], [2, 3, 1, NO_POINT, 0]])


@pytest.mark.parametrize(
    "precision", [nullcontext(), torch.autocast("cpu", torch.bfloat16)], ids=["fp32", "bf16"]
)
@pytest.mark.parametrize("family", ["mini", "edgetam", "sam3"])
def test_every_kind_of_point_is_embedded_as_by_sam2(
    family: str, precision: AbstractContextManager[None]
) -> None:
    with small_families():
        encoder = build(family, models_of(family)[0], seed=0).sam_prompt_encoder
    points = np.random.default_rng(0).uniform(-9, 300, (*LABELS.shape, 2)).astype(np.float32)
    with torch.inference_mode(), precision:
        expected, _ = encoder((torch.from_numpy(points), torch.from_numpy(LABELS)), None, None)
        ours = PointEncoder(encoder)
        places, rows = ours.prepare(points, LABELS)
        embedded = ours.embed(torch.from_numpy(places), torch.from_numpy(rows))
    assert torch.equal(embedded, expected)
