"""Imports change nothing in a process, and bring nothing that a program may not need."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

MODELS: Final = {"torch", "sam2", "torchvision"}
SEARCH: Final = {"smac", "sklearn", "ConfigSpace"}
FIGURES: Final = {"matplotlib"}
ARRAYS: Final = {"xarray", "pandas", "scipy", "numba", "dask"}
WEB: Final = {"fastapi", "uvicorn", "boto3", "obstore", "fsspec.implementations.asyn_wrapper"}

FORBIDDEN: Final = {
    "stages.tune": MODELS | SEARCH | FIGURES | ARRAYS | WEB,
    "stages.entropy": MODELS | SEARCH | FIGURES | WEB | {"xarray", "pandas", "dask"},
    "stages.evaluate": MODELS | SEARCH | FIGURES | WEB | {"numba", "dask"},
    "stages.report": MODELS | SEARCH | FIGURES | WEB | {"xarray", "scipy", "numba", "dask"},
    "stages.cli.app": MODELS | SEARCH | FIGURES | ARRAYS | WEB | {"zarr", "cv2", "pydantic"},
    "stages.cli.cache": MODELS | SEARCH | FIGURES | ARRAYS | WEB,
}
"""By program: what others need, and it does not."""

TOLD: Final = (
    "import importlib, json, sys; importlib.import_module({!r}); print(json.dumps([*sys.modules]))"
)


def test_everything_forbidden_is_there_to_be_imported() -> None:
    # Under a name that it no longer has, it would never be missed.
    names = set().union(*FORBIDDEN.values(), FORBIDDEN)
    assert {name for name in names if find_spec(name) is None} == set()


@pytest.mark.no_cover
@pytest.mark.parametrize("program", FORBIDDEN)
def test_a_program_starts_without_what_it_does_not_use(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TOLD.format(program)], capture_output=True, text=True, check=True
    )
    assert FORBIDDEN[program] & set(json.loads(done.stdout)) == set()


HOST: Final = """
import json, os, signal, sys, warnings

def state():
    handlers = {name: repr(signal.getsignal(name)) for name in signal.valid_signals()}
    streams = {name: getattr(sys, name).errors for name in ("stdout", "stderr")}
    hooks = {name: repr(getattr(sys, name)) for name in ("excepthook", "argv", "path", "flags")}
    return [repr(handlers), streams, hooks, dict(os.environ), repr(warnings.filters)]

before = state()
import pipeline, storage, stages, usam_cache
changes = [[old, new] for old, new in zip(before, state()) if old != new]
assert not changes, changes
from usam_cache import load_predictor
assert state()[:3] == before[:3]
assert "OMP_WAIT_POLICY" not in os.environ
assert "decompression bomb" not in repr(warnings.filters)
"""
"""A package of another project: its ``__init__.py``."""

TRAIN: Final = """
import time
try:
    print("training", flush=True)
    time.sleep(60)
finally:
    open("checkpoint", "w").close()
"""
"""Its program, which saves its work when it is interrupted."""


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "start",
    [
        ("-m", "mylab.train"),
        pytest.param(
            ("-c", "import mylab, runpy; runpy.run_module('mylab.train', run_name='__main__')"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["module", "script"],
)
def test_importing_changes_nothing_in_the_process(start: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "__init__.py").write_text(HOST)
    (tmp_path / "mylab" / "train.py").write_text(TRAIN)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("OMP_WAIT_POLICY", None)
    with subprocess.Popen(
        [sys.executable, *start, "stages.extract"],  # an argument, not the module that is run
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "training\n", host.communicate()[1]
        host.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in host.communicate(timeout=60)[1]
    assert (tmp_path / "checkpoint").exists()
