"""``usam``: the command line for people; stages are run by DVC as ``python -m stages.<stage>``."""

import typer

from stages import cli_bench, cli_cache, cli_checkpoints, cli_family, cli_params, cli_plan

app = typer.Typer(no_args_is_help=True, help="UncertainSAM from a feature cache.")
app.add_typer(cli_bench.app, name="bench")
app.add_typer(cli_cache.app, name="cache")
app.add_typer(cli_checkpoints.app, name="checkpoints")
app.add_typer(cli_family.app, name="family")
app.add_typer(cli_params.app, name="params")
app.command()(cli_plan.plan)

if __name__ == "__main__":
    app()
