"""What rows of families declare, so that no plan has to build a model, is true of the models."""

import pytest
import torch

from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES, models_of
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
