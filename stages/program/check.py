"""``python -m stages.program.check``: checks ``params.yaml``.

DVC runs it before the one command in which a name of ``params.yaml`` first meets a shell.
"""

from stages.program.main import stage_main
from stages.settings.params import read_params


@stage_main
def main() -> None:
    """Read all settings."""
    read_params()


if __name__ == "__main__":
    main()
