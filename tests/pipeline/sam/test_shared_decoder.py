"""What prompt sets share is computed once, and every array stays that of the official decoder."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import product
from typing import Any, Final

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.sam.building import build
from pipeline.sam.families import MINI_TRUNKS
from pipeline.sam.model import Decoded, Embedding, Sam
from pipeline.scenes.scene import draw_scene
from tests.fixtures.official import OfficialPredictor
from tests.fixtures.predictors import drawn, trained_mini

ARRAYS: Final = ("logits", "sam_score", "iou_token", "mask_token", "object_score")

Prompts = dict[str, Any]
"""Arguments of ``Sam.decode`` but the embedding."""


def clicks(n_sets: int, n_clicks: int = 1) -> np.ndarray:
    points = np.random.default_rng(n_clicks).uniform(0, 192, (n_sets, n_clicks, 2))
    return points.astype(np.float32)


PROMPTS: Final[dict[str, Prompts]] = {
    "clicks": {"points": clicks(5)},
    "eight clicks": {"points": clicks(3, 8)},
    "more clicks than channels": {"points": clicks(2, 70)},
    "boxes with clicks": {
        "points": clicks(4, 4),
        "labels": np.tile(np.array([[2, 3, 1, 0]]), (4, 1)),
    },
    "single masks": {"points": clicks(5), "multimask_output": False},
    "nothing": {"points": None},
}


def assert_same(found: Decoded, expected: Decoded, rows: slice = slice(None)) -> None:
    """Arrays agree within 1e-5; of numbers above 1, relative to the largest."""
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(expected, name)[rows]
        allowed = 1e-5 * max(1, float(other.abs().max()))
        torch.testing.assert_close(one, other, rtol=0, atol=allowed)


@pytest.fixture(scope="module", params=MINI_TRUNKS)
def seen(request: pytest.FixtureRequest) -> tuple[Sam, Embedding]:
    """A trained model, and an image that it has encoded."""
    sam = trained_mini(request.param)
    return sam, sam.encode(drawn())


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
def test_prompt_sets_of_any_kind_get_the_arrays_of_the_plain_decoder(
    prompts: Prompts, seen: tuple[Sam, Embedding]
) -> None:
    sam, embedding = seen
    assert_same(sam.decode(embedding, **prompts), sam.decode_plainly(embedding, **prompts))


def test_a_prompt_set_is_the_same_alone_and_among_others(seen: tuple[Sam, Embedding]) -> None:
    sam, embedding = seen
    points = clicks(40)  # more than are upscaled at once
    among = sam.decode(embedding, points)
    for i in (0, 17, 39):
        assert_same(sam.decode(embedding, points[i : i + 1]), among, slice(i, i + 1))


@pytest.mark.full_size
@pytest.mark.parametrize("model", ["tiny", "large"])
def test_at_full_size_every_array_is_the_official_predictor_s(model: str) -> None:
    sam = Sam(build("sam2.1", model, seed=1), device=torch.device("cpu"), precision="fp32")
    official = OfficialPredictor(build("sam2.1", model, seed=1).eval())
    official.set_image(drawn())
    embedding = sam.encode(drawn())
    for n_clicks in (1, 8):
        points = clicks(3, n_clicks)
        found = sam.decode(embedding, points)
        for i in range(3):
            said = official.predict(points[i], np.ones(drawn().shape[:2], bool))
            expected: list[Any] = [torch.tensor(said[name])[None] for name in ARRAYS]
            rows: list[Any] = [getattr(found, name)[i : i + 1] for name in ARRAYS]
            assert_same(Decoded(*rows), Decoded(*expected))


@pytest.mark.no_cover
@pytest.mark.parametrize("model", ["tiny", "large"])
def test_bf16_is_no_farther_from_fp32_than_that_of_the_plain_decoder(model: str) -> None:
    full = trained_mini(model)
    half = Sam(deepcopy(full.model), device=full.device, precision="bf16")
    assert half.decode(half.encode(drawn()), clicks(1)).logits.dtype == torch.float32
    errors: dict[str, list[list[float]]] = {"decode": [], "decode_plainly": []}
    for seed, points in product(range(4), (clicks(6), clicks(6, 8))):
        rgb = draw_scene(seed, 256).rgb
        expected = full.decode_plainly(full.encode(rgb), points)
        rounded = half.encode(rgb)
        for name, own in errors.items():
            found = getattr(half, name)(rounded, points)
            own.append([rms(getattr(found, a) - getattr(expected, a)) for a in ARRAYS])
    # Some pixels near 0 move far by either: the mean would be theirs.
    shared, plain = (np.median(own, axis=0) for own in errors.values())
    assert (shared <= plain).all()
    assert (shared > 0).all()


def rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


@contextmanager
def counting(modules: dict[str, nn.Module]) -> Iterator[dict[str, int]]:
    """How many calls of each module there are, meanwhile."""
    counts = dict.fromkeys(modules, 0)

    def count(name: str) -> None:
        counts[name] += 1

    hooks = [
        module.register_forward_hook(lambda *_, name=name: count(name))
        for name, module in modules.items()
    ]
    yield counts
    for hook in hooks:
        hook.remove()


def test_projections_of_cells_are_computed_with_the_image_and_those_of_places_before() -> None:
    sam = trained_mini()
    transformer = sam.model.sam_mask_decoder.transformer
    attentions = {
        f"{i} {name}": getattr(layer, name)
        for i, layer in enumerate(transformer.layers)
        for name in ("cross_attn_token_to_image", "cross_attn_image_to_token")
    }
    of_cells = {
        name: attention.q_proj if "image_to_token" in name else attention.k_proj
        for name, attention in attentions.items()
    } | {"final": transformer.final_attn_token_to_image.k_proj}
    with counting(of_cells) as counts:
        embedding = sam.encode(drawn())
        of_first = {name: int(name.startswith("0 ")) for name in of_cells}
        assert counts == of_first
        sam.decode(embedding, clicks(5))
        sam.decode(embedding, clicks(3, 8))
        assert counts == of_first


def test_only_prompt_sets_with_a_mask_go_through_the_official_decoder() -> None:
    sam = trained_mini()
    embedding = sam.encode(drawn())
    mask = np.zeros((1, 1, sam.mask_size_px, sam.mask_size_px), np.float32)
    with counting({"official": sam.model.sam_mask_decoder}) as counts:
        sam.decode(embedding, clicks(5))
        assert counts == {"official": 0}
        given = sam.decode(embedding, clicks(5), mask_input=mask)
        assert counts == {"official": 1}
    assert_same(given, sam.decode_plainly(embedding, clicks(5), mask_input=mask))
