"""The recipes of docs/extend.md, followed to the letter in one copy that runs to the report."""

import ast
import re
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
import xarray
import yaml
from PIL import Image

from pipeline.scoring.tasks import JUDGED_BY_PROTOCOL
from pipeline.vocabulary import PROMPTS, PROTOCOLS
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.layouts import draw_picture, write_jpeg
from tests.fixtures.project_copy import change_params, copy_project, repro, run

pytestmark = pytest.mark.slow

TEXT: Final = (ROOT / "docs" / "extend.md").read_text("utf-8")

MODELS: Final = ["tiny", "large"]

STEP: Final = re.compile(
    r"^(?P<how>New file|Among the imports of|In `(?P<table>\w+)` of) `(?P<file>[^`]+)`"
    r"(?:, after `(?P<after>\w+)`)?:\n\n```\w+\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def follow(
    root: Path, how: str, file: str, table: str | None, after: str | None, code: str
) -> None:
    """Do what a step says: a row goes after another, or behind the last of its list."""
    path = root / file
    if how == "New file":
        assert not path.exists(), f"{file} must be new"
        path.write_text(code, "utf-8")
        return
    text = path.read_text("utf-8")
    if path.suffix == ".yaml":
        settings = yaml.safe_load(text)
        given, added = settings[table], yaml.safe_load(code)
        settings[table] = given + added if isinstance(given, list) else given | added
        path.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
        return
    lines = text.splitlines(keepends=True)
    place = _first_import(text) if table is None else _place(text, table, after)
    lines.insert(place, code)
    path.write_text("".join(lines), "utf-8")


def _first_import(text: str) -> int:
    """Lines before the first import."""
    imports = (ast.Import, ast.ImportFrom)
    return next(node.lineno for node in ast.parse(text).body if isinstance(node, imports)) - 1


def _place(text: str, table: str, after: str | None) -> int:
    """Lines before the one that a row of a list follows."""
    (value,) = (
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == table
    )
    while isinstance(value, ast.Call):
        (value,) = value.args
    rows: list[Any]
    if isinstance(value, ast.Dict):
        rows = [(_name(key), item) for key, item in zip(value.keys, value.values, strict=True)]
    else:
        assert isinstance(value, ast.Tuple), f"{table} must be a tuple or a mapping"
        rows = [(_name(item), item) for item in value.elts]
    found = [item for name, item in rows if after in {None, name}]
    assert found, f"{table} must have the row {after}"
    return int(found[-1].end_lineno)


