"""What rows of families declare, so that no plan has to build a model, is true of the models."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES, LADDERS, mask_side_of, models_of, reads_of, row_of
from pipeline.sam.model import Sam


def sizes_of_built(family: str, model: str) -> tuple[int, int, int]:
    sam = Sam(build(family, model, seed=0), device=torch.device("cpu"), precision="fp32")
    return sam.image_size_px, sam.n_channels, sam.mask_size_px


def declared_sizes(family: str) -> tuple[int, int, int]:
    row = FAMILIES[family]
    return row.image_size_px, row.n_channels, row.mask_side_px


def n_encoder_channels(family: str, model: str) -> int:
    """Channels of the levels that the decoder of a built model takes."""
    decoder = build(family, model, seed=0).sam_mask_decoder
    narrowed = decoder.conv_s0.out_channels + decoder.conv_s1.out_channels
    return int(narrowed + decoder.transformer_dim)


@pytest.mark.parametrize("model", models_of("mini"))
def test_sizes_of_mini_are_those_of_its_models(model: str) -> None:
    assert sizes_of_built("mini", model) == declared_sizes("mini")
    assert n_encoder_channels("mini", model) == FAMILIES["mini"].n_encoder_channels == 88


@pytest.mark.full_size
@pytest.mark.parametrize(
    ("family", "model"),
    [(family, model) for family in FAMILIES if family != "mini" for model in models_of(family)],
)
def test_sizes_are_those_of_the_models(family: str, model: str) -> None:
    assert sizes_of_built(family, model) == declared_sizes(family)
    assert n_encoder_channels(family, model) == FAMILIES[family].n_encoder_channels == 352


def test_masks_of_a_ladder_are_as_small_as_its_smallest() -> None:
    assert {FAMILIES[family].mask_side_px for family, _ in LADDERS["releases"].values()} == {
        *(256, 288)
    }
    sam3 = row_of("releases", "sam3")
    assert sam3 == replace(FAMILIES["sam3"], mask_side_px=256)
    assert row_of("sam3", "large") == FAMILIES["sam3"]
    assert mask_side_of("releases") == 256


def test_heads_of_a_ladder_read_tokens_of_one_family() -> None:
    reads = [reads_of("releases", model) for model in models_of("releases")]
    assert reads == ["edgetam", "sam2.1", "sam2.1", "sam3", "sam3.1"]
    assert {reads_of("mini", model) for model in models_of("mini")} == {""}


def test_masks_are_brought_to_another_side_and_taken_at_it() -> None:
    built = build("mini", "tiny", seed=0)
    own, smaller = (
        Sam(built, device=torch.device("cpu"), precision="fp32", mask_size_px=side)
        for side in (None, 48)
    )
    rgb = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    points = np.array([[[60.0, 50.0]]])
    plain, shrunk = (sam.decode(sam.encode(rgb), points) for sam in (own, smaller))
    assert (plain.logits.shape[-1], shrunk.logits.shape[-1]) == (64, 48)
    expected = torch.nn.functional.interpolate(
        plain.logits, (48, 48), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(shrunk.logits, expected)
    torch.testing.assert_close(shrunk.mask_token, plain.mask_token)
    again = smaller.decode(smaller.encode(rgb), points, mask_input=shrunk.logits[:, :1].numpy())
    assert again.logits.shape == shrunk.logits.shape
