"""What docs/predict.md says of the advice is computed from the predictor's and from the truth."""

import itertools
from typing import Final, get_args

import numpy as np
import pandas as pd
import pytest

from pipeline.predictor.advice import CORRECTIONS, KEEP, NONE, Costs
from pipeline.scenes.scene import Role, scene_seeds
from stages.predictor import load_predictor
from stages.settings.params import read_params
from tests.fixtures.dvc_stages import ROOT
from tools.family.recipe import RECIPE
from tools.show_advice import (
    BUDGETS,
    FURTHER_SEED,
    N_FURTHER,
    advice_table,
    advised,
    followed,
    net_gains,
    regret_table,
    scenes,
)

SIZE_PX: Final = 256

CHOSEN_ON: Final = (2, 26, 27, 28)
"""Seeds of the scenes on which the default costs were chosen."""


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return followed(scenes(FURTHER_SEED, 3, SIZE_PX))


def cells(table: str) -> list[list[str]]:
    """Cells of a table in Markdown, its header apart."""
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_further_scenes_are_nobody_elses() -> None:
    further = scene_seeds(FURTHER_SEED, "val", N_FURTHER)
    shapes, notebook = read_params(ROOT / "params.yaml").shapes.seed, 0
    used = {shapes, notebook, RECIPE.batches.seed, *CHOSEN_ON}
    for seed, role in itertools.product(used, get_args(Role)):
        others = scene_seeds(seed, role, 2**31)
        assert not set(further) & {others[0], others[-1]}
        assert others[-1] < further[0] or further[-1] < others[0]


def test_another_proposal_is_scored_by_the_one_that_the_advice_names(rows: pd.DataFrame) -> None:
    predictor = load_predictor("mini", "tiny")
    found = []
    for scene, (_, own) in zip(
        scenes(FURTHER_SEED, 3, SIZE_PX), rows.groupby("scene"), strict=True
    ):
        predictor.set_image(scene.rgb)
        for truth, (x, y) in zip(scene.masks, own[["x", "y"]].to_numpy(), strict=True):
            said = predictor.predict_uncertainty([[x, y]], [1])
            mask = said.masks[said.alternative]
            found.append((mask & truth).sum() / (mask | truth).sum())
    assert rows["iou task"].tolist() == pytest.approx(found, abs=1e-3)
    assert (rows["iou segmentation"] == 1).all()


def test_what_costs_advise_is_what_the_predictor_advises(rows: pd.DataFrame) -> None:
    names = np.array(list(CORRECTIONS))
    given = rows["advice"].replace(NONE, KEEP)  # of a scene that the heads find unlike training
    assert names[advised(rows, Costs())].tolist() == given.tolist()
    dear = names[advised(rows, Costs(1.0, 1.0, 1.0))]
    assert set(dear) <= {KEEP, "task"}


def made_up() -> pd.DataFrame:
    """Four objects in two scenes: the second click helps one of them, and was foreseen."""
    iou = {KEEP: 0.5, "model": 0.5, "prompt": [0.9, 0.5, 0.5, 0.5], "task": 0.4, "segmentation": 1}
    gain = {"model": 0.0, "prompt": [0.25, 0.11, 0.0, 0.0], "task": -0.1, "segmentation": 0.25}
    return pd.DataFrame(
        {
            "scene": [1, 1, 2, 2],
            "expected": 0.75,
            "sam_score": [0.9, 0.1, 0.2, 0.3],
            **{f"iou {name}": value for name, value in iou.items()},
            **{f"gain {name}": value for name, value in gain.items()},
        }
    )


def test_a_correction_where_it_is_advised_stands_beside_that_of_all_objects() -> None:
    by_words = {line[0]: line[1:] for line in cells(advice_table(made_up()))}
    expected = ["2", "0.75", "0.50", "0.93", "0.70", "+0.20", "+0.10"]
    clicked = by_words["click again, at a cost of 0.05"]
    assert clicked[:-2] == expected
    difference, over_fixed = clicked[-2:]
    # Where one scene is drawn twice, all objects are advised to be clicked, or none.
    assert difference == "+0.10 (+0.00 to +0.10)"
    # A person for all nets 0.5 - 0.3; a click nets 0.15 where it is advised, to keep nothing.
    assert over_fixed.startswith("-0.050 (")
    kept = by_words["keep the mask"]
    assert kept[:-1] == ["4", "0.75", "0.50", "0.75", "0.50", "–", "–", "–"]
    assert kept[-1].startswith("-0.200 (")
    assert by_words["let a person draw it"] == ["0", *["–"] * 8]


def test_regret_is_of_the_costs_of_each_row() -> None:
    lines = cells(regret_table(made_up()))
    assert len(lines) == len(BUDGETS)
    for costs, line in zip(BUDGETS, lines, strict=True):
        net = net_gains(made_up(), costs)
        hindsight = net.max(axis=1).mean()
        assert float(line[3]) == pytest.approx(hindsight, abs=6e-4)
        own = net[np.arange(4), advised(made_up(), costs)].mean()
        regrets = [hindsight - own, *(hindsight - net.mean(axis=0))]
        assert [float(cell) for cell in line[4:10]] == pytest.approx(regrets, abs=6e-4)
        margin = float(line[-2].split()[0])
        assert margin == pytest.approx(own - net.mean(axis=0).max(), abs=6e-4)


def test_an_object_without_advice_is_kept(rows: pd.DataFrame) -> None:
    gains = [str(name) for name in rows if str(name).startswith("gain ")]
    unlike = rows.copy()
    unlike[gains] = np.nan
    assert set(advised(rows, Costs())) != {list(CORRECTIONS).index(KEEP)}
    assert set(advised(unlike, Costs())) == {list(CORRECTIONS).index(KEEP)}
