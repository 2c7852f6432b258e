"""``usam``, also run as ``python -m stages.cli``."""

from stages.program.stopping import listen, naming_extras, stoppable, write_any_text


def main() -> None:
    """Run the command line."""
    write_any_text()
    listen()
    with stoppable(), naming_extras():
        # Its imports take seconds.
        from stages.cli.app import app  # noqa: PLC0415

        app()


if __name__ == "__main__":
    main()
