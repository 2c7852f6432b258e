"""The predictor says of an object and its click what the cache and ``evaluate`` say of them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.heads.kinds import KINDS, KINDS_BY_NAME, HeadSet, head_sets
from pipeline.heads.predict import STANDARD, n_inputs
from pipeline.predictor import PromptSet, ProposalHeads, UncertainPredictor, Uncertainty
from pipeline.sam.families import MINI_CHANNELS
from pipeline.scoring.measures import predicted_iou, uncertainty_column
from pipeline.views import default_view
from pipeline.vocabulary import JUDGED
from stages import entropy, evaluate, extract
from stages.extraction.models import load_model
from stages.settings.signatures import cell_settings, eval_cells
from stages.training.data import OBJECTS
from storage.head_files.calibrated_scores import write_isotonic
from storage.head_files.head_file import head_set_path, pack_heads, read_head_file, write_head_file
from storage.images.image_files import read_rgb
from storage.paths import (
    CACHE,
    entropy_path,
    features_path,
    isotonic_path,
    objects_path,
    results_dir,
)
from storage.split.object_table import read_objects, read_objects_of
from storage.split.split_cells import head_origin
from storage.store import opening
from tests.fixtures.eval_split import draw_isotonic
from tests.fixtures.extract_project import IMAGES, SPLIT, TRAIN_SPLIT, draw_project, run
from tests.fixtures.mini import MODELS
from tests.fixtures.settings import view_settings
from tests.fixtures.signatures import extract_params

OF_USERS: Final = HeadSet("selected", "selected")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images through the mini models, up to the measures of each object."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        draw_project(n_objects=1, weights="file")
        changed = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
        changed["views"] = view_settings("identity")
        changed["evaluate"]["n_resamples"] = 20
        Path("params.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
        for model in MODELS:
            run(extract, SPLIT, model, "identity")
        run(entropy, SPLIT)
        for head_set in head_sets():
            draw_heads(head_set)
        cuts = dict.fromkeys(MODELS, 0.5)
        path = isotonic_path(TRAIN_SPLIT, KINDS[0])
        write_isotonic(path, TRAIN_SPLIT, draw_isotonic(0), origin(), fixed_cuts=cuts)
        run(evaluate, SPLIT)
    return root


def origin() -> dict[str, str]:
    """What heads say of the models that they learned from."""
    cells = eval_cells("any", MODELS, [default_view("identity")])
    settings = {cell.model: cell_settings(extract_params(), cell) for cell in cells}
    return head_origin(settings) | {OBJECTS: read_objects_of(TRAIN_SPLIT, CACHE).digest}


def draw_heads(head_set: HeadSet) -> None:
    """Heads whose outputs differ by more than rounding from one token to the next."""
    rng = np.random.default_rng(len(str(head_set)))
    kind = KINDS_BY_NAME[head_set.kind]
    width = n_inputs(kind, MINI_CHANNELS)
    widths = (width, 32, 32, 1)
    scale = rng.uniform(3, 6, (2, width)).astype(np.float32)
    card = {"split": TRAIN_SPLIT, **head_set.card, **origin(), "n_channels": str(MINI_CHANNELS)}
    weights = {}
    for objective in head_set.objectives(MODELS):
        shapes = enumerate(zip(widths[1:], widths, strict=False))
        tensors = {
            f"layers.{i}.{part}": rng.normal(0, 2 * shape[1] ** -0.5, shape[:n]).astype(np.float32)
            for i, shape in shapes
            for part, n in (("weight", 2), ("bias", 1))
        }
        if kind.is_standardised:
            tensors |= dict(zip(STANDARD, scale, strict=True))
        weights[objective] = tensors
    packed = pack_heads(weights, dict.fromkeys(weights, card))
    write_head_file(head_set_path(TRAIN_SPLIT, head_set), packed)


def assert_equal(found: object, expected: object, what: str = "") -> None:
    one, other = (np.asarray(values, np.float64) for values in (found, expected))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=what)


def own_heads(root: Path, model: str, head_set: HeadSet) -> ProposalHeads:
    found = read_head_file(root / head_set_path(TRAIN_SPLIT, head_set))
    return ProposalHeads("mini", model, found.models, head_set, found.weights)


@cache
def said(root: Path, model: str, head_set: HeadSet) -> list[Uncertainty]:
    """What a predictor says of the click ``center`` of every object."""
    sam = load_model(extract_params(), model)
    predictor = UncertainPredictor(sam, own_heads(root, model, head_set))
    table = read_objects(root / objects_path(SPLIT))
    found = []
    for image, file in enumerate(table.file):
        predictor.set_image(read_rgb(root / IMAGES / str(file)))
        clicks = table.point_px[table.image_index == image, :1]
        found += predictor.predict_uncertainties([PromptSet(one, [1]) for one in clicks])
    return found


@pytest.mark.parametrize("model", MODELS)
def test_scores_and_entropies_are_those_of_the_cache(project: Path, model: str) -> None:
    found = said(project, model, OF_USERS)
    features = opening.open_features(project / features_path(SPLIT, model, "identity"))
    center = features.sel(prompt="center")
    sam_score = np.stack([one.sam_score for one in found])
    assert_equal(sam_score, center["sam_score"])
    assert [one.selected for one in found] == center["sam_score"].argmax("proposal").values.tolist()
    entropies = opening.open_entropy(project / entropy_path(SPLIT)).sel(model=model)
    assert_equal([one.h_a for one in found], entropies["h_a"])
    by_judged = {"best": center["iou"], "selected": center["sam_score"]}
    for judged, scores in by_judged.items():
        judged_masks = zip(found, scores.argmax("proposal").values, strict=True)
        h_std = [one.h_std[k] for one, k in judged_masks]
        assert_equal(h_std, entropies["h_std"][:, JUDGED.index(judged)])


MEASURED: Final[dict[str, Callable[[Uncertainty], np.ndarray]]] = {
    "usam": lambda found: found.expected_iou.own,
    "delta_theta": lambda found: found.gap["model"],
    "delta_xp": lambda found: found.gap["prompt"],
    "delta_a": lambda found: found.gap["task"],
    "delta_theta_star": lambda found: found.direct_gap["model"],
    "delta_xp_star": lambda found: found.direct_gap["prompt"],
    "delta_a_star": lambda found: found.direct_gap["task"],
}
"""Measures by name, USAM itself apart."""


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("head_set", head_sets(), ids=str)
def test_what_heads_say_is_in_the_results_of_evaluate(
    project: Path, model: str, head_set: HeadSet
) -> None:
    objects = pd.read_csv(project / results_dir(SPLIT) / "objects.csv")
    rows = objects[
        (objects["model"] == model)
        & (objects["protocol"] == head_set.protocol)
        & (objects["judged"] == head_set.tokens)
    ]
    features = opening.open_features(project / features_path(SPLIT, model, "identity"))
    scores = features.sel(prompt="center")[
        {"best": "iou", "selected": "sam_score"}[head_set.tokens]
    ]
    judged = scores.argmax("proposal").values
    found = said(project, model, head_set)
    assert len(rows) == len(found) > 5
    for name, of_proposals in MEASURED.items():
        if name.startswith("delta_a") and head_set.protocol == "best":
            continue  # which a predictor does not say: such heads compare no proposals
        values = [of_proposals(one)[k] for one, k in zip(found, judged, strict=True)]
        measure = KINDS_BY_NAME[head_set.kind].named(name)
        uncertainty = rows[uncertainty_column(measure, TRAIN_SPLIT)].to_numpy()
        expected = predicted_iou(measure, uncertainty)
        assert expected.std() > 1e-4
        assert_equal(values, expected, name)
