"""Weights that a larger trunk starts with: it computes what the smaller one does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.sam import families
from pipeline.sam.building import build, fit_weights
from pipeline.sam.families import FAMILIES, MINI_TRUNKS, MiniTrunk
from tools.family.forward import Prompts, decode, encode
from tools.family.starts import grown

SMALL = MINI_TRUNKS["small"]


@pytest.mark.parametrize(
    "larger",
    [SMALL, MiniTrunk(24, SMALL.depths), MiniTrunk(12, (2, 1, 4, 1)), MiniTrunk(24, (2, 1, 4, 1))],
    ids=["same", "wider", "deeper", "both"],
)
def test_a_grown_trunk_computes_what_the_smaller_one_does(
    larger: MiniTrunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(FAMILIES["mini"], models={"tiny": larger})
    monkeypatch.setattr(families, "FAMILIES", {**FAMILIES, "grown": one})
    small, large = build("mini", "small", seed=3), build("grown", "tiny", seed=4)
    fit_weights(large, grown(small.state_dict(), SMALL, larger, seed=0), source="small")
    rgb = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    clicks = Prompts(np.array([[[20, 30]], [[60, 40]]], np.float32), np.ones((2, 1), np.int32))
    with torch.no_grad():
        expected, answer = (decode(model, encode(model, rgb), clicks) for model in (small, large))
    torch.testing.assert_close(answer.logits, expected.logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(answer.sam_score, expected.sam_score, rtol=1e-3, atol=1e-4)


def test_channels_that_were_one_are_read_differently() -> None:
    weights = build("mini", "small", seed=3).state_dict()
    wider = grown(weights, SMALL, MiniTrunk(24, SMALL.depths), seed=0)
    read = wider["image_encoder.trunk.blocks.1.mlp.layers.0.weight"]
    assert not torch.isclose(read[:, ::2], read[:, 1::2]).any(dim=0).all()
