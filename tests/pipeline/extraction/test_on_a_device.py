"""Extraction on the meta device: no tensor of the host, no hidden wait, few kernels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.extraction import predictions
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.extraction.shards import GPU_BATCH
from pipeline.prompt_kinds import PROMPT_KINDS
from pipeline.sam.model import Precision, Sam
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from tests.fixtures.meta_device import Launches, counted_reads, meta_sam

N_OBJECTS: Final = 7

HEIGHT_PX, WIDTH_PX = 480, 640

RGB: Final = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)

N_IMAGES: Final = 4

MOST_LAUNCHES: Final = {"resizing": 24, "encoder": 189, "decoder": 1_272, "scoring": 444}
"""Kernels that the extraction of four images of seven objects launches at most, with a mini model
in bf16 and ``encoder_batch`` 4. More need a reason."""


def request(view: str = "identity", prompts: tuple[str, ...] = PROMPTS) -> Request:
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    masks = np.stack([np.hypot(x - 60 - 80 * i, y - 200) < 40 for i in range(N_OBJECTS)])
    points = np.array([np.full((8, 2), (60 + 80 * i, 200)) for i in range(N_OBJECTS)], np.int32)
    return Request(points, masks, default_view(view), prompts)


@contextmanager
def counted_waits(sam: Sam) -> Iterator[list[int]]:
    """Number of transfers that were queued before each wait; the host gets zeros."""
    queued: list[int] = [0]
    waits: list[int] = []

    def fetch(tensors: Sequence[Tensor]) -> Tensor:
        assert {tensor.device.type for tensor in tensors} == {"meta"}
        queued[0] += 1
        joined = torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]
        return torch.zeros(joined.shape, dtype=joined.dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictions, "_fetched", fetch)
        patch.setattr(sam, "wait", lambda: waits.append(queued[0]))
        yield waits


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("family", "precision"),
    [("mini", "fp32"), *((family, "bf16") for family in ("mini", "edgetam", "sam3", "sam3.1"))],
)
def test_extraction_stays_on_the_device_until_all_arrays_of_an_image_come_at_once(
    family: str, precision: Precision
) -> None:
    prompts = (*PROMPTS, "near", "box", "corrected")
    # Masks are flipped back in the same way, whatever model they are from.
    views = ("identity", "vflip") if family == "mini" else ("identity",)
    with meta_sam(family, precision) as sam:
        for view in views:
            (embedding,) = sam.encode_batch([RGB])
            with counted_waits(sam) as waits, counted_reads() as reads:
                rows = extract_objects(
                    sam, embedding, request(view, prompts), batch=GPU_BATCH, with_masks=True
                )
            assert waits == [len(rows)], "one wait, after all transfers were queued"
            assert rows["iou"].shape == (N_OBJECTS, len(prompts), 3)
            assert rows["mask_code"].shape[-1] == sam.mask_size_px
            n_corrections = next(k.n_corrections for k in PROMPT_KINDS if k.name == "corrected")
            assert reads == n_corrections * [(N_OBJECTS, 1, HEIGHT_PX, WIDTH_PX)]


def test_extraction_launches_no_more_kernels_than_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    launches = {part: Launches() for part in MOST_LAUNCHES}
    with meta_sam("mini", "bf16") as sam, counted_waits(sam):
        decode = predictions._decode

        def decode_counted(*arguments: object) -> object:
            with launches["decoder"]:
                return decode(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(predictions, "_decode", decode_counted)
        with launches["resizing"]:
            squares = [sam.square(RGB) for _ in range(N_IMAGES)]
        with launches["encoder"]:
            embeddings = sam.encode_squares(squares)
        for embedding in embeddings:
            with launches["scoring"]:
                extract_objects(sam, embedding, request(), batch=GPU_BATCH, with_masks=True)
    launches["scoring"].by_name.subtract(launches["decoder"].by_name)
    counts = {part: counter.n for part, counter in launches.items()}

    assert all(counts[part] <= most for part, most in MOST_LAUNCHES.items()), counts
