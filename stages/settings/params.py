"""Reads all of ``params.yaml`` as one typed, checked object, and finds the place of the cache."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import StrictStr

from pipeline.heads.kinds import KINDS
from pipeline.prompt_kinds import EXTRA_PROMPTS
from pipeline.sam.families import models_of
from pipeline.views import View, default_view, parse_view
from pipeline.vocabulary import ABLATIONS, OWN_ABLATIONS, objectives_of
from stages.settings import blocks
from stages.settings.parsing import PARAMS_FILE, check_known, parse, read_yaml, strict
from stages.settings.versions import check_versions
from storage.checkpoints.weights import FILE, seed_of
from storage.errors import DataError, listed, shown
from storage.files.addresses import is_address
from storage.paths import CACHE

LEAST_TO_LEARN: Final = 2
LEAST_FOR_INTERVALS: Final = 3
"""Fewest images or videos of a train split, and of an eval split with intervals.

Splits are cut and resampled by whole images or videos.
"""

CACHE_VARIABLE: Final = "USAM_CACHE"
"""Environment variable with the place of the cache.

It is not a setting of ``params.yaml``: the place depends on the machine, and another place must not
make a stage run again.
"""


@strict
class Params:
    """All settings: lists for DVC's matrices, settings that stages share, and a block per stage."""

    models: blocks.SomeUnique[StrictStr]
    objectives: blocks.SomeUnique[StrictStr]
    views: dict[str, dict[str, object]]
    extra_prompts: blocks.Unique[Annotated[str, blocks.one_of(EXTRA_PROMPTS)]]
    train_prompts: blocks.Unique[Annotated[str, blocks.one_of(EXTRA_PROMPTS)]]
    train_views: blocks.SomeUnique[StrictStr]
    eval_splits: blocks.SomeUnique[StrictStr]
    train_splits: blocks.Unique[StrictStr]
    heads: blocks.SomeUnique[Annotated[str, blocks.one_of(KINDS)]]
    ablations: blocks.Unique[Annotated[str, blocks.one_of((*ABLATIONS, *OWN_ABLATIONS))]]
    splits: dict[blocks.SplitName, blocks.Split]
    shapes: blocks.ShapesParams
    prepare: blocks.PrepareParams
    extract: blocks.ExtractParams
    embeddings: blocks.EmbeddingsParams
    tune: blocks.TuneParams
    train: blocks.TrainParams
    evaluate: blocks.EvaluateParams
    gallery: blocks.GalleryParams
    runtime: blocks.RuntimeParams
    report: blocks.ReportParams
    executor: blocks.ExecutorParams = blocks.ExecutorParams()

    def __post_init__(self) -> None:
        """Refuse settings that are valid alone but not together."""
        if "identity" not in self.views:
            raise ValueError(f"views must have identity, got {', '.join(self.views)}")
        for key in ("eval_splits", "train_splits"):
            self._check_splits(key, getattr(self, key))
        self._check_splits("report.paper", tuple(self.report.paper))
        if self.report.chosen_on is not None:
            self._check_chosen_on(self.report.chosen_on)
        self._check_splits("embeddings.splits", self.embeddings.splits)
        shared = sorted(set(self.eval_splits) & set(self.train_splits))
        if shared:
            raise ValueError(
                f"a split must be in eval_splits or in train_splits, got {shared[0]!r} in both"
            )
        self._check_models()
        for name in self.views:
            if self.view(name).kind.map_masks:
                raise ValueError(f"views must leave objects their size, got {name} (train_views)")
        if self.train_views[0] != "identity":
            raise ValueError(f"train_views must begin with identity, got {self.train_views[0]!r}")
        for name in self.train_views:
            default_view(name)

    def _check_models(self) -> None:
        family = models_of(self.extract.family)
        if self.models != tuple(model for model in family if model in self.models):
            raise ValueError(
                f"models must be some of {', '.join(family)}, in this order, got "
                f"{', '.join(map(shown, self.models))}"
            )
        self._check_weights(family)
        for model in self.embeddings.models:
            if model not in self.models:
                raise ValueError(
                    f"embeddings.models must name some of models ({', '.join(self.models)}), got "
                    f"{shown(model)}"
                )
        learned = objectives_of(self.models)
        if self.train_splits and self.objectives != learned:
            raise ValueError(
                f"objectives must be [{', '.join(learned)}], what heads learn of these models, got "
                f"[{', '.join(map(shown, self.objectives))}]"
            )

    def _check_weights(self, family: Sequence[str]) -> None:
        weights = self.extract.weights
        for model in () if isinstance(weights, str) else weights:
            if model not in family:
                raise ValueError(
                    f"extract.weights must be by models of the family ({', '.join(family)}), got "
                    f"{shown(model)}"
                )
        is_path = isinstance(weights, str) and weights != FILE and seed_of(weights) is None
        if is_path and len(self.models) > 1:
            raise ValueError(
                f"extract.weights must be by model ({self.models[0]}: {weights}), since a file has "
                f"the weights of one, got one file for {', '.join(self.models)}"
            )

    def _check_splits(self, key: str, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.splits:
                splits = listed(list(self.splits))
                raise ValueError(f"{key} must name some of splits ({splits}), got {shown(name)}")

    def _check_chosen_on(self, name: str) -> None:
        if name not in self.eval_splits:
            splits = ", ".join(self.eval_splits)
            raise ValueError(
                f"report.chosen_on must be null or one of eval_splits ({splits}), got {shown(name)}"
            )

    @property
    def used_splits(self) -> tuple[str, ...]:
        """Names of the splits that have cells: the eval splits, the train splits, then the rest.

        Splits of the rest have embeddings alone.
        """
        names = (*self.eval_splits, *self.train_splits, *self.embeddings.splits)
        return tuple(dict.fromkeys(names))

    def view(self, name: str) -> View:
        """The view of a name in ``views``, with its parameters."""
        check_known("view", name, tuple(self.views))
        return parse_view(name, self.views[name])


def read_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check all settings, and the versions in ``versions.yaml``.

    Every stage first reads all settings, so that an error in the settings of the last stage is
    reported before the first stage runs.

    Raises
    ------
    ParamsError
        If a setting is faulty (the message has the key, its rule and its value), or a stage's
        version in ``versions.yaml`` differs from this code's.
    """
    params = parse(str(path), read_yaml(path), Params)
    check_versions()
    return params


def check_size(split: str, n_groups: int, *, is_train: bool, is_eval: bool) -> str:
    """Refuse a train split that is too small to learn from; note an eval split that is too small.

    ``n_groups`` is the number of images (in a data set of videos, of videos) with an object. Too
    small a train split is a ``DataError``: otherwise, only the search would fail, hours later. The
    note, about intervals, is empty for an eval split that is large enough.
    """
    if is_train and n_groups < LEAST_TO_LEARN:
        raise DataError(
            f"train split {split} must have objects in at least {LEAST_TO_LEARN} images or videos, "
            f"one to learn from and one to be judged on, got {n_groups}"
        )
    if is_eval and n_groups < LEAST_FOR_INTERVALS:
        return (
            f"note: intervals and verdicts need objects in {LEAST_FOR_INTERVALS} or more images or "
            f"videos, got {n_groups} in {split}"
        )
    return ""


def cache_location() -> str | Path:
    """Folder or address of the cache whose objects, features and masks a stage reads.

    The environment variable ``USAM_CACHE`` names it. The default is the repository's cache, to
    which stages always write.
    """
    location = os.environ.get(CACHE_VARIABLE, "")
    return location if is_address(location) else Path(location or CACHE)
