"""What coding masks as bytes changes in their entropy: the figures of docs/cache.md."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from pipeline.entropy.mixtures import mask_entropy
from pipeline.masks import decode, encode
from pipeline.prompts import sample_prompts
from pipeline.sam.building import build, fit_weights, load_weights
from pipeline.sam.model import Sam
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.vocabulary import MODELS
from storage.checkpoints.weights import verified_weights
from tests.fixtures.bars import note_bar
from tests.fixtures.soft_masks import soft_masks

N_SCENES: Final = 4
IMAGE_PX: Final = 256
"""Side of the scenes; the mini family's masks are 64 px."""

BOUNDS_BITS: Final = {256: 5e-4, 64: 2e-3}
"""By the side of the masks."""


@pytest.mark.benchmark(min_rounds=1, max_time=0.1)
def test_the_entropy_stays_within_the_bound_that_the_docs_name(benchmark: BenchmarkFixture) -> None:
    masks = {256: soft_masks(0, 64), 64: np.concatenate(list(mini_masks()))}
    for size_px, p in masks.items():
        assert p.shape[-1] == size_px
        changes = np.abs(mask_entropy(decode(encode(p))) - mask_entropy(p))
        print(
            f"\n{len(p)} masks of {size_px} px: coding changes the entropy by "
            f"{changes.max():.1e} bit at most, {np.median(changes):.1e} in the median"
        )
        what = f"coding of masks of {size_px} px: change of an entropy"
        note_bar(benchmark, what, changes.max(), at_most=BOUNDS_BITS[size_px], unit="bit")
        assert changes.max() < BOUNDS_BITS[size_px]
    benchmark(encode, masks[256])


def mini_masks() -> Iterator[np.ndarray]:
    """Foreground probabilities in single precision, of every model, object, click and proposal."""
    scenes = [draw_scene(seed, IMAGE_PX) for seed in scene_seeds(1, "val", N_SCENES)]
    for model in MODELS:
        path, _ = verified_weights("mini", model)
        net = build("mini", model, seed=0)
        fit_weights(net, load_weights(str(path)), source=str(path))
        sam = Sam(net, device=torch.device("cpu"), precision="fp32")
        for scene in scenes:
            embedding = sam.encode(scene.rgb)
            points = np.concatenate([sample_prompts(mask, 0) for mask in scene.masks])
            decoded = sam.decode(embedding, points[:, np.newaxis].astype(np.float32))
            yield torch.sigmoid(decoded.logits).flatten(0, 1).numpy()
