"""Entropies of a predictor are those that the stage ``entropy`` computes for the same clicks."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import yaml

import storage
from pipeline.predictor import BayesianPlan, UncertainPredictor
from pipeline.views import default_view
from pipeline.vocabulary import JUDGED
from stages import entropy, extract
from stages.extraction.models import load_model
from storage.images.files import read_rgb
from storage.paths import entropy_path, objects_path
from storage.split.objects import read_objects
from tests.fixtures.extract_project import IMAGES, SPLIT, draw_project, run
from tests.fixtures.mini import MODELS
from tests.fixtures.predictors import random_heads
from tests.fixtures.settings import view_settings
from tests.fixtures.signatures import extract_params

pytestmark = pytest.mark.slow

VIEWS: Final = ("identity", "vflip", "gnoise")
"""One moves the pixels, one is random."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Drawn images through the mini models, up to the entropies of each object."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        draw_project(n_objects=1, weights="file")
        changed = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
        Path("params.yaml").write_text(
            yaml.safe_dump(changed | {"views": view_settings(*VIEWS)}), encoding="utf-8"
        )
        for model, view in product(MODELS, VIEWS):
            run(extract, SPLIT, model, view)
        run(entropy, SPLIT)
        yield root


@pytest.mark.parametrize("model", ["tiny", "large"])
def test_entropies_over_views_clicks_and_models_are_those_of_the_cache(
    project: Path, model: str
) -> None:
    table = read_objects(project / objects_path(SPLIT))
    sams = {name: load_model(extract_params(), name) for name in MODELS}
    predictor = UncertainPredictor(sams[model], random_heads(model))
    others = [sam for name, sam in sams.items() if name != model]
    views = tuple(default_view(view) for view in VIEWS)
    found = []
    for image, file in enumerate(table.file):
        predictor.set_image(read_rgb(project / IMAGES / str(file)))
        for points in table.point_px[table.image_index == image]:
            plan = BayesianPlan(views, clicks=points[1:], name=str(file))
            found.append(predictor.predict_bayesian(points[:1], [1], others=others, plan=plan))
    stored = storage.open_entropy(project / entropy_path(SPLIT))
    stored = stored.isel(judged=JUDGED.index("selected"))
    assert len(found) == table.n_objects > 5
    for own, expected in (
        ([one.h_t for one in found], stored["h_t"].sel(model=model)),
        ([one.h_xp for one in found], stored["h_xp"].sel(model=model)),
        ([one.h_theta for one in found], stored["h_theta"]),
    ):
        np.testing.assert_allclose(np.array(own, float), expected, rtol=1e-5, atol=1e-5)
