"""README's first example is the scene whose error is the median."""

from collections.abc import Iterator
from typing import Any

import pytest

from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from stages.web.page_state import OfferedScene, read_scenes
from tests.fixtures.dvc_stages import ROOT
from tools import choose_scenes


@pytest.mark.parametrize(
    ("errors", "median"),
    [([0.1, 0.4, 0.2], 2), ([0.1, 0.4, 0.2, 0.3], 2), ([0.1, None, 0.4, 0.2], 3)],
    ids=["odd", "even: the lower", "a scene without a click is left out"],
)
def test_the_median_is_that_of_the_largest_objects(
    errors: list[float | None], median: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def candidates(_: Any, number: int) -> Iterator[tuple[OfferedScene, float, float]]:  # noqa: ANN401
        error = errors[number]
        if error is not None:
            yield OfferedScene(number, 1, 1, "keep"), 0.05, 0.9
            yield OfferedScene(number, 2, 2, "keep"), 0.25, error
            yield OfferedScene(number, 3, 3, "keep"), 0.15, 0.0

    monkeypatch.setattr(choose_scenes, "_candidates", candidates)
    monkeypatch.setattr(choose_scenes, "N_FILES", len(errors))
    predictor: Any = None
    shown = choose_scenes.median_scene(predictor)
    assert shown == OfferedScene(median, 2, 2, "keep")


@pytest.mark.slow
def test_the_first_scene_is_the_median_of_the_demo_s_by_the_weights_and_heads_that_ship() -> None:
    # README shows the first scene: tests/tools/test_show_predictions.py.
    assert read_params(ROOT / "params.yaml").shapes.n_val_images == choose_scenes.N_FILES
    shown = choose_scenes.median_scene(load_predictor("mini", "tiny"))
    assert shown == read_scenes()[0], "run python -m tools.choose_scenes"
