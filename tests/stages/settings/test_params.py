"""Settings: a fault is named with its key, the rule and the value, whatever stage it is of."""

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.views import default_view, entropy_views
from pipeline.vocabulary import ABLATIONS, NEAR_CLICKS, PROMPTS
from stages.settings.blocks import ExecutorParams
from stages.settings.params import Params, read_params
from stages.settings.parsing import ParamsError
from stages.settings.signatures import eval_cells
from stages.tables.paper import paper_numbers
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.mini import MODELS
from tests.fixtures.settings import BLOCKS, settings

SETS = sorted([ROOT / "params.yaml", *(ROOT / "params").glob("*.yaml")])

PLACE: dict[str, Any] = {"reader": "coco", "images": "val/", "annotations": "val.json"}
VIDEOS: dict[str, Any] = {
    "reader": "davis",
    "images": "val/",
    "annotations": "val/",
    "list": "val.txt",
}

Write = Callable[[str | bytes | dict[str, Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write settings, as text or as what yaml makes of it."""

    def write_params(content: str | bytes | dict[str, Any]) -> Path:
        path = tmp_path / "params.yaml"
        text = yaml.safe_dump(content) if isinstance(content, dict) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_params


def message(path: Path) -> str:
    """What the refusal of some settings says behind the name of the file: one line."""
    with pytest.raises(ParamsError) as caught:
        read_params(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert len(text) < 500
    assert text.isprintable()
    return text.removeprefix(str(path)).removeprefix(":").strip()


def is_like(text: str, expected: str) -> bool:
    """Whether a text is another one, in which ``.*`` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, expected.split(".*"))), text) is not None


def place(**changes: object) -> dict[str, Any]:
    """Settings with another place of a split."""
    return {"splits": settings()["splits"] | {"shapes_val": {**PLACE, **changes}}}


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_set_of_the_repository_parses_and_has_every_key(path: Path) -> None:
    params = read_params(path)
    content, default = (yaml.safe_load(p.read_text("utf-8")) for p in (path, ROOT / "params.yaml"))
    assert set(content) == set(Params.__annotations__)
    assert {name: set(content[name]) for name in BLOCKS} == {n: set(default[n]) for n in BLOCKS}
    assert set(params.splits) == {*params.eval_splits, *params.train_splits}


def test_the_papers_settings_are_the_papers() -> None:
    params = read_params(ROOT / "params" / "paper.yaml")
    readers = {params.splits[name].reader for name in params.train_splits}
    assert readers == {"davis", "ade20k", "coco", "sav_videos"}
    assert params.eval_splits == (
        *("davis_val", "ade20k_val", "mose_train", "coco_val", "sav_val", "sav_test"),
    )
    assert (params.extract.family, params.extract.weights) == ("sam2", "file")
    assert params.tune.n_trials == 100
    of_entropies = {"identity", "vflip", "jpeg10", "jpeg30", "gblur5", "gnoise"}
    assert set(entropy_views(params.views)) == of_entropies
    assert set(params.views) == {*of_entropies, *paper_numbers("view")["view"]}
    assert (params.models, set(params.ablations)) == (MODELS, set(ABLATIONS))
    assert set(params.report.paper) == set(params.splits)


def test_settings_come_out_typed_and_frozen(write: Write) -> None:
    params = read_params(write(settings(models=list(MODELS), **place(max_objects=7))))
    assert params.models == MODELS
    split = params.splits["shapes_val"]
    assert (split.reader, split.images, split.max_objects) == ("coco", "val/", 7)
    with pytest.raises(FrozenInstanceError):
        params.executor.n_threads = 3  # type: ignore[misc]


