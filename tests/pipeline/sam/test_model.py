"""The adapter says what the official predictor says, for a prompt set alone or among others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.sam.building import IMAGE_PATH, ArchitectureError, build, fit_weights, load_weights
from pipeline.sam.families import MINI_TRUNKS
from pipeline.sam.model import DeviceError, Sam, select_device
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


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="must fit the model's architecture"):
        fit_weights(
            build("mini", "tiny", seed=1), build("mini", "large", seed=1).state_dict(), source="x"
        )


def test_unknown_family_and_model_are_refused() -> None:
    with pytest.raises(ValueError, match=r"family must be one of mini, sam2, sam2.1, got 'sam3'"):
        build("sam3", "tiny", seed=0)
    with pytest.raises(ValueError, match=r"model must be one of tiny, .*, got 'huge'"):
        build("mini", "huge", seed=0)


def test_devices_go_by_name() -> None:
    assert select_device("cpu") == CPU
    assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(DeviceError, match="must be one of auto, cpu, cuda, got 'tpu'"):
        select_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match="where torch sees no GPU, got 'cuda'"):
        select_device("cuda")


def test_cuda_is_taken_where_torch_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert select_device("auto") == select_device("cuda") == torch.device("cuda")


EXACT: tuple[tuple[Any, str, bool], ...] = (
    (torch.backends.cudnn, "allow_tf32", False),
    (torch.backends.cuda.matmul, "allow_tf32", False),
    (torch.backends.cudnn, "deterministic", True),
    (torch.backends.cudnn, "benchmark", False),
)


@pytest.fixture
def inexact() -> Iterator[None]:
    """Every flag the other way round, meanwhile."""
    before = [getattr(place, name) for place, name, _ in EXACT]
    for place, name, exact in EXACT:
        setattr(place, name, not exact)
    yield
    for (place, name, _), value in zip(EXACT, before, strict=True):
        setattr(place, name, value)


@pytest.mark.usefixtures("inexact")
def test_a_model_on_cuda_computes_as_its_precision_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # The device apart, which this machine may lack.
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, _: module)
    monkeypatch.setattr(torch, "tensor", lambda values, **_: torch.as_tensor(values))
    Sam(build("mini", "tiny", seed=1), device=torch.device("cuda"), precision="fp32")
    assert all(getattr(place, name) is exact for place, name, exact in EXACT)
