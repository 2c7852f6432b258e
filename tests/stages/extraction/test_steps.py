"""Masks are scored and coded beside the next decoder call; nothing else changes."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.extraction.predictions import Apply, Request, Rows, extract_objects
from pipeline.prompts import sample_prompts
from pipeline.scenes.scene import draw_scene
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages.extraction import steps
from storage.images.videos import SplitImages
from tests.fixtures.meta_device import meta_sam
from tests.fixtures.predictors import trained_mini


def rows(apply: Apply, view: str = "vflip") -> Rows:
    """Those of two objects, in calls of four prompt sets."""
    sam, scene = trained_mini(), draw_scene(3, 96)
    masks = scene.masks[:2]
    points = np.stack([sample_prompts(mask, i) for i, mask in enumerate(masks)])
    request = Request(points, masks, default_view(view), PROMPTS)
    ask = partial(extract_objects, sam, sam.encode(scene.rgb), request)
    return ask(batch=4, with_masks=True, apply=apply)


@pytest.mark.parametrize("view", ["identity", "vflip"])
def test_rows_are_the_same_bit_for_bit(view: str) -> None:
    with steps.behind("cpu") as apply:
        found = rows(apply, view)
    for name, values in rows(map, view).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_one_call_is_scored_while_the_next_is_decoded_and_no_more_wait() -> None:
    is_second_decoded, order = threading.Event(), []

    def decoded() -> Iterator[int]:
        for call in range(6):
            order.append(call)
            if call == 1:
                is_second_decoded.set()
            yield call

    def score(call: int) -> int:
        assert is_second_decoded.wait(60)
        time.sleep(0.02)
        return len(order) - call

    with steps.behind("cpu") as apply:
        n_decoded = list(apply(score, decoded()))  # type: ignore[arg-type]
    assert len(n_decoded) == 6
    assert max(n_decoded) <= 2  # type: ignore[operator]


def test_an_error_of_the_thread_is_raised_where_the_rows_are_asked_for() -> None:
    def broken(_: int) -> int:
        raise MemoryError("no room for masks")

    with pytest.raises(MemoryError, match="no room"), steps.behind("cpu") as apply:
        list(apply(broken, range(3)))  # type: ignore[arg-type]


def test_beside_a_gpu_no_thread_scores_every_processor_reads_and_a_few_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with steps.behind("cuda") as apply:
        assert apply is map
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(12))
    images = SplitImages(tmp_path, [])
    with meta_sam("mini") as on_gpu:
        assert steps._threads(images, on_gpu) == (12, 4)
    assert steps._threads(images, trained_mini()) == (images.n_readers, 1)
