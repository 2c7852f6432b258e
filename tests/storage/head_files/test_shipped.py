"""The heads that come with the package."""

import pytest

from storage.errors import WeightsError
from storage.head_files.shipped import shipped_heads


def test_heads_ship_for_the_mini_family_alone() -> None:
    assert shipped_heads("mini").is_file()
    with pytest.raises(WeightsError, match=r"heads of sam2 must be given as a file, got none"):
        shipped_heads("sam2")
