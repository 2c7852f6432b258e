"""``usam``: the command line for people; stages are run by DVC as ``python -m stages.<stage>``."""

import typer

from stages.cli import bench, cache, checkpoints, demo, gate, heads, plan, predict, predict_coco
from stages.family import command as family

app = typer.Typer(no_args_is_help=True, help="UncertainSAM from a feature cache.")
app.add_typer(bench.app, name="bench")
app.add_typer(cache.app, name="cache")
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(family.app, name="family")
app.add_typer(heads.app, name="heads")
app.command()(demo.demo)
app.command()(gate.gate)
app.command()(plan.plan)
app.command()(predict.predict)
app.command()(predict_coco.predict_coco)
