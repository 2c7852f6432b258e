"""A device goes by its name, and CUDA computes as exactly as a model asks."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipeline.sam.building import build
from pipeline.sam.device import DeviceError, select_device
from pipeline.sam.model import Sam


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
def test_a_model_on_cuda_computes_as_its_precision_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # The device apart, which this machine may lack.
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, _: module)
    monkeypatch.setattr(torch, "tensor", lambda values, **_: torch.as_tensor(values))
    Sam(build("mini", "tiny", seed=1), device=torch.device("cuda"), precision="fp32")
    assert all(getattr(place, name) is exact for place, name, exact in EXACT)
