"""A family of one model, or one chosen of a family: all stages behind the models, to the page."""

from contextlib import chdir
from pathlib import Path
from typing import Final

import pandas as pd
import pytest

from pipeline.heads.kinds import head_sets
from pipeline.scoring.measures import MEASURES
from pipeline.vocabulary import objectives_of
from stages import evaluate, report, train, tune
from stages.predictor.loading import head_set_of
from storage.head_files.head_file import head_set_path, read_head_file
from tests.fixtures import eval_split, train_split
from tests.fixtures.extract_project import run
from tests.fixtures.report_inputs import write_report_inputs

pytestmark = pytest.mark.slow

MODELS: Final = ("small",)
OBJECTIVES: Final = objectives_of(MODELS)
SPLIT: Final = "shapes_val"
COMPARING: Final = {measure.name for measure in MEASURES if measure.compares_models}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has a single model, run to the report; not to be changed."""
    root = tmp_path_factory.mktemp("one_model")
    with chdir(root), eval_split.undrawn():
        eval_split.write_params(
            root, [SPLIT], models=list(MODELS), heads=["paper"], tune=train_split.TUNE
        )
        train_split.write_split(models=MODELS)
        eval_split.write_split(SPLIT, 30, MODELS, train_split.N_CHANNELS)
        for objective in OBJECTIVES:
            run(tune, train_split.SPLIT, objective)
        run(train, train_split.SPLIT, "paper")
        run(evaluate, SPLIT)
        write_report_inputs(root, [SPLIT], [], models=MODELS)
        run(report)
    return root


def test_its_heads_learn_all_but_the_gap_between_models(project: Path) -> None:
    for head_set in head_sets(kinds=("paper",)):
        found = read_head_file(project / head_set_path(train_split.SPLIT, head_set))
        assert head_set_of(found.card) == head_set
        assert found.models == MODELS
        assert set(found.weights) == set(head_set.objectives(MODELS))
        assert "model_gap" not in found.weights


def test_its_measures_compare_no_models(project: Path) -> None:
    scores = pd.read_csv(project / "results" / "splits" / SPLIT / "scores.csv")
    auc = scores[scores["statistic"] == "auc"]
    assert set(auc["task"]) == {"prompt", "task", "segmentation"}
    assert set(auc["measure"]) >= {"usam", "delta_xp_star", "delta_a", "h_std", "h_y"}
    assert set(auc["measure"]) & COMPARING == set()


def test_its_report_has_no_table_of_the_model_and_of_the_best_model(project: Path) -> None:
    tables = {path.stem for path in (project / "results" / "tables").rglob("*.csv")}
    assert tables & {"table1_model", "table9_best_model", "figure5_model"} == set()
    assert {"table2_prompt", "table4_segmentation"} <= tables
