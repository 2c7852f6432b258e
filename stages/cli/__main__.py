"""``usam``, also run as ``python -m stages.cli``."""

from stages.program.stopping import begin, naming_extras, stoppable


def main() -> None:
    """Run the command line."""
    begin()
    with stoppable(), naming_extras():
        # Its imports take seconds.
        from stages.cli.app import app  # noqa: PLC0415

        app()


if __name__ == "__main__":
    main()
