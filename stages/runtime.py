"""Stage ``runtime``: the models in, seconds of every method on this machine out.

Reads   ``params.yaml:runtime``, ``params.yaml:extract`` (family, precision, device).
Writes  ``results/runtime.csv``, ``results/runtime.json``.
"""

from dataclasses import replace

from stages.extraction.timing import time_models
from stages.program.main import check_unchanged, stage_main
from stages.settings.params import read_params
from storage.outputs.results import write_runtime
from storage.paths import RUNTIME_PATH


@stage_main
def main() -> None:
    """Measure the seconds of every model and method, and write them.

    Models and heads have random weights, with which they take the same time. DVC therefore measures
    again only after a change of the settings or of the timed code, not for other weights.
    """
    params = read_params()
    timed = replace(params.extract, weights="random-0")
    seconds = time_models(timed, params.models, params.runtime.n_repeats)
    check_unchanged()
    write_runtime(RUNTIME_PATH, seconds)


if __name__ == "__main__":
    main()
