"""The first click on an image from a store of embeddings, on disk and in a bucket, at full size."""

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from pipeline.predictor import UncertainPredictor
from pipeline.sam.building import build
from pipeline.sam.model import Sam
from stages.predictor.stored_images import EmbeddingStores
from storage.checkpoints.weights import checkpoint
from tests.fixtures.bucket import s3_server, upload, use_server
from tests.fixtures.predictors import random_heads
from tests.fixtures.stored_images import write_embeddings_of, write_images
from tools.bars import Bar, missed_bars

FAMILY: Final = "sam2.1"
MODEL: Final = "large"
PRECISION: Final = "bf16"

N_IMAGES: Final = 6
"""Each image is clicked once, so that every click reads its embedding; the first one warms up."""

MOST_S: Final = {"disk": 0.15, "bucket": 0.5}
"""Most seconds from the pixels of an image to its masks with their uncertainty, on two cores."""


def random_images() -> dict[str, np.ndarray]:
    """Images of the size of COCO's, of random gray squares, by file name."""
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, (N_IMAGES, 15, 20, 1), np.uint8)
    pixels = squares.repeat(32, axis=1).repeat(32, axis=2).repeat(3, axis=3)
    return {f"{i}.png": rgb for i, rgb in enumerate(pixels)}


def stores_at(place: str | Path) -> EmbeddingStores:
    """The opened store; it has embeddings of both models that a predictor asks."""
    record = checkpoint(FAMILY, MODEL)
    return EmbeddingStores([place], record, smallest=record, precision=PRECISION)


def test_the_first_click_from_a_store_takes_no_encoding(
    benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = random_images()
    write_images(tmp_path / "images", images)
    sam = Sam(build(FAMILY, MODEL, seed=0), device=torch.device("cpu"), precision=PRECISION)
    store = write_embeddings_of(
        tmp_path / "large.zarr",
        tmp_path / "images",
        images,
        MODEL,
        sam=sam,
        family=FAMILY,
        precision=PRECISION,
        weights=checkpoint(FAMILY, MODEL).sha256 or "not listed",
    )
    predictor = UncertainPredictor(sam, random_heads(MODEL, n_channels=sam.n_channels, kind="ours"))

    def click(rgb: np.ndarray) -> float:
        """Seconds of the first click on an image."""
        started = perf_counter()
        predictor.set_image(rgb)
        predictor.predict_uncertainty([[320, 240]], [1])
        return perf_counter() - started

    with s3_server() as address:
        use_server(address, monkeypatch)
        places: dict[str, str | Path] = {"disk": store, "bucket": upload(store, "large.zarr")}
        seconds = {}
        for kind, place in places.items():
            predictor.stored_images = stores_at(place)
            _, *of_clicks = [click(rgb) for rgb in images.values()]
            seconds[kind] = median(of_clicks)
    predictor.stored_images = None
    started = perf_counter()
    predictor.set_image(images["0.png"])
    encoding_s = perf_counter() - started
    predictor.stored_images = stores_at(store)
    benchmark.pedantic(click, (images["1.png"],))  # type: ignore[no-untyped-call]
    what = "first click at full size, large, from stored embeddings"
    bars = [
        Bar(f"{what} {place}", seconds[kind], at_most=MOST_S[kind], unit="s")
        for kind, place in (("disk", "on the disk"), ("bucket", "in a bucket"))
    ]
    ratio = encoding_s / seconds["disk"]
    bars.append(Bar("encoding at full size, large, over a first click", ratio, at_least=20))
    assert missed_bars(benchmark, *bars) == []
