"""``usam``: the command line for people; stages are run by DVC as ``python -m stages.<stage>``."""

import typer

from stages.cli import bench, cache, checkpoints, family, gate, plan

app = typer.Typer(no_args_is_help=True, help="UncertainSAM from a feature cache.")
app.add_typer(bench.app, name="bench")
app.add_typer(cache.app, name="cache")
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(family.app, name="family")
app.command()(gate.gate)
app.command()(plan.plan)
