"""On a GPU, nothing waits within an image, and its rows come at once."""

from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any, Final

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.extraction.predictions import Request, extract_objects
from pipeline.prompts import sample_prompts
from pipeline.sam.model import Sam
from pipeline.scenes.scene import draw_scene
from pipeline.upsampling import count_pixels_by_torch
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from tests.fixtures.predictors import trained_mini

WAITING: Final = ("item", "cpu", "numpy", "tolist", "nonzero", "__bool__", "__int__", "__float__")
"""Methods of a tensor that wait for its device."""


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that wait: reading a number, and shapes that depend on values."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        name = func.overloadpacket.__name__
        indices = args[1] if name in {"index", "index_put_", "index_put"} else ()
        if name in {"_local_scalar_dense", "nonzero", "masked_select"} or any(
            one is not None and one.dtype in {torch.bool, torch.uint8} for one in indices
        ):
            self._counts[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each way of waiting is gone, meanwhile."""
    found: Counter[str] = Counter()

    def counted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            found[name] += 1
            return method(*args, **kwargs)

        return called

    for name in WAITING:
        monkeypatch.setattr(torch.Tensor, name, counted(name, getattr(torch.Tensor, name)))
    with Waits(found):
        yield found


def far(sam: Sam, wait: Callable[[], None]) -> Sam:
    """A model that says it is on a GPU, with a CPU to stand in for it."""
    one = copy(sam)
    one.device = torch.device("cuda")
    one.upload = torch.from_numpy  # type: ignore[assignment, method-assign]
    one.wait = wait  # type: ignore[method-assign]
    return one


@pytest.mark.no_cover
def test_nothing_waits_for_a_gpu_before_an_image_is_done(
    counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sam, scene = trained_mini(), draw_scene(3, 96)
    masks = scene.masks[:2]
    points = np.stack([sample_prompts(mask, i) for i, mask in enumerate(masks)])
    request = Request(points, masks, default_view("vflip"), PROMPTS)
    embedding = sam.encode(scene.rgb)
    waited: list[Counter[str]] = []
    counts.clear()
    on_gpu = far(sam, lambda: waited.append(counts.copy()))
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.extraction.iou.count_pixels", count_pixels_by_torch)
        found = extract_objects(on_gpu, embedding, request, batch=4, with_masks=True)
    assert waited == [Counter()]
    expected = extract_objects(sam, embedding, request, batch=4, with_masks=True)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert found[name].dtype == values.dtype


def test_ways_of_waiting_are_counted(counts: Counter[str]) -> None:
    tensor = torch.arange(3)
    tensor[tensor > 1].sum().item()
    tensor.cpu()
    if tensor[0] == 0:
        tensor.tolist()
    assert {"index", "item", "cpu", "__bool__", "tolist"} <= counts.keys()
