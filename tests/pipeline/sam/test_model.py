"""The adapter says what the official predictor says, for a prompt set alone or among others."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.sam.building import build
from pipeline.sam.families import MINI_TRUNKS, models_of
from pipeline.sam.model import DeviceError, Sam, select_device
from tests.fixtures.official import OfficialPredictor
from tests.fixtures.transformers_models import small_families

CPU = torch.device("cpu")


def picture(height: int = 120, width: int = 200) -> np.ndarray:
    coarse = np.random.default_rng(5).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((height // 8, width // 10, 1), np.uint8))


@pytest.mark.no_cover
@pytest.mark.parametrize("model", MINI_TRUNKS)
def test_a_prompt_set_among_others_says_what_the_official_predictor_says(model: str) -> None:
    sam, rgb = Sam(build("mini", model, seed=1), device=CPU, precision="fp32"), picture()
    embedding = sam.encode(rgb)
    official = OfficialPredictor(build("mini", model, seed=1).eval())
    official.set_image(rgb)
    for n_clicks, i in product((1, 8), range(5)):
        points = np.random.default_rng(0).integers(0, 120, (5, n_clicks, 2)).astype(np.float32)
        decoded = sam.decode(embedding, points)
        said = official.predict(points[i], np.ones(rgb.shape[:2], bool))
        for name in ("logits", "sam_score", "iou_token", "mask_token", "object_score"):
            ours = getattr(decoded, name)[i].numpy()
            np.testing.assert_allclose(ours, said[name], rtol=0, atol=1e-5, err_msg=name)


class WeightCasts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the casts of a model's weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._weights = {weight.data_ptr() for weight in network.parameters()}
        self.n_casts = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if func.overloadpacket.__name__ in {"_to_copy", "to"}:
            self.n_casts += args[0].data_ptr() in self._weights
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", ["mini", "edgetam", "sam3"])
def test_weights_of_the_encoder_are_cast_once_to_the_bytes_of_autocast(family: str) -> None:
    with small_families():
        network = build(family, models_of(family)[0], seed=1).eval()
    plain = deepcopy(network)
    sam = Sam(network, device=CPU, precision="bf16")
    square = sam.square(picture())
    with WeightCasts(sam.model) as casts:
        embedding = sam.encode_square(square)
    assert casts.n_casts == 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        levels = plain.forward_image(square.pixels)["backbone_fpn"]
    for ours, expected in zip(embedding.high_res, levels, strict=False):
        assert torch.equal(ours, expected)


@pytest.mark.no_cover
def test_threads_that_share_a_model_get_the_answers_of_one_thread() -> None:
    sam = Sam(build("mini", "tiny", seed=1), device=CPU, precision="fp32")
    embedding, rng = sam.encode(picture()), np.random.default_rng(0)
    mask_input = rng.normal(0, 5, (1, 1, 64, 64)).astype(np.float32)

    def answer(n_prompts: int) -> list[np.ndarray]:
        points = np.full((n_prompts, 1, 2), 5.0 * n_prompts, np.float32)
        decoded = sam.decode(embedding, points, mask_input=mask_input)
        return [decoded.sam_score.numpy(), decoded.iou_token.numpy(), decoded.mask_token.numpy()]

    expected = [answer(n) for n in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(answer, 10 * list(range(1, 9))))
    for i, arrays in enumerate(answers):
        for found, wanted in zip(arrays, expected[i % 8], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_devices_go_by_name() -> None:
    assert select_device("cpu") == torch.device("cpu")
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
def test_all_threads_use_the_gpu_that_the_model_was_moved_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, moved = build("mini", "tiny", seed=1), SimpleNamespace(device=torch.device("cuda", 1))
    monkeypatch.setattr(type(model), "to", lambda module, _: module)
    monkeypatch.setattr(type(model), "requires_grad_", lambda module, **_: module)
    monkeypatch.setattr(type(model), "parameters", lambda _: iter([moved]))
    monkeypatch.setattr(torch, "tensor", lambda values, **_: torch.as_tensor(values))
    sam = Sam(model, device=torch.device("cuda"), precision="fp32")
    asked: list[object] = []

    def to(device: object, **_: object) -> torch.Tensor:
        asked.append(device)
        return torch.zeros(1)

    pinned = SimpleNamespace(to=to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda _: pinned)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(sam.upload, np.zeros(1)).result()
    assert asked == [torch.device("cuda", 1)]


@pytest.mark.usefixtures("inexact")
def test_a_model_on_cuda_computes_as_its_precision_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # The device apart, which this machine may lack.
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, _: module)
    monkeypatch.setattr(torch, "tensor", lambda values, **_: torch.as_tensor(values))
    Sam(build("mini", "tiny", seed=1), device=torch.device("cuda"), precision="fp32")
    assert all(getattr(place, name) is exact for place, name, exact in EXACT)
