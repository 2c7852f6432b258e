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


def test_every_family_has_sizes() -> None:
    assert set(SIZES) == set(FAMILIES)


@pytest.mark.parametrize("model", MODELS)
def test_sizes_of_mini_are_those_of_its_models(model: str) -> None:
    assert built("mini", model) == SIZES["mini"]


@pytest.mark.full_size
@pytest.mark.parametrize("family", ["sam2", "sam2.1"])
@pytest.mark.parametrize("model", MODELS)
def test_sizes_are_those_of_the_models(family: str, model: str) -> None:
    assert built(family, model) == SIZES[family]
