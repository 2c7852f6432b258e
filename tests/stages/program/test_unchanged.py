"""A stage publishes nothing under settings that are no longer those it was started with."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from stages.program.main import PIPELINE, check_unchanged, running, stage_main
from stages.program.stopping import stoppable
from stages.settings.versions import VERSIONS
from tests.fixtures.dvc_stages import ROOT, STAGES, arguments
from tests.fixtures.settings import write_versions

CELL: Final = {"split": "shapes_val", "model": "tiny", "view": "gnoise"}

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """The settings and the pipeline of the project, and a way to edit the settings."""
    for name in ("params.yaml", "dvc.yaml", "versions.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)

    def edit(how: Change) -> None:
        params = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
        how(params)
        Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), "utf-8")

    return edit


def refusal(stage: str, given: dict[str, str], edit: Callable[[], object]) -> str:
    """What a stage says before it publishes if settings are edited meanwhile; nothing is well."""
    try:
        with running(stage, given):
            edit()
            check_unchanged()
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("how", "line"),
    [
        pytest.param(lambda p: p["extract"].update(shard_objects=9), "128 -> 9", id="changed"),
        pytest.param(
            lambda p: p["views"]["gnoise"].update(seed=31),
            "views.gnoise.seed: 0 -> 31",
            id="of its view",
        ),
        pytest.param(lambda p: p["extract"].pop("precision"), "'fp32' -> None", id="taken away"),
    ],
)
def test_a_setting_that_is_recorded_is_named_with_both_values(
    change: Callable[[Change], None], how: Change, line: str
) -> None:
    message = refusal("extract", CELL, lambda: change(how))
    assert message.startswith("params.yaml must stay as it was when the stage began, got ")
    assert line in message
    assert message.endswith(
        "restore the old settings and run it again, or run it again under the new ones"
    )


def test_a_version_that_is_edited_meanwhile_is_named(change: Callable[[Change], None]) -> None:
    change(lambda p: p)
    message = refusal("train", {"split": "x"}, lambda: write_versions(Path(), train=9))
    assert message.startswith("versions.yaml must be extract: ")
    right = f"train: {VERSIONS['train']}, the versions of what this code computes, got extract: "
    assert right in message


def no_change(params: dict[str, Any]) -> None:
    """What a comment, or the order of the keys, is to YAML."""
    params["report"] = params.pop("report")


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda p: p["report"].update(title="Another"), id="title of the report"),
        pytest.param(lambda p: p["extract"].update(device="cuda"), id="device"),
        pytest.param(lambda p: p["views"].update(gnoise2={"kind": "vflip"}), id="another view"),
        pytest.param(no_change, id="order"),
    ],
)
def test_what_an_extraction_does_not_depend_on_may_change(
    change: Callable[[Change], None], how: Change
) -> None:
    assert refusal("extract", CELL, lambda: change(how)) == ""


@pytest.mark.no_cover
@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_that_dvc_records_of_a_stage_counts(
    change: Callable[[Change], None], stage: str
) -> None:
    known = CELL | {"objective": "iou_tiny", "kind": "ours"}
    given = {name: known[name] for name in arguments(stage)}
    recorded = [name for name in STAGES[stage]["params"] if isinstance(name, str)]
    names = [_filled(name, given) for name in recorded]
    assert not any("$" in name for name in names)
    for name in names:
        before = Path("params.yaml").read_text("utf-8")
        message = refusal(stage, given, lambda name=name: change(lambda p: _take(p, name)))  # type: ignore[misc]
        assert f"{name}" in message
        Path("params.yaml").write_text(before, "utf-8")


def _filled(name: str, given: dict[str, str]) -> str:
    for argument, value in given.items():
        name = name.replace(f"${{item.{argument}}}", value)
    return name.replace("${key}", given.get("split", ""))


def _take(params: dict[str, Any], name: str) -> None:
    *path, last = name.split(".")
    for key in path:
        params = params[key]
    del params[last]


def test_what_is_kept_is_told(change: Callable[[Change], None]) -> None:
    with stoppable("finished trials are kept in here"):
        message = refusal(
            "train", {"split": "x"}, lambda: change(lambda p: p["train"].update(seeds=[7]))
        )
    assert "train.seeds: [0] -> [7]; finished trials are kept in here; restore the old" in message


def test_outside_of_a_pipeline_every_setting_counts(change: Callable[[Change], None]) -> None:
    PIPELINE.unlink()
    message = refusal(
        "extract", CELL, lambda: change(lambda p: p["report"].update(title="Another"))
    )
    assert "report.title: " in message


def test_who_computes_may_change_in_and_out_of_a_pipeline(
    change: Callable[[Change], None],
) -> None:
    def edit() -> None:
        change(lambda p: p["executor"].update(kind="local"))

    assert refusal("extract", CELL, edit) == ""
    PIPELINE.unlink()
    assert refusal("extract", CELL, lambda: change(lambda p: p.pop("executor"))) == ""


@pytest.mark.usefixtures("change")
def test_settings_that_can_no_longer_be_read_end_the_stage() -> None:
    message = refusal("extract", CELL, lambda: Path("params.yaml").write_text("a: ["))
    assert message.startswith("params.yaml must be YAML")


def test_an_edit_after_the_last_look_ends_the_stage_too(
    change: Callable[[Change], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main() -> None:
        check_unchanged()
        change(lambda p: p["train"].update(seeds=[7]))

    monkeypatch.setattr(sys, "argv", ["train"])
    PIPELINE.unlink()
    with pytest.raises(SystemExit) as ended:
        stage_main(main)()
    assert ended.value.code == 1
    assert "got train.seeds: [0] -> [7]" in capsys.readouterr().err
