"""Settings: the whole of ``params.yaml`` as one typed, checked value."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, get_type_hints

from pipeline.heads.kinds import KINDS
from pipeline.prompt_kinds import EXTRA_PROMPTS
from pipeline.views import View, parse_view
from pipeline.vocabulary import ABLATIONS, MODELS
from stages.shell.blocks import (
    EntropyParams,
    EvaluateParams,
    ExecutorParams,
    ExtractParams,
    GalleryParams,
    PrepareParams,
    ReportParams,
    RuntimeParams,
    ShapesParams,
    Split,
    TrainParams,
    TuneParams,
    strict,
)
from stages.shell.parsing import parse, read_yaml
from stages.shell.rules import (
    ParamsError,
    check_known,
    some_of,
    split_name,
    split_names,
)
from stages.shell.sources import source_of
from storage.errors import listed, shown

PARAMS_FILE: Final = Path("params.yaml")


@strict
class Params:
    """Every setting: what the matrices span and stages share, then a block per stage."""

    models: Annotated[tuple[str, ...], some_of(MODELS)]
    views: dict[str, dict[str, object]]
    extra_prompts: Annotated[tuple[str, ...], some_of(EXTRA_PROMPTS, may_be_empty=True)]
    eval_splits: Annotated[tuple[str, ...], split_names()]
    train_splits: Annotated[tuple[str, ...], split_names(may_be_empty=True)]
    heads: Annotated[tuple[str, ...], some_of(KINDS)]
    ablations: Annotated[tuple[str, ...], some_of(ABLATIONS, may_be_empty=True)]
    splits: dict[Annotated[str, split_name()], Split]
    shapes: ShapesParams
    prepare: PrepareParams
    extract: ExtractParams
    entropy: EntropyParams
    tune: TuneParams
    train: TrainParams
    evaluate: EvaluateParams
    gallery: GalleryParams
    runtime: RuntimeParams
    report: ReportParams
    executor: ExecutorParams = ExecutorParams()

    def view(self, name: str) -> View:
        """A view with its parameters.

        Raises
        ------
        ParamsError
            If ``views`` has no such name, or a parameter is wrong.
        """
        check_known("view", name, tuple(self.views))
        try:
            return parse_view(name, self.views[name])
        except ValueError as error:
            raise ParamsError(str(error)) from error


LISTS: Final = (
    "models",
    "views",
    "extra_prompts",
    "eval_splits",
    "train_splits",
    "heads",
    "ablations",
    "splits",
)
BLOCKS: Final = tuple(name for name in get_type_hints(Params) if name not in LISTS)


def read_params(path: Path = PARAMS_FILE) -> Params:
    """Read all settings.

    Every stage begins by reading all of them, so that a fault in the settings of the last stage
    costs no run of the others.

    Raises
    ------
    ParamsError
        Naming the first faulty key, the rule that it breaks and its value.
    """
    params = parse(str(path), read_yaml(path), Params)
    try:
        _check_together(params)
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from error
    return params


def _check_together(params: Params) -> None:
    """Refuse settings that are right by themselves but not together."""
    if "identity" not in params.views:
        raise ParamsError(f"views must have identity, got {', '.join(params.views)}")
    for key in ("eval_splits", "train_splits"):
        _check_splits(key, getattr(params, key), params)
    _check_splits("report.paper", tuple(params.report.paper), params)
    both = sorted(set(params.eval_splits) & set(params.train_splits))
    if both:
        raise ParamsError(
            f"a split must be in eval_splits or in train_splits, got {both[0]!r} in both"
        )
    if params.train_splits and set(params.models) != set(MODELS):
        raise ParamsError(
            f"models must be {', '.join(MODELS)} where train_splits has any, for heads compare "
            f"them, got {', '.join(params.models)}"
        )
    for name in params.views:
        params.view(name)
    for name, place in params.splits.items():
        source_of(name, place)
    _check_executor(params.executor)


def _check_executor(executor: ExecutorParams) -> None:
    if executor.kind == "address" and executor.address is None:
        raise ParamsError("executor must have an address for the kind address, got none")
    jobs = executor.slurm
    if jobs.min_jobs > jobs.max_jobs:
        raise ParamsError(
            f"executor.slurm.min_jobs must not exceed max_jobs, {jobs.max_jobs}, "
            f"got {jobs.min_jobs}"
        )


def _check_splits(key: str, names: Sequence[str], params: Params) -> None:
    for name in names:
        if name not in params.splits:
            known = listed(list(params.splits))
            raise ParamsError(f"{key} must name some of splits ({known}), got {shown(name)}")
