"""A ladder: models of several families as one, from the training of heads to the page."""

from contextlib import chdir
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

from pipeline.heads.kinds import HeadSet, head_sets
from pipeline.vocabulary import objectives_of
from stages import evaluate, report, train, tune
from stages.training.data import read_head_data
from storage.head_files.head_file import head_set_path, read_head_file
from storage.paths import objects_path
from storage.split.object_table import write_objects
from tests.fixtures import eval_split, signatures, train_split
from tests.fixtures.extract_project import run
from tests.fixtures.report_inputs import write_report_inputs
from tests.fixtures.signatures import open_train

pytestmark = pytest.mark.slow

WIDTHS: Final = {"edgetam": 4, "tiny": 6, "large": 6}
r"""Token widths of three models of the ladder \`\`releases\`\`: of EdgeTAM, and two of SAM 2.1."""

MODELS: Final = tuple(WIDTHS)
EXTRACT: Final[dict[str, Any]] = {"family": "releases", "weights": "random-0"}
READERS: Final = {"edgetam": ("edgetam",), "sam2.1": ("tiny", "large")}
SPLIT: Final = "shapes_val"
TRAIN: Final = train_split.SPLIT


def write_stores() -> None:
    about = {"split": TRAIN, "group": "image"}
    table = eval_split.object_table(train_split.N_OBJECTS, train_split.PER_IMAGE)
    write_objects(objects_path(TRAIN), table, about)
    write_objects(objects_path(SPLIT), eval_split.object_table(30), about | {"split": SPLIT})
    for model, width in WIDTHS.items():
        train_split.write_features(model, TRAIN, train_split.N_OBJECTS, width, **EXTRACT)
        for view in eval_split.VIEWS:
            eval_split.write_features(SPLIT, model, 30, view, width, **EXTRACT)
    eval_split.write_entropy(SPLIT, 30, MODELS, **EXTRACT)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that runs three models of a ladder, up to the report; not to be changed."""
    root = tmp_path_factory.mktemp("ladder")
    with chdir(root), eval_split.undrawn():
        eval_split.write_params(
            root,
            [SPLIT],
            models=list(MODELS),
            heads=["paper"],
            tune=train_split.TUNE,
            extract=signatures.EXTRACT | EXTRACT,
        )
        write_stores()
        for objective in objectives_of(MODELS):
            run(tune, TRAIN, objective)
        run(train, TRAIN)
        run(evaluate, SPLIT)
        write_report_inputs(root, [SPLIT], [], models=MODELS)
        run(report)
    return root


def test_each_kind_of_tokens_has_heads_of_its_own_about_all_models(project: Path) -> None:
    sets = head_sets(kinds=("paper",), reads=tuple(READERS))
    files = {path.relative_to(project) for path in project.glob("heads/*/*/*/**/*.safetensors")}
    assert files == {head_set_path(TRAIN, one) for one in sets}
    for head_set in sets:
        found = read_head_file(project / head_set_path(TRAIN, head_set))
        assert found.models == MODELS
        assert set(found.weights) == set(head_set.objectives(MODELS))
        width = WIDTHS[READERS[head_set.reads][0]]
        assert found.card["n_channels"] == str(width)
        assert found.weights["iou_large"]["layers.0.weight"].shape[1] == 2 * width


@pytest.mark.parametrize("reads", READERS)
def test_heads_learn_from_rows_of_the_models_that_they_read(project: Path, reads: str) -> None:
    with chdir(project):
        cells = open_train(TRAIN, MODELS, **EXTRACT)
        data = read_head_data(cells, HeadSet("best", "best", reads=reads))
        own = [cells.identity[model].proposals() for model in READERS[reads]]
        first = cells.identity["edgetam"].proposals().judged_iou("best")
    assert len(data.inputs) == len(own) * train_split.N_OBJECTS
    refined = np.concatenate([one.judged_refined_iou("best") for one in own])
    np.testing.assert_array_equal(data.targets["iou_refined"], refined)
    np.testing.assert_array_equal(data.targets["iou_edgetam"], np.tile(first, len(own)))


def test_the_smallest_gives_way_to_the_largest_across_families(project: Path) -> None:
    scores = pd.read_csv(project / "results" / "splits" / SPLIT / "scores.csv")
    auc = scores[scores["statistic"] == "auc"]
    assert list(auc["model"].unique()) == list(MODELS)
    of_model = auc.query("task == 'model'")
    assert set(of_model["measure"]) >= {"delta_theta", "delta_theta_star", "usam", "h_theta"}
    folder = project / "results" / "splits" / SPLIT
    objects, curves = (pd.read_csv(folder / f"{name}.csv") for name in ("objects", "curves"))
    judged = objects.query("protocol == 'best' and judged == 'best'")
    means = judged.groupby("model")["iou"].mean()
    oracle = curves.query("protocol == 'best' and task == 'model' and measure == 'oracle'")
    ends = oracle["mean_iou"].iloc[[0, -1]].tolist()
    assert ends == pytest.approx([means["edgetam"], means["large"]], abs=1e-4)


def test_its_page_sends_clicks_from_the_smallest_to_the_largest(project: Path) -> None:
    page = (project / "results" / "report.html").read_text("utf-8")
    assert "Measures of the edgetam model." in page
    choices = pd.read_csv(project / "results" / "tables" / "selected" / "decisions.csv")["choice"]
    assert "always large" in set(choices)
