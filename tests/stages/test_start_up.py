"""What a program has imported when its own work begins: nothing that it may not need."""

import json
import subprocess
import sys
from importlib.util import find_spec
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


@pytest.mark.parametrize("program", FORBIDDEN)
def test_a_program_starts_without_what_it_does_not_use(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TOLD.format(program)], capture_output=True, text=True, check=True
    )
    assert FORBIDDEN[program] & set(json.loads(done.stdout)) == set()
