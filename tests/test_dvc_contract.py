"""dvc.yaml and params.yaml say of every stage what its code says."""

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest
import yaml

from pipeline.heads.kinds import KINDS
from pipeline.sam.families import FAMILIES
from stages.settings.signatures import cell_settings, embedding_cells, train_cells
from storage import paths
from storage.paths import SHAPES
from tests.fixtures.dvc_stages import (
    CHEAP,
    DECLARED,
    PACKAGES,
    ROOT,
    STAGES,
    VERSIONED,
    arguments,
    code_deps,
    compares_settings,
    files_below,
    first_statement,
    has_code,
    plumbing,
    reached,
    settings_of,
    settings_read,
    tracked_files,
    versions_of,
    whole_params_passed,
)
from tests.fixtures.mini import MODELS
from tests.fixtures.plumbing import PLUMBING
from tests.fixtures.signatures import extract_params

PARAMS: Final[dict[str, Any]] = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))

LISTS: Final = {
    name for name, value in PARAMS.items() if isinstance(value, list) or name in {"views", "splits"}
}

NO_PARAM_OF_EXTRACT: Final = {"device"}
"""Where a cell is made changes nothing in it that should cost an hour to make again."""

NO_INPUT: Final = {"executor"}
"""Blocks that change no result, and whose change re-runs nothing."""

READ_CELLS: Final = ("entropy", "tune", "train", "evaluate", "gallery")
"""Stages that open cells, and hold them to the block ``extract``."""

IN_SIGNATURES: Final = frozenset(
    f"extract.{key}"
    for key in cell_settings(extract_params(), *train_cells("any", MODELS[:1]))
    if key in PARAMS["extract"]
)
"""Settings of ``extract`` that show in the signature of a cell, wherever it is made."""

BLOCKS_READ: Final = {
    "extract_train": {"extract"},
    "embed": {"extract"},
    "runtime": {"runtime", "extract"},
    **{stage: {stage, "extract"} & set(PARAMS) for stage in READ_CELLS},
    "evaluate": {"evaluate", "extract", "train"},
}
"""Blocks that stages read, where those are not the one of their name alone."""

PARAMS_OF_OTHERS: Final = {
    "runtime": {"extract.family", "extract.precision"},
    **dict.fromkeys(READ_CELLS, IN_SIGNATURES),
    "evaluate": {*IN_SIGNATURES, "train.seeds"},
}
"""What a stage takes from the block of another. The seconds of a click depend on two settings of
the models, and on the machine, which DVC does not know. A cell is refused under other settings than
those in its signature."""

SPLIT, MODEL, VIEW, OBJECTIVE, KIND = (
    f"${{item.{name}}}" for name in ("split", "model", "view", "objective", "kind")
)

OUTS: Final = {
    "shapes": [SHAPES],
    "prepare": [paths.objects_path("${key}")],
    "extract": [
        paths.features_path(SPLIT, MODEL, VIEW),
        paths.masks_path(SPLIT, MODEL, VIEW),
    ],
    "extract_train": [paths.features_path(SPLIT, MODEL, VIEW)],
    "embed": [paths.embeddings_path(SPLIT, MODEL)],
    "entropy": [paths.entropy_path(SPLIT)],
    "tune": [
        path(SPLIT, kind, OBJECTIVE)
        for kind in KINDS
        for path in (paths.tuning_path, paths.trials_path)
    ],
    "train": [paths.kind_dir(SPLIT, KIND)],
    "evaluate": [paths.results_dir(SPLIT)],
    "gallery": [paths.gallery_dir(SPLIT)],
    "runtime": [paths.RUNTIME_PATH, paths.RUNTIME_PATH.with_suffix(".json")],
    "report": [paths.RESULTS / name for name in ("metrics.json", "tables", "report.html")],
}
"""Where the code writes."""


@pytest.mark.parametrize("stage", VERSIONED)
def test_a_stage_that_takes_hours_depends_on_its_version_and_on_no_source(stage: str) -> None:
    assert code_deps(stage) == []
    own = {"extract_train": "extract"}.get(stage, stage)
    read = [] if stage == "embed" else ["extract"]
    assert versions_of(stage) == list(dict.fromkeys([*read, own]))


@pytest.mark.parametrize("stage", CHEAP)
def test_a_stage_that_opens_cells_depends_on_their_version(stage: str) -> None:
    assert versions_of(stage) == (["extract"] if stage in READ_CELLS else [])


@pytest.mark.parametrize("stage", CHEAP)
def test_source_that_a_stage_imports_is_a_dependency_or_plumbing(stage: str) -> None:
    deps = {file for path in code_deps(stage) for file in files_below(path)}
    others = reached(stage) - deps - plumbing()
    assert not others, (
        f"{stage} must depend on what it imports, or tests/fixtures/plumbing.py must say why not, "
        f"got {sorted(others)}"
    )


@pytest.mark.parametrize("stage", CHEAP)
def test_a_stage_depends_on_no_source_that_it_does_not_import(stage: str) -> None:
    deps = {file for path in code_deps(stage) for file in files_below(path)}
    unused = sorted(file for file in deps - reached(stage) if has_code(file))
    assert not unused, f"{stage} must import what it depends on, got {unused}"
    assert sorted(set(code_deps(stage))) == sorted(code_deps(stage))


def test_plumbing_is_what_stages_import_and_none_depends_on() -> None:
    found = set().union(*(reached(stage) for stage in STAGES)) & plumbing()
    assert [path for path in PLUMBING if not files_below(path) & found] == []


