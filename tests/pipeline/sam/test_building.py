"""Models are built from a seed, and take the weights of their own architecture alone."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.sam.building import IMAGE_PATH, ArchitectureError, build, fit_weights, load_weights


def test_building_is_seeded_and_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build("mini", "tiny", seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not all(torch.equal(one[k], other[k]) for k in one)


def test_weights_come_back_from_a_file(tmp_path: Path) -> None:
    trained = build("mini", "tiny", seed=1)
    path = str(tmp_path / "tiny.safetensors")
    kept = {k: v for k, v in trained.state_dict().items() if k.startswith(IMAGE_PATH)}
    save_file({k: v.contiguous() for k, v in kept.items()}, path)
    model = build("mini", "tiny", seed=2)
    fit_weights(model, load_weights(path), source=path)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in kept.items())


def test_meta_s_files_are_read_without_their_pickle(tmp_path: Path) -> None:
    path = str(tmp_path / "tiny.pt")
    torch.save({"model": {"no_mem_embed": torch.ones(2)}}, path)
    assert torch.equal(load_weights(path)["no_mem_embed"], torch.ones(2))


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