def test_numbers_are_those_that_dvc_reads(write: Write) -> None:
    # YAML 1.1 takes 1e-3 for text, and 0100 for 64.
    text = yaml.safe_dump(settings())
    text = text.replace("learning_rate: 0.03", "learning_rate: 1e-3")
    params = read_params(write(text.replace("n_resamples: 1000", "n_resamples: 0100")))
    assert (params.tune.learning_rate, params.evaluate.n_resamples) == (0.001, 100)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"models": []}, "models must have at least 1 item .* got []"),
        ({"models": ["tiny", "huge"]}, "models must be some of tiny, small, .* got 'tiny', 'huge'"),
        ({"models": ["large", "tiny"]}, "models must be .*, in this order, got 'large', 'tiny'"),
        ({"models": ["tiny"]}, "objectives must be [iou_tiny, iou_refined, .* got ['iou_tiny', .*"),
        ({"views": {"vflip": {}}}, "views must have identity, got vflip"),
        (
            {"views": {"identity": {}, "half": {}}},
            "views must leave objects their size, got half (train_views)",
        ),
        ({"train_views": ["half"]}, "train_views must begin with identity, got 'half'"),
        ({"train_views": ["identity", "jpeg"]}, "view must be one of .* got 'jpeg'"),
        ({"views": {"identity": None}}, "views.identity must be a valid dictionary, got None"),
        (
            {"ablations": ["no_token"]},
            "ablations must be 'no_mask', .* or 'trees', got 'no_token'",
        ),
        ({"heads": ["ours", "ours"]}, "heads must have each item once, got ['ours', 'ours']"),
        ({"eval_splits": ["test"]}, "eval_splits must name .* (.*shapes_val.*), got 'test'"),
        ({"train_splits": ["shapes_val"]}, "a split must be in .* got 'shapes_val' in both"),
        (place(reader="voc"), "splits.shapes_val.reader must be 'coco', .* got 'voc'"),
        (place(images="s3://lab/val"), "splits.shapes_val.images must be a folder, .* an address"),
        (place(images="a\0b"), "splits.shapes_val.images must be text of one line .* got '.*'"),
        (
            place(**VIDEOS | {"list": None}),
            "splits.shapes_val must have a key 'list' for reader davis",
        ),
        (place(**VIDEOS, frames={"start": 3, "end": 3}), "splits.shapes_val.frames.end must .* 3"),
        (place(frames={"start": 1}), "splits.shapes_val.reader coco must be given .* 'frames'"),
        ({"prepare": {"seed": True}}, "prepare.seed must be a valid integer, got True"),
        (
            {"extract": {"family": "sam9"}},
            "extract.family must be 'mini', 'mini-photos', .* got 'sam9'",
        ),
        (
            {"extract": {"weights": "random"}},
            "extract.weights must be file, random-SEED, .* got 'random'",
        ),
        ({"extract": {"decoder_batch": 0}}, "extract.decoder_batch must .* 1 or be 'auto', got 0"),
        ({"tune": {"epochs": 1}}, "tune.epochs must be greater .* 5, got 1"),
        (
            {"tune": {"epochs": 1}, "gallery": {"side_px": 9}},
            "tune.epochs must be greater than or equal to 5, got 1",
        ),
        ({"report": {"title": "  "}}, "report.title must be text of one line .* got '  '"),
        ({"tune": {"momentum": float("nan")}}, "tune.momentum must be less .* 0.9, got nan"),
        ({"evaluate": {1: 2}}, "evaluate must have no key but n_curve_points, .* got 1"),
        ({"executor": {"kind": "address"}}, "executor must have an address .* got none"),
        ({"executor": {"address": "login1"}}, "executor.address.* must be text like .* 'login1'"),
        ({"executor": {"slurm": {"memory": "16G"}}}, "executor.slurm.memory must be .* '16G'"),
        ({"executor": {"slurm": {"min_jobs": 5}}}, "executor.slurm.min_jobs must not .* got 5"),
        ({"report": {"paper": {"coco": "COCO"}}}, "report.paper must name .* got 'coco'"),
        ({"report": {"paper": {"shapes_val": "coco"}}}, "report.paper.shapes_val must be .*'coco'"),
        (
            {"report": {"chosen_on": "shapes_train"}},
            "report.chosen_on must be null or one of eval_splits .* got 'shapes_train'",
        ),
        (
            {"train": {"seeds": []}},
            "train.seeds must have at least 1 item .* got []",
        ),
        ({"entrpy": {}}, "settings must have no key but models, .* executor, got 'entrpy'"),
        ({"report": {"chosen_on": 2017}}, "report.chosen_on must be text .* got 2017"),
        ({"report": {"title": "x" * 10**4}}, "report.title must be text .* got 'xxx.*xxx'"),
    ],
    ids=lambda value: str(value)[:80],
)
def test_a_faulty_setting_is_named_with_its_rule(
    changes: dict[str, Any], expected: str, write: Write
) -> None:
    assert is_like(message(write(settings(**changes))), expected)


@pytest.mark.parametrize(
    "name",
    ["x;touch PWNED", "$(touch PWNED)", "it's", "-rf", "a/b", "", "é", "a\n", "x" * 1000, 7, None],
)
def test_a_split_is_named_by_letters_digits_and_two_signs(name: object, write: Write) -> None:
    expected = message(write(settings(splits=settings()["splits"] | {name: PLACE})))
    assert expected.startswith("splits must be named by letters, digits, _ and, not first, -, got ")


def test_a_missing_key_is_named(write: Write) -> None:
    content = settings()
    del content["ablations"]
    assert message(write(content)) == "ablations must be there, got none"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "must be a mapping, got nothing"),
        ("- models\n", "must be a mapping, got ['models']"),
        ("models: [tiny\nviews: []\n", "must be YAML, got in line 2: .*"),
        ("tune: !!python/name:os.system x\n", "must be YAML, got in line 1: .*"),
        (f"tune: {'9' * 5000}\n", "must be YAML, got .*"),
        (f"tune: {'[' * 2000}{']' * 2000}\n", "must have a few levels of settings, got hundreds"),
        ("tune:\n  seed: 0\n  seed: 1\n", "must have each key once, got 'seed' again in line 3"),
        ("a: 1\ntitle: Größe\n".encode("latin-1"), "must be text in UTF-8, got .* 0xf6 in line 2"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(
    content: str | bytes, expected: str, write: Write
) -> None:
    assert is_like(message(write(content)), expected)


def test_missing_settings_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml must be there, got none: go to the root"):
        read_params(tmp_path / "params.yaml")


def test_settings_may_leave_out_who_computes(write: Write) -> None:
    params = settings()
    del params["executor"]
    assert read_params(write(params)).executor == ExecutorParams(kind="inline")


def test_extra_prompts_are_in_cells_of_the_identity_view_alone() -> None:
    views = [default_view("identity"), default_view("vflip")]
    identity, flipped = eval_cells("any", ["tiny"], views, ["near", "box"])
    assert identity.prompts == (*PROMPTS, "box", *NEAR_CLICKS)
    assert flipped.prompts == PROMPTS
