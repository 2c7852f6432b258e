"""A grown model says what the small one said."""

from typing import Any

import pytest
import torch

from pipeline.families import MINI_TRUNKS, MiniTrunk
from pipeline.recipe_batches import BatchPlan, draw_batch
from pipeline.recipe_growth import grow
from pipeline.recipe_training import forward
from pipeline.sam import build
from pipeline.vocabulary import MODELS

PLAN = BatchPlan(seed=2, scene_size_px=64, n_images=2, n_objects=2)
BATCH = draw_batch(PLAN, 0, size_px=64, style="scene")


def grown_to(model: str, seed: int = 0) -> tuple[Any, Any]:
    small, large = build("mini", "tiny", seed=1), build("mini", model, seed=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        # As built, biases and position embeddings are zero: nothing would tell where they go.
        for weight in small.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.05)
    weights = grow(
        small.state_dict(),
        large.state_dict(),
        small=MINI_TRUNKS["tiny"],
        large=MINI_TRUNKS[model],
        generator=torch.Generator().manual_seed(seed),
    )
    large.load_state_dict(weights)
    return small, large


@pytest.mark.parametrize("model", MODELS)
def test_growth_changes_no_answer(model: str) -> None:
    small, large = grown_to(model)
    with torch.no_grad():
        for said, expected in zip(forward(large, BATCH), forward(small, BATCH), strict=True):
            torch.testing.assert_close(said, expected, rtol=1e-4, atol=1e-5)


def test_copies_of_a_channel_differ_in_what_reads_them() -> None:
    _, large = grown_to("base_plus")
    weight = large.image_encoder.trunk.blocks[0].mlp.layers[0].weight
    width = MINI_TRUNKS["tiny"].width
    assert not torch.isclose(weight[:, :width], weight[:, width : 2 * width]).any(dim=0).all()


def test_growth_follows_from_its_generator() -> None:
    states = [grown_to("large", seed)[1].state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
    assert not all(torch.equal(states[0][key], value) for key, value in states[2].items())


@pytest.mark.parametrize(
    "large",
    [
        pytest.param(MiniTrunk(4, (1, 1, 2, 1)), id="narrower"),
        pytest.param(MiniTrunk(12, (1, 1, 2, 1)), id="no multiple"),
        pytest.param(MiniTrunk(16, (1, 1, 1, 1)), id="shallower"),
    ],
)
def test_a_trunk_that_cannot_say_the_same_is_refused(large: MiniTrunk) -> None:
    with pytest.raises(ValueError, match=r"as deep as MiniTrunk\(width=8.*got MiniTrunk\(width="):
        grow({}, {}, small=MINI_TRUNKS["tiny"], large=large, generator=torch.Generator())
