"""Heads side by side, against one after the other."""

import numpy as np
import pytest

from pipeline.heads.predict import predict
from pipeline.predictor.proposal_heads import ProposalHeads, stack_heads
from storage.head_files.head_file import read_head_file, shipped_heads
from tests.fixtures.predictors import random_heads


def shipped() -> ProposalHeads:
    """Heads whose inputs are standardised."""
    weights = read_head_file(shipped_heads("mini")).weights
    return ProposalHeads("tiny", random_heads(kind="ours").head_set, weights)


@pytest.mark.parametrize("n_rows", [1, 3, 96])
@pytest.mark.parametrize("heads", [random_heads(), shipped()], ids=["paper", "shipped"])
def test_together_heads_say_what_each_says_alone(heads: ProposalHeads, n_rows: int) -> None:
    width = heads.weights["iou_tiny"]["layers.0.weight"].shape[1]
    inputs = np.random.default_rng(0).normal(size=(n_rows, width)).astype(np.float32)
    expected = predict(heads.weights, inputs)
    found = heads.stacked.predict(inputs)
    assert list(found) == list(expected)
    for objective, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[objective], rtol=1e-6, atol=1e-6)


def test_heads_of_different_shapes_are_refused() -> None:
    narrow = random_heads(n_channels=32).weights
    mixed = {**random_heads().weights, "iou_large": narrow["iou_large"]}
    with pytest.raises(ValueError, match="head iou_large must be of the shape of head iou_tiny"):
        stack_heads(mixed)