@pytest.mark.parametrize("stage", ["extract", "extract_train"])
def test_an_extract_stage_depends_on_each_of_its_params_but_the_device(stage: str) -> None:
    expected = {f"extract.{key}" for key in PARAMS["extract"] if key not in NO_PARAM_OF_EXTRACT}
    # Views of train splits have the parameters in their names, and defaults.
    expected |= {
        "extract": {f"views.{VIEW}", "extra_prompts"},
        "extract_train": {"train_prompts"},
    }[stage]
    assert sorted(settings_of(stage)) == sorted(expected)
    assert set(PARAMS["extract"]) >= NO_PARAM_OF_EXTRACT


def test_embeddings_depend_on_what_is_in_their_signature() -> None:
    (name,) = embedding_cells("any", MODELS[:1])
    of_extract = set(PARAMS["extract"]) & {*cell_settings(extract_params(), name)}
    assert sorted(settings_of("embed")) == sorted(f"extract.{key}" for key in of_extract)


@pytest.mark.parametrize(
    "stage", [name for name in STAGES if not name.startswith(("extract", "embed"))]
)
def test_another_stage_depends_on_its_block_and_the_lists_it_reads(stage: str) -> None:
    split = "${key}" if "foreach" in DECLARED["stages"][stage] else SPLIT
    lists = {
        f"splits.{split}" if name == "splits" else name for name in settings_read(stage) & LISTS
    }
    others = PARAMS_OF_OTHERS.get(stage, set())
    own = {stage} & set(PARAMS)
    assert sorted(settings_of(stage)) == sorted({*own, *lists, *others})


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_no_blocks_but_its_own(stage: str) -> None:
    assert settings_read(stage) - LISTS - NO_INPUT == BLOCKS_READ.get(stage, {stage})


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_checks_all_settings_before_anything_else(stage: str) -> None:
    assert re.match(r"params = read_params\(\)(\.\w+)?$", first_statement(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_hands_on_no_more_than_its_settings(stage: str) -> None:
    assert whole_params_passed(stage) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_compares_its_settings_before_it_publishes(stage: str) -> None:
    assert compares_settings(stage)


def test_blocks_of_params_and_stages_share_their_names() -> None:
    assert set(PARAMS) - LISTS - NO_INPUT == (
        {*STAGES, "embeddings"} - {"extract_train", "entropy", "embed"}
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_script_of_its_name_with_the_arguments_it_takes(stage: str) -> None:
    assert (ROOT / "stages" / f"{stage}.py").is_file()
    command, declared = f"python -m stages.{stage}", STAGES[stage]["cmd"]
    # DVC makes a command of each line of a text, not of an item of a list.
    if "matrix" in DECLARED["stages"][stage]:
        # That a matrix spans the arguments is another test.
        assert declared == [f"{command} ${{item}}"]
    elif "foreach" in DECLARED["stages"][stage]:
        assert declared == ["python -m stages.program.check", f"{command} '${{key}}'"]
    else:
        assert declared == command


@pytest.mark.parametrize("stage", STAGES)
def test_a_matrix_spans_the_lists_of_the_arguments(stage: str) -> None:
    splits = "train_splits" if stage in {"extract_train", "tune", "train"} else "eval_splits"
    block = "embeddings." if stage == "embed" else ""
    lists = {
        "split": "${embeddings.splits}" if block else f"${{{splits}}}",
        "model": f"${{{block}models}}",
        "view": "${train_views}" if stage == "extract_train" else "${views}",
        "objective": "${objectives}",
        "kind": "${heads}",
    }
    declared = DECLARED["stages"][stage]
    if "foreach" in declared:
        assert declared["foreach"] == "${splits}"
        assert arguments(stage) == ["split"]
    else:
        assert declared.get("matrix", {}) == {name: lists[name] for name in arguments(stage)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_paths_it_writes(stage: str) -> None:
    # A plain string is no mapping with `persist` or `cache: false`, which both switch off the run
    # cache.
    assert STAGES[stage]["outs"] == [path.as_posix() for path in OUTS[stage]]


@pytest.mark.parametrize("stage", STAGES)
def test_an_error_about_a_missing_output_names_the_stage(stage: str) -> None:
    values = {"split": "a-b", "model": "tiny", "view": "vflip", "objective": "task_gap"}
    values |= {"kind": "ours"}
    target = "-".join(values[name] for name in arguments(stage))
    for out in OUTS[stage]:
        path = out.as_posix().replace("${key}", values["split"])
        for name, value in values.items():
            path = path.replace(f"${{item.{name}}}", value)
        files = [Path(path)] if Path(path).suffix else [Path(path), Path(path) / "file.csv"]
        for file in files:
            assert f"`dvc repro {stage}{'@' if target else ''}{target}`" in paths.remedy(file)


def test_nothing_is_declared_in_another_way() -> None:
    assert set(DECLARED) == {"stages", "metrics"}
    about = {"desc", "cmd", "params", "deps", "outs", "matrix"}
    strange = {name: set(stage) - about for name, stage in STAGES.items()}
    assert not any(strange.values()), strange


NO_DEPENDENCY: Final = (
    "storage/checkpoints/mini_weights/",
    "storage/checkpoints/mini_photos_weights/",
    "storage/head_files/",
    "stages/web/scenes.csv",
    "stages/web/static/",
)
"""Data on which no stage depends: weights, whose sha256 is in the list of their family; heads that
ship, which are made from outputs of stages; and the page of ``usam demo``.
"""


def test_every_data_file_of_the_packages_is_a_dependency() -> None:
    files = [path for path in tracked_files(*PACKAGES) if not path.endswith((".py", "py.typed"))]
    declared = {
        path.replace("${extract.family}", family)
        for stage in STAGES.values()
        for path in stage.get("deps", [])
        for family in FAMILIES
    }
    uncovered = {
        file
        for file in files
        if declared.isdisjoint([file, *map(str, PurePosixPath(file).parents)])
        and not file.startswith(NO_DEPENDENCY)
    }
    assert uncovered == set()
