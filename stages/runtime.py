"""Stage ``runtime``: the models in, seconds of every method on this machine out.

Reads   ``params.yaml:runtime``, ``params.yaml:extract`` (family, precision, device).
Writes  ``results/runtime.csv``.
"""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from stages.extraction.timing import time_models
from stages.shell.asked import ExtractParams
from stages.shell.edge import stage_main
from stages.shell.params import read_block, read_lists, strict
from storage.outputs.results import write_runtime
from storage.paths import RUNTIME_PATH


@strict
class RuntimeParams:
    """Settings of the stage."""

    n_repeats: Annotated[int, Field(ge=1)]


@stage_main
def main() -> None:
    """Time every model; DVC keeps the seconds until the settings or the code that it times change.

    Weights are random, those of the models and of the heads: they take the same time, so that
    other weights are no reason to measure anew.
    """
    params = read_block("runtime", RuntimeParams)
    lists = read_lists()
    timed = replace(read_block("extract", ExtractParams), weights="random-0")
    write_runtime(RUNTIME_PATH, time_models(timed, lists.models, params.n_repeats))


if __name__ == "__main__":
    main()