def _name(node: ast.expr | None) -> str:
    """What a row is called: its name, or its first argument."""
    if isinstance(node, ast.Call) and node.args:
        return _name(node.args[0])
    if isinstance(node, ast.Name):
        return node.id
    return str(node.value) if isinstance(node, ast.Constant) else ""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that has everything of the page, run to the report; not to be changed.

    Without heads, which no recipe adds to.
    """
    folder = tmp_path_factory.mktemp("extended")
    root = folder / "project"
    copy_project(root, remote=folder / "remote")
    change_params(root, models=MODELS, eval_splits=["pictures_val"], train_splits=[])
    change_params(root, views={"identity": {}})
    for step in STEP.finditer(TEXT):
        follow(root, **step.groupdict())
    draw_pictures(root / "data" / "pictures")
    run(root, "python", "-m", "tools.declared_tables")
    repro(root, "report")
    return root


def draw_pictures(folder: Path) -> None:
    for seed in range(3):
        picture = draw_picture(seed)
        write_jpeg(folder / "images" / f"{seed}.jpg", picture.rgb)
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(picture.masks[1]).save(folder / "masks" / f"{seed}.png")


def table(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / "results" / f"{name}.csv", keep_default_na=False)


def test_every_block_of_the_page_is_followed() -> None:
    assert TEXT.count("\n```\n") == len(STEP.findall(TEXT))


def test_a_measure_is_in_every_table_of_measures(project: Path) -> None:
    found = table(project, "splits/pictures_val/objects").query("model == 'tiny'")
    assert found["uncertainty_score_gap"].between(0, 1).all()
    for protocol in PROTOCOLS:
        tables = f"tables/{protocol}"
        assert set(table(project, f"{tables}/table3_task")["measure"]) > {"score_gap", "h_a"}
        assert "score_gap" in table(project, f"{tables}/figure5_task")
        assert "score_gap" not in table(project, f"{tables}/figure5_prompt")
        radar = table(project, f"{tables}/figure6_radar_pictures_val")
        assert "score_gap" in set(radar["measure"])
        assert "score_gap" in table(project, f"{tables}/correlation_pictures_val")
    report = (project / "results" / "report.html").read_text("utf-8")
    assert "1 − ΔScore" in report
    assert report.count("#475569") > 1


def test_an_entropy_is_in_its_store_and_a_measure(project: Path) -> None:
    store = xarray.open_zarr(project / "cache/entropy/pictures_val.zarr")
    assert store["h_click"].dims == ("object", "model")
    found = table(project, "splits/pictures_val/objects")
    assert found["uncertainty_h_click"].between(0, 1, inclusive="neither").any()
    assert set(table(project, "tables/selected/table2_prompt")["measure"]) > {"h_click"}


def test_a_statistic_is_in_the_scores_and_in_the_table_of_its_group(project: Path) -> None:
    scores = table(project, "splits/pictures_val/scores").query("statistic == 'halves'")
    assert set(scores["model"]) == set(MODELS)
    for protocol in PROTOCOLS:
        assert "halves" in set(table(project, f"tables/{protocol}/selective")["statistic"])
    assert "| halves | `halves` | selective |" in read_doc(project, "method")


def test_the_docs_tables_have_the_rows(project: Path) -> None:
    assert "| `h_click` | object, model | float32 | bit" in read_doc(project, "cache")
    assert "| 1 − ΔScore | `score_gap` |" in read_doc(project, "method")


def read_doc(root: Path, name: str) -> str:
    return (root / "docs" / f"{name}.md").read_text("utf-8")


def test_a_table_is_a_file_and_on_the_page(project: Path) -> None:
    found = table(project, "tables/selection")
    assert found["model"].tolist() == MODELS
    assert found["pictures_val"].between(0, 100).all()
    report = (project / "results" / "report.html").read_text("utf-8")
    section = report.partition('<h2 id="iou">')[2].partition("<h2")[0]
    assert "Where the selected proposal is the best" in section
    assert "How often the highest SamScore" in section


def test_a_view_has_cells_of_its_own(project: Path) -> None:
    views = set(table(project, "splits/pictures_val/scores")["view"])
    assert views == {"", "identity", "dark50"}
    assert (project / "cache/masks/pictures_val/tiny/dark50.zarr").is_dir()


def test_a_prompt_set_is_in_every_cell_of_the_identity_view(project: Path) -> None:
    for model in MODELS:
        cell = f"pictures_val/{model}/identity.zarr"
        features = xarray.open_zarr(project / "cache/features" / cell)
        masks = xarray.open_zarr(project / "cache/masks" / cell)
        assert features["prompt"].values.tolist() == [*PROMPTS, "pair"]
        assert masks.sizes["prompt"] == len(PROMPTS) + 1
        assert features["iou"].sel(prompt="pair").notnull().all()
    assert "| `pair` | the first two clicks together |" in read_doc(project, "method")


def test_a_reader_reads_its_split(project: Path) -> None:
    found = table(project, "splits/pictures_val/objects")
    assert len(found) == 3 * len(MODELS) * len(JUDGED_BY_PROTOCOL)
    assert table(project, "gallery/pictures_val/gallery")["file"].str.endswith(".jpg").all()


def test_a_family_made_the_cells(project: Path) -> None:
    told = (project / "results" / "splits" / "pictures_val" / "run.json").read_text("utf-8")
    assert set(re.findall(r'"family": "(\w+)"', told)) == {"nano"}


def test_nothing_is_out_of_date(project: Path) -> None:
    assert run(project, "dvc", "status", "report").strip() == "Data and pipelines are up to date."
