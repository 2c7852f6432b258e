"""``usam cache repair``: makes damaged and missing outputs again, in the order of the pipeline."""

import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from stages.cli.columns import aligned
from stages.cli.listing import own_part
from stages.cli.run import Step, run_step, steps_of
from stages.program.main import PIPELINE, REPORTED, one_line, reported_errors
from stages.program.mend import mend
from stages.program.progress import counting, progress
from stages.program.stopping import stoppable
from stages.settings.params import read_params
from stages.settings.parsing import PARAMS_FILE, read_yaml
from storage.errors import DataError, StoreError, counted, listed, printable
from storage.files.addresses import is_address
from storage.files.manifest import ROOT
from storage.paths import CACHE
from storage.pool.dvc_cache import (
    DVC_LOCK,
    altered_files,
    are_kept,
    cache_dir,
    is_recorded,
    lacks_cached,
    mend_cache,
    put_missing,
    readers_of,
    recorded_listings,
)
from storage.store.checks import damaged_files, find_stores

FROM_CACHE: Final = "DVC's cache"
FROM_OUTPUT: Final = "the output"
"""Ways to repair: DVC's cache has the files that an output lacks, or the other way round."""

Plan = dict[Path, tuple[str, str]]
"""Fault of each faulty output, and the way to repair it: one of the two above, or a stage's name.

The way is empty if no stage makes the output. Outputs are in the order of the pipeline.
"""

Repaired = Annotated[
    str | None, typer.Argument(help="An output, or a folder of outputs; all if left out.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan alone.")]


def repair(
    path: Repaired = None,
    dry_run: DryRun = False,  # noqa: FBT002 - typer's option
) -> None:
    """Make damaged and missing outputs again, in the order of the pipeline.

    The plan is printed first. Files that DVC's cache has are taken from there. Otherwise the stage
    runs, which computes only the damaged shards of a cell; an output stays as it is until another
    one is finished. Outputs in dvc.lock count as missing if they are not there: what a remote has,
    `dvc pull` gets sooner. DVC's cache is repaired, too; its damaged files that no output has are
    removed. Exit 1 if an output is still damaged or missing.
    """
    with reported_errors(), stoppable("repaired outputs are kept"):
        mend()
        read_params()
        steps = {s.name: s for s in steps_of(read_yaml(PIPELINE), read_yaml(PARAMS_FILE))}
        plan = _look(_outputs(path, steps), steps)
        _print(plan)
        faulty, tried, changed = {*plan}, set[tuple[Path, str]](), list[Path]()
        while not dry_run and (todo := _first(plan, tried)):
            tried |= {(output, way) for output, (_, way) in todo.items()}
            tried |= {
                (out, way) for _, way in todo.values() if way in steps for out in steps[way].outs
            }
            changed += _carry_out(todo, steps)
            again = _look([*plan], steps) | _outdated(changed, steps, tried)
            _print({output: entry for output, entry in again.items() if plan.get(output) != entry})
            plan = again
            faulty |= {*plan}
    if plan:
        if not dry_run:
            named = listed([*map(str, plan)])
            print(f"error: every output must be intact, got others in {named}", file=sys.stderr)
        raise typer.Exit(1)
    n_repaired = f"repaired {counted(len(faulty), 'output')}; " if faulty else ""
    print(f"{n_repaired}nothing is damaged or missing in {printable(path or 'the outputs')}")


def _outputs(path: str | None, steps: Mapping[str, Step]) -> list[Path]:
    """Outputs of steps and of ``dvc.lock``, and further stores, in ``path`` or around it.

    None stands for all. A StoreError if there is none.
    """
    where = _place(Path(path or "."))
    made = [output for step in steps.values() for output in step.outs]
    known = dict.fromkeys([*made, *map(Path, recorded_listings())])
    outputs = {_place(output): output for output in known}
    chosen = {
        place: output
        for place, output in outputs.items()
        if place.is_relative_to(where) or where.is_relative_to(place)
    }
    try:
        stores = {store.resolve(): store for store in find_stores(Path(path or CACHE))}
    except StoreError:
        if path is not None and not chosen:
            raise
        stores = {}  # a clone may have pulled heads and results alone
    inside = (store for place, store in stores.items() if not {place, *place.parents} & {*chosen})
    return [*chosen.values(), *inside]


