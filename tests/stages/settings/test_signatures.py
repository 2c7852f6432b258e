"""Signature entries of cells."""

import pytest

from stages.settings.signatures import library_versions


@pytest.mark.parametrize(
    ("family", "model", "of_encoder"),
    [
        ("mini", "tiny", set()),
        ("sam3", "large", {"transformers_version"}),
        ("edgetam", "tiny", {"transformers_version", "timm_version"}),
    ],
)
def test_versions_of_the_packages_with_the_encoder_are_in_the_signature(
    family: str, model: str, of_encoder: set[str]
) -> None:
    of_sam2 = library_versions("sam2.1", "tiny")
    assert library_versions(family, model).keys() - of_sam2.keys() == of_encoder
