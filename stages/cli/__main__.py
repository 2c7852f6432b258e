"""``usam``, also run as ``python -m stages.cli``."""

from stages.program.stopping import begin, naming_extras, stoppable


def main() -> None:
    """Run ``usam`` with the arguments of this process."""
    begin()
    with stoppable(), naming_extras():
        # Imported late: the imports of the app take seconds, and Ctrl-C must end them cleanly.
        from stages.cli.app import app  # noqa: PLC0415

        app()


if __name__ == "__main__":
    main()
