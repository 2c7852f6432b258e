"""Sizes that are declared, so that no plan has to build a model, are those of the models."""

import pytest
import torch

from pipeline.sam.building import build
from pipeline.sam.families import SIZES, FamilySizes
from pipeline.sam.model import Sam
from pipeline.vocabulary import FAMILIES, MODELS


def built(family: str, model: str) -> FamilySizes:
    sam = Sam(build(family, model, seed=0), device=torch.device("cpu"), precision="fp32")
    return FamilySizes(sam.n_channels, sam.mask_size_px)


def n_encoder_channels(family: str, model: str) -> int:
    """Channels of the levels that the decoder of a built model takes."""
    decoder = build(family, model, seed=0).sam_mask_decoder
    narrowed = decoder.conv_s0.out_channels + decoder.conv_s1.out_channels
    return int(narrowed + decoder.transformer_dim)


def test_every_family_has_sizes() -> None:
    assert set(SIZES) == set(FAMILIES)


@pytest.mark.parametrize("model", MODELS)
def test_sizes_of_mini_are_those_of_its_models(model: str) -> None:
    assert built("mini", model) == SIZES["mini"]
    assert n_encoder_channels("mini", model) == SIZES["mini"].n_encoder_channels == 88


@pytest.mark.full_size
@pytest.mark.parametrize("family", ["sam2", "sam2.1"])
@pytest.mark.parametrize("model", MODELS)
def test_sizes_are_those_of_the_models(family: str, model: str) -> None:
    assert built(family, model) == SIZES[family]
    assert n_encoder_channels(family, model) == SIZES[family].n_encoder_channels == 352
