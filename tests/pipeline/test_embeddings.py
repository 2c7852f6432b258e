"""A stored embedding is named by its types, and decodes to the same bits as the original."""

import numpy as np
import pytest
import torch

from pipeline.embeddings import StoredEmbedding, level_names, pixels_sha256
from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES
from pipeline.sam.model import Embedding, Precision, Sam
from pipeline.scenes.scene import draw_scene

CLICKS = np.array([[[40, 50]], [[90, 20]]], np.float32)


def stored(embedding: Embedding) -> StoredEmbedding:
    return StoredEmbedding(embedding.levels(), embedding.size_px, {}, "")


def sam_of(precision: Precision, family: str = "mini", model: str = "tiny") -> Sam:
    return Sam(build(family, model, seed=0), device=torch.device("cpu"), precision=precision)


@pytest.mark.parametrize(
    ("family", "model"),
    [
        ("mini", "tiny"),
        pytest.param("sam2.1", "tiny", marks=pytest.mark.full_size),
        pytest.param("sam2.1", "large", marks=pytest.mark.full_size),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_restored_embedding_answers_with_the_same_bits(
    precision: Precision, family: str, model: str
) -> None:
    sam = sam_of(precision, family, model)
    embedding = sam.encode(draw_scene(1, 128).rgb[:96])
    levels = embedding.levels()
    assert tuple(levels) == level_names(precision)
    sizes = FAMILIES[family].sizes
    for prefix, values in zip(("finest_", "finer_", ""), levels.values(), strict=True):
        assert values.shape == tuple(sizes[f"{prefix}{n}"] for n in ("channel", "row", "column"))
    restored = sam.restore(stored(embedding))
    for decode in (sam.decode, sam.decode_plainly):
        original, again = decode(embedding, CLICKS), decode(restored, CLICKS)
        for name in ("logits", "sam_score", "iou_token", "mask_token", "object_score"):
            assert torch.equal(getattr(original, name), getattr(again, name)), name
    for name, statistic in embedding.statistics.items():
        assert torch.equal(restored.statistics[name], statistic)


def test_the_digest_of_pixels_tells_sizes_and_values_apart() -> None:
    rgb = draw_scene(1, 96).rgb
    names = {
        pixels_sha256(x) for x in (rgb, rgb.copy(), rgb[:48], rgb.reshape(48, 192, 3), rgb ^ 1)
    }
    assert len(names) == 4
    assert pixels_sha256(np.asfortranarray(rgb)) == pixels_sha256(rgb)
