"""The recipe's schedule, the start of its models and its steps, at a size that takes seconds."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.sam.building import IMAGE_PATH, build
from pipeline.sam.families import MINI_TRUNKS
from tests.fixtures.mini import MODELS
from tools.family.images import BatchPlan
from tools.family.prompts import CorrectionPlan
from tools.family.recipe import Phase, Recipe, draw_step, learning_rate
from tools.family.starts import NECK_SCALE, attentive, versatile
from tools.family.training import RATED_WIDTH, Training

pytestmark = pytest.mark.full_size

FULL = Phase(
    "full", 2, 96, "scene", "overlap", (5e-4, 0.0), n_objects=3, corrected=CorrectionPlan(2)
)

SMALL = Recipe(
    batches=BatchPlan(seed=5, scene_size_px=96, n_images=2),
    phases=(
        Phase("place", 2, 32, "cartoon", "balanced", (1e-3, 1e-3), is_encoder_frozen=True),
        Phase("outline", 1, 32, "cartoon", "overlap", (1e-3, 1e-3), n_warm_up=2),
        Phase("scene", 2, 32, "scene", "overlap", (1e-3, 5e-4), is_framed=True),
        replace(FULL, is_anew=True, is_made_versatile=True),
        replace(FULL, name="gain", n_steps=1, gain_weight=1.0, is_anew=True),
    ),
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def run(training: Training, n_steps: int) -> list[dict[str, float]]:
    return [training.learn(draw_step(training.recipe, training.step)) for _ in range(n_steps)]


def bytes_of(training: Training) -> dict[str, bytes]:
    return {
        f"{name}.{key}": value.numpy().tobytes()
        for name, model in training.models.items()
        for key, value in model.state_dict().items()
    }


def test_twenty_steps_lower_the_loss_of_every_member() -> None:
    phase = Phase("place", 20, 64, "cartoon", "balanced", (2e-3, 2e-3), n_warm_up=5)
    plan = BatchPlan(seed=1, scene_size_px=64, n_images=4)
    by_step = run(Training(Recipe(plan, (phase,))), 20)
    for model in MODELS:
        losses = [by_model[model] for by_model in by_step]
        assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5]), model


def test_a_resumed_training_equals_an_undisturbed_one_and_leaves_the_global_seed_alone(
    undisturbed: dict[str, bytes],
) -> None:
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    stopped, resumed = Training(SMALL), Training(SMALL)
    run(stopped, 3)
    resumed.load_state_dict(stopped.state_dict())
    run(resumed, SMALL.n_steps - 3)
    assert torch.rand(1) == expected
    assert bytes_of(resumed) == undisturbed
    assert resumed.is_done


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, bytes]:
    training = Training(SMALL)
    run(training, SMALL.n_steps)
    return bytes_of(training)


def test_a_phase_that_begins_anew_begins_with_weights_as_they_are_published(
    undisturbed: dict[str, bytes],
) -> None:
    n_before = SMALL.n_steps - SMALL.phases[-1].n_steps
    training = Training(SMALL)
    run(training, n_before)
    begun = Training(SMALL)
    for name, own in training.image_path_weights().items():
        published = {key: torch.from_numpy(own[key].astype(np.float16)).float() for key in own}
        begun.models[name].load_state_dict(published, strict=False)
    begun.step = n_before
    run(begun, SMALL.phases[-1].n_steps)
    assert bytes_of(begun) == undisturbed


@pytest.mark.parametrize("is_made_versatile", [False, True])
def test_a_phase_changes_published_weights_only_to_make_them_versatile(
    is_made_versatile: bool,
) -> None:
    still = replace(
        FULL, n_steps=1, rate=(0.0, 0.0), is_anew=True, is_made_versatile=is_made_versatile
    )
    training = Training(replace(SMALL, phases=(still,)))
    published = {
        key: value.half().float() if key.startswith(IMAGE_PATH) else value
        for key, value in training.models["tiny"].state_dict().items()
    }
    expected = versatile(published) if is_made_versatile else published
    run(training, 1)
    found = training.models["tiny"].state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


def test_a_frozen_encoder_stays_as_it_was_while_the_decoder_learns() -> None:
    training = Training(SMALL)
    run(training, 1)
    before = bytes_of(training)
    run(training, 1)
    changed = {name for name, value in bytes_of(training).items() if value != before[name]}
    assert changed
    assert not any("image_encoder" in name for name in changed)
    run(training, 1)
    assert any(
        value != before[name] for name, value in bytes_of(training).items() if ".trunk." in name
    )


def rates_of(training: Training, model: str) -> dict[str, float]:
    """Learning rate of every weight of a member."""
    names = {weight: name for name, weight in training.models[model].named_parameters()}
    groups = training._optimizers[model].param_groups
    return {names[weight]: group["lr"] for group in groups for weight in group["params"]}


def test_all_start_with_the_decoder_of_the_recipe_and_an_encoder_of_their_own() -> None:
    def start(recipe: Recipe) -> dict[str, dict[str, torch.Tensor]]:
        return {name: model.state_dict() for name, model in Training(recipe).models.items()}

    members, others = start(SMALL), start(replace(SMALL, decoder_seed=1))
    patches, token = "image_encoder.trunk.patch_embed.proj.weight", "sam_mask_decoder.iou_token"
    for name in MODELS:
        own = members[name]
        decoder = {key for key in own if not key.startswith("image_encoder.")}
        assert all(torch.equal(own[key], members["tiny"][key]) for key in decoder)
        assert torch.equal(own[patches], others[name][patches])
        assert not torch.equal(own[f"{token}.weight"], others[name][f"{token}.weight"])
    n_shared = MINI_TRUNKS["tiny"].width
    assert not torch.equal(members["small"][patches][:n_shared], members["tiny"][patches])


def test_what_reads_a_wider_trunk_learns_at_a_rate_that_falls_with_the_width() -> None:
    training = Training(SMALL)
    run(training, 1)
    for model in MODELS:
        # The first block of the second stage, which alone has a projection.
        block = f"image_encoder.trunk.blocks.{MINI_TRUNKS[model].depths[0]}."
        slower = 1e-3 * (RATED_WIDTH / MINI_TRUNKS[model].width)
        rates = rates_of(training, model)
        assert set(rates.values()) == {1e-3, slower}
        for name in ("attn.qkv.weight", "attn.proj.weight", "mlp.layers.0.weight", "proj.weight"):
            assert rates[block + name] == pytest.approx(slower)
        assert rates["image_encoder.neck.convs.0.conv.weight"] == pytest.approx(slower)
        for name in ("image_encoder.trunk.patch_embed.proj.weight", block + "norm1.weight"):
            assert rates[name] == 1e-3
        decoder = {rate for name, rate in rates.items() if name.startswith("sam_mask_decoder")}
        assert decoder == {1e-3}


def test_a_loss_that_is_no_number_names_the_member_and_the_step() -> None:
    training = Training(SMALL)
    run(training, 1)
    before = bytes_of(training)
    batch = draw_step(SMALL, 1)
    broken = replace(batch, point_px=batch.point_px * np.float32("nan"))
    with pytest.raises(FloatingPointError, match=r"loss of \w+ must be finite, got nan at step 1"):
        training.learn(broken)
    assert bytes_of(training) == before


def test_the_rate_warms_up_and_then_runs_straight() -> None:
    phase = Phase("x", 10, 64, "scene", "overlap", (1.0, 0.0), n_warm_up=4)
    rates = [learning_rate(phase, step) for step in range(10)]
    assert rates[:3] == pytest.approx([0.25, 0.5 * 0.9, 0.75 * 0.8])
    assert rates[3:] == pytest.approx([1 - step / 10 for step in range(3, 10)])
    assert learning_rate(replace(phase, n_warm_up=0), 0) == 1.0


BUILT = build("mini", "tiny", seed=4).state_dict()
STARTED = attentive(BUILT)


def test_only_the_decoders_attention_the_neck_and_the_prompts_change() -> None:
    changed = {name for name, value in BUILT.items() if not torch.equal(value, STARTED[name])}
    assert list(STARTED) == list(BUILT)
    assert all(
        any(part in name for part in ("_attn", "neck.convs", "sam_prompt_encoder"))
        for name in changed
    )
    assert not any("self_attn" in name or "v_proj" in name for name in changed)
    neck = "image_encoder.neck.convs.0.conv.weight"
    assert torch.equal(STARTED[neck], NECK_SCALE * BUILT[neck])
