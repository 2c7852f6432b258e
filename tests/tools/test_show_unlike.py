"""The table of images that the shipped heads find unlike what they learned from."""

from tools.show_advice import FURTHER_SEED
from tools.show_unlike import FRESH_SEED


def test_fresh_scenes_are_none_that_anything_was_chosen_on() -> None:
    assert FRESH_SEED not in {0, 1, 2, 26, 27, 28, 30, FURTHER_SEED, 101, 102, 901, 902}
