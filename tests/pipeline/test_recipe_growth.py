"""A grown model says what the small one said."""

from typing import Any

import pytest
import torch

from pipeline.families import MINI_TRUNKS, MiniTrunk
from pipeline.recipe_batches import BatchPlan, draw_batch
from pipeline.recipe_growth import grow
from pipeline.recipe_training import forward
from pipeline.sam import build

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


@pytest.mark.parametrize("model", ["tiny", "base_plus", "large"])
def test_growth_to_a_multiple_of_the_width_changes_no_answer(model: str) -> None:
    small, large = grown_to(model)
    with torch.no_grad():
        for said, expected in zip(forward(large, BATCH), forward(small, BATCH), strict=True):
            torch.testing.assert_close(said, expected, rtol=1e-4, atol=1e-5)


def test_growth_to_another_width_nearly_keeps_the_answers() -> None:
    small, large = grown_to("small")
    with torch.no_grad():
        said, expected = forward(large, BATCH)[0], forward(small, BATCH)[0]
        unrelated = forward(build("mini", "small", seed=2), BATCH)[0]
    assert (said - expected).std() < 0.5 * (unrelated - expected).std()


def test_copies_of_a_channel_differ_in_what_reads_them() -> None:
    _, large = grown_to("base_plus")
    weight = large.image_encoder.trunk.blocks[0].mlp.layers[0].weight
    assert torch.equal(weight[:64].sum(1), weight[64:].sum(1)) is False
    assert not torch.isclose(weight[:, :16], weight[:, 16:]).any(dim=0).all()


def test_growth_follows_from_its_generator() -> None:
    states = [grown_to("large", seed)[1].state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
    assert not all(torch.equal(states[0][key], value) for key, value in states[2].items())


def test_a_model_cannot_grow_smaller() -> None:
    for large in (MiniTrunk(8, (1, 1, 3, 1)), MiniTrunk(32, (1, 1, 2, 1))):
        with pytest.raises(ValueError, match=r"trunk must be as large as MiniTrunk\(width=16"):
            grow({}, {}, small=MINI_TRUNKS["tiny"], large=large, generator=torch.Generator())
