"""``python -m stages.shell.check``: says what is wrong with ``params.yaml``, if anything is.

DVC runs it before the one command in which a name of ``params.yaml`` first meets a shell.
"""

from stages.shell.params import read_params
from stages.shell.program import stage_main


@stage_main
def main() -> None:
    """Read all settings."""
    read_params()


if __name__ == "__main__":
    main()
