"""Models are built from a seed, and take the weights of their own architecture alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.sam.building import ArchitectureError, build, fit_weights
from pipeline.sam.families import FAMILIES, Family
from pipeline.sam.model import Sam


def test_building_is_seeded_and_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (build("mini", "tiny", seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_encoder.trunk.pos_embed": None}, "got no 'image_encoder.trunk.pos_embed' \\(1"),
        ({"mask_decoder.extra": torch.ones(1)}, "got an unknown 'mask_decoder.extra' \\(1 such"),
        ({"no_mem_embed": torch.ones(3)}, "got a differently shaped 'no_mem_embed' \\(1 such"),
    ],
)
def test_weights_of_another_architecture_are_refused(
    change: dict[str, torch.Tensor | None], message: str
) -> None:
    model = build("mini", "tiny", seed=1)
    merged = {**model.state_dict(), **change}
    weights = {name: tensor for name, tensor in merged.items() if tensor is not None}
    with pytest.raises(ArchitectureError, match=f"weights in tiny.pt must fit .*{message}"):
        fit_weights(model, weights, source="tiny.pt")


def test_unknown_family_and_model_are_refused() -> None:
    with pytest.raises(ValueError, match=r"family must be one of mini, .*, got 'sam9'"):
        build("sam9", "tiny", seed=0)
    with pytest.raises(ValueError, match=r"model must be one of large, got 'tiny'"):
        build("sam3", "tiny", seed=0)
    with pytest.raises(ValueError, match=r"model must be one of tiny, .*, got 'huge'"):
        build("mini", "huge", seed=0)


SIZES_512: dict[str, Any] = {"image_size_px": 512, "mask_side_px": 128}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "row",
    [
        Family({"tiny": "configs/sam2.1/sam2.1_hiera_t.yaml"}, **SIZES_512),
        replace(FAMILIES["mini"], **SIZES_512),
    ],
    ids=["sam2", "mini"],
)
def test_a_row_alone_makes_a_family_of_another_image_size(
    monkeypatch: pytest.MonkeyPatch, row: Family
) -> None:
    monkeypatch.setitem(FAMILIES, "mini", row)
    sam = Sam(build("mini", "tiny", seed=0), device=torch.device("cpu"), precision="fp32")
    assert (sam.image_size_px, sam.mask_size_px, sam.n_channels) == (512, 128, row.n_channels)
    decoded = sam.decode(sam.encode(np.zeros((60, 80, 3), np.uint8)), np.full((1, 1, 2), 9.0))
    assert decoded.logits.shape == (1, 3, 128, 128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_side_px": 128}, r"mask_side_px of the family of \w+ tiny must be .*, 64, got 128"),
        ({"image_size_px": 512}, r"mask_side_px of .* the model's, 128, got 64"),
    ],
)
def test_sizes_that_a_row_declares_are_those_of_its_models(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setitem(FAMILIES, "mini", replace(FAMILIES["mini"], **changes))
    with pytest.raises(ArchitectureError, match=message):
        build("mini", "tiny", seed=0)
