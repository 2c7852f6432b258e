"""Statistics of the encoder are those of the levels that the decoder receives, in any order."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES, MINI_TRUNKS
from pipeline.sam.model import Embedding, Sam
from pipeline.scenes.scene import draw_scene
from tests.fixtures.official import OfficialPredictor

SCENES = [draw_scene(seed, 160).rgb for seed in range(3)]


def mini(model: str = "tiny") -> Sam:
    return Sam(build("mini", model, seed=1), device=torch.device("cpu"), precision="fp32")


def statistics(embedding: Embedding) -> dict[str, np.ndarray]:
    return {name: found.numpy() for name, found in embedding.statistics.items()}


def assert_statistics(
    found: dict[str, np.ndarray], levels: list[Tensor], *, rtol: float = 1e-6
) -> None:
    """Hold them to NumPy's of the levels, in the order in which these are given."""
    flat = [level[0].flatten(1).double().numpy() for level in levels]
    for name, of_level in (("encoder_mean", np.mean), ("encoder_std", np.std)):
        wanted = np.concatenate([of_level(level, axis=1) for level in flat])
        np.testing.assert_allclose(found[name], wanted, rtol=rtol, atol=1e-7, err_msg=name)
        assert found[name].dtype == np.float32


@pytest.mark.parametrize("model", MINI_TRUNKS)
def test_levels_are_those_of_the_official_predictor_the_finest_first(model: str) -> None:
    found = statistics(mini(model).encode(SCENES[0]))
    official = OfficialPredictor(build("mini", model, seed=1).eval())
    official.set_image(SCENES[0])
    features = official.predictor._features
    finer, coarsest = features["high_res_feats"], features["image_embed"]
    assert [level.shape[1] for level in (*finer, coarsest)] == [8, 16, 64]
    assert len(found["encoder_mean"]) == FAMILIES["mini"].n_encoder_channels
    assert_statistics(found, [*finer, coarsest], rtol=1e-4)


def test_a_channel_far_from_zero_that_hardly_varies_loses_no_digit() -> None:
    embedding = mini().encode(SCENES[0])
    level = 1e4 + torch.randn((1, 64, 16, 16), generator=torch.Generator().manual_seed(0))
    far = replace(embedding, image=level)
    assert_statistics(statistics(far), [*embedding.high_res, level])


def shuffled(level: Tensor, seed: int) -> Tensor:
    flat = level.flatten(2)
    order = torch.randperm(flat.shape[2], generator=torch.Generator().manual_seed(seed))
    return flat[:, :, order].view(level.shape)


def test_where_a_level_has_its_values_changes_no_bit() -> None:
    embedding = mini().encode(SCENES[0])
    first, second = (shuffled(level, seed) for seed, level in enumerate(embedding.high_res))
    other = replace(embedding, image=shuffled(embedding.image, 2), high_res=(first, second))
    assert not torch.equal(other.image, embedding.image)
    for name, values in statistics(other).items():
        np.testing.assert_array_equal(values, statistics(embedding)[name], err_msg=name)


@pytest.fixture
def threads() -> Iterator[None]:
    """As many threads as before, afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_changes_no_bit() -> None:
    level = torch.randn((1, 32, 256, 256), generator=torch.Generator().manual_seed(0))
    large = replace(mini().encode(SCENES[0]), high_res=(level, level[:, :16, :128, :128]))
    found = []
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        found.append(statistics(large))
    for name, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][name], err_msg=name)


def test_images_that_are_encoded_together_have_the_statistics_of_each() -> None:
    sam = mini()
    for rgb, embedding in zip(SCENES, sam.encode_batch(SCENES), strict=True):
        alone = statistics(sam.encode(rgb))
        for name, values in statistics(embedding).items():
            np.testing.assert_allclose(values, alone[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert not np.allclose(alone["encoder_mean"], statistics(sam.encode(SCENES[0]))["encoder_mean"])