def _place(path: Path) -> Path:
    """Absolute path of a folder, or of a file that may be a link into DVC's cache."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def _look(outputs: Sequence[Path], steps: Mapping[str, Step]) -> Plan:
    """Look at outputs; plan how to repair those that are damaged or missing."""
    makers = {output: step for step in steps.values() for output in step.outs}
    with progress("look at outputs", len(outputs), unit="outputs") as advance:
        entries = {
            output: _fault(output, makers.get(output)) for output in counting(outputs, advance)
        }
    return {output: entry for output, entry in entries.items() if entry is not None}


def _fault(output: Path, maker: Step | None) -> tuple[str, str] | None:
    """Fault of an output, and the way to repair it; None if it is intact, or was never made."""
    has_record = is_recorded(output)
    if not output.exists():
        beside = any(out.exists() for out in maker.outs) if maker else False
        if maker is None or not (has_record or beside):
            return None
        fault = "missing"
    elif store_faults(output) if output.suffix == ".zarr" else has_record and altered_files(output):
        fault = "damaged"
    elif has_record and lacks_cached(output):
        return "damaged in DVC's cache", FROM_OUTPUT
    else:
        return None
    if are_kept(output):
        return fault, FROM_CACHE
    return fault, maker.name if maker else ""


def store_faults(store: str | Path) -> dict[str, str]:
    """Fault of each damaged file of a store; an unreadable store has one in its metadata.

    A store at an address that cannot be reached is an error.
    """
    try:
        return damaged_files(store)
    except (StoreError, OSError) as error:
        if is_address(store):
            raise  # a store that cannot be reached is not damaged
        return {ROOT: own_part(store, error)}


def _first(plan: Plan, tried: Collection[tuple[Path, str]]) -> Plan:
    """Entries of a plan to carry out next, without those that were tried.

    Files come from DVC's cache before any stage runs: an output may lack files that say which of
    its other files are damaged.
    """
    todo = {
        output: (fault, way)
        for output, (fault, way) in plan.items()
        if way and (output, way) not in tried
    }
    return {out: entry for out, entry in todo.items() if entry[1] == FROM_CACHE} or todo


def _carry_out(todo: Plan, steps: Mapping[str, Step]) -> list[Path]:
    """Carry out a plan; return the outputs that were recorded anew in ``dvc.lock``.

    A stage that fails keeps no other from running.
    """
    changed: list[Path] = []
    for way in dict.fromkeys(way for _, way in todo.values()):
        outputs = [output for output, (_, of_output) in todo.items() if of_output == way]
        try:
            changed += _repair(outputs, way, steps.get(way))
        except REPORTED as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
    return changed


def _repair(outputs: Sequence[Path], way: str, step: Step | None) -> Sequence[Path]:
    """Repair outputs in one way; return those of a stage that made others than were recorded."""
    outputs = step.outs if step else outputs
    try:
        if step:
            run_step(step)
        elif way == FROM_CACHE:
            for output in outputs:
                put_missing(output)
    finally:
        # Before DVC records an output: it would put a damaged file of its cache in its place.
        for output in filter(is_recorded, outputs):
            mend_cache(output)
    has_lock = DVC_LOCK.exists() and cache_dir().is_dir()
    if step is None or not has_lock or not any(map(altered_files, outputs)):
        return ()
    _record(step.name)
    return outputs


def _record(stage: str) -> None:
    """Let DVC record the outputs of a stage as they are, as where a stage measures time."""
    if find_spec("dvc") is None:
        raise DataError(
            f"{DVC_LOCK} must record the new outputs of {stage}, got no DVC here: run "
            f"`dvc commit -f {stage}` where it is installed"
        )
    command = [sys.executable, "-m", "dvc", "commit", "--quiet", "--force", stage]
    if status := subprocess.run(command, check=False).returncode:
        raise DataError(f"dvc commit -f {stage} must end with status 0, got {status}")


def _outdated(
    changed: Sequence[Path], steps: Mapping[str, Step], tried: Collection[tuple[Path, str]]
) -> Plan:
    """Plan of the first stage that reads changed outputs and has not run: others may read its own.

    ``changed`` are all outputs that were changed until now.
    """
    readers = readers_of(changed)
    entries = [
        (output, name)
        for name in steps
        if name in readers
        for output in steps[name].outs
        if (output, name) not in tried
    ]
    return {output: ("of other inputs", name) for output, name in entries if name == entries[0][1]}


def _print(plan: Plan) -> None:
    """Print a line for each entry of a plan."""
    lost = (
        "nothing makes it under params.yaml: remove it, or put its split, model or view back and "
        "run `usam cache repair`"
    )
    rows = [(str(output), fault, way or lost) for output, (fault, way) in plan.items()]
    if rows:
        print(aligned([("output", "fault", "made again by"), *rows]), flush=True)
