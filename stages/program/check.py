"""``python -m stages.program.check``: checks ``params.yaml``.

DVC runs it before the first command that gives a name from ``params.yaml`` to a shell.
"""

from stages.program.main import stage_main
from stages.settings.params import read_params


@stage_main
def main() -> None:
    """Read and check all settings; end with an error message if one is faulty."""
    read_params()


if __name__ == "__main__":
    main()
