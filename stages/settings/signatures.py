"""Cells that the settings name, and the signatures that their stores must have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.prompt_kinds import with_extra
from pipeline.sam.families import FAMILIES, LADDERS, mask_side_of, source_of
from pipeline.views import View, default_view
from pipeline.vocabulary import PROMPTS, TRAIN_PROMPTS
from stages.settings.blocks import ExtractParams, PrepareParams, Split
from stages.settings.versions import VERSIONS
from storage.checkpoints.weights import checkpoint
from storage.paths import features_path, masks_path
from storage.store.signature import SOURCE, versions

# Pillow and OpenCV read and augment; the other threads compute.
LIBRARIES: Final = ("torch", "sam2", "numpy", "opencv-python-headless", "pillow")
"""Libraries whose versions the rows of a cell depend on."""


@dataclass(frozen=True)
class CellName:
    """A cell, its prompt sets, and whether it has masks."""

    split: str
    model: str
    view: View
    prompts: tuple[str, ...]
    with_masks: bool

    def __str__(self) -> str:
        return f"{self.split}/{self.model}/{self.view.name}"

    @property
    def outputs(self) -> dict[str, Path]:
        """Paths of its stores, by their kind."""
        place = (self.split, self.model, self.view.name)
        masks = {"masks": masks_path(*place)} if self.with_masks else {}
        return {"features": features_path(*place), **masks}


def eval_cells(
    split: str, models: Sequence[str], views: Sequence[View], extra_prompts: Sequence[str] = ()
) -> list[CellName]:
    """Cells of an eval split, with masks: the method's prompt sets and, in view ``identity``, extra
    ones.
    """
    prompts = with_extra(extra_prompts)
    return [
        CellName(
            split, model, view, prompts if view.name == "identity" else PROMPTS, with_masks=True
        )
        for model in models
        for view in views
    ]


def train_cells(
    split: str, models: Sequence[str], train_prompts: Sequence[str] = ()
) -> list[CellName]:
    """Cells of a train split: identity view, two prompt sets and extra ones, no masks."""
    identity, prompts = default_view("identity"), with_extra(train_prompts, TRAIN_PROMPTS)
    return [CellName(split, model, identity, prompts, with_masks=False) for model in models]


def cell_settings(params: ExtractParams, name: CellName) -> dict[str, object]:
    """Entries of a cell's signature that are the same on any machine, from its name and settings.

    Neither images nor weights are read. The decoder's batch is left out: ``auto`` is a different
    number on a different device.
    """
    return {
        "split": name.split,
        "extract_version": VERSIONS["extract"],
        "family": params.family,
        "model": name.model,
        **_source(params.family, name.model),
        "weights": weights_name(params, name.model),
        "view": name.view.name,
        "view_parameters": name.view.described_parameters,
        "prompts": list(name.prompts),
        "precision": params.precision,
        "encoder_batch": params.encoder_batch,
        "shard_objects": params.shard_objects,
    }


def settings_of_cells(
    params: ExtractParams, names: Iterable[CellName]
) -> dict[tuple[str, str], dict[str, object]]:
    """``cell_settings`` of each cell of a split, by model and view."""
    return {(name.model, name.view.name): cell_settings(params, name) for name in names}


def weights_name(params: ExtractParams, model: str) -> str:
    """Name of a model's weights in a signature: the listed sha256 or the seed; reads no weights."""
    seed = weights_seed(params)
    if seed is not None:
        return f"random, seed {seed}"
    return checkpoint(params.family, model).sha256 or "not listed"


def _source(family: str, model: str) -> dict[str, tuple[str, str]]:
    """The family and model whose shards hold the rows of this ladder's model.

    It is a model of its own where masks are made smaller.

    >>> _source("releases", "edgetam"), _source("releases", "sam3")
    ({'source': ('edgetam', 'tiny')}, {'source': ('sam3', 'large at 256 px')})
    """
    if family not in LADDERS:
        return {}
    origin, name = source_of(family, model)
    side_px = mask_side_of(family)
    is_same = side_px == FAMILIES[origin].mask_side_px
    return {SOURCE: (origin, name if is_same else f"{name} at {side_px} px")}


def weights_seed(params: ExtractParams) -> int | None:
    """Seed of random weights; None if the weights come from the family's files."""
    kind, _, seed = params.weights.partition("-")
    return int(seed) if kind == "random" else None


def objects_signature(split: str, location: Split, params: PrepareParams) -> dict[str, object]:
    """All that the rows depend on, beside the images and masks of the data set, which they hold."""
    return {
        **objects_settings(split, location, params),
        "group": "video" if location.data_set.is_video else "image",
        # The first rasterises polygons, the next erodes masks, the last draws clicks.
        **versions("pycocotools", "opencv-python-headless", "numpy"),
    }


def objects_settings(split: str, location: Split, params: PrepareParams) -> dict[str, object]:
    """Entries of the signature of a split's objects that are the same on any machine."""
    keys = {*location.data_set.needs, *location.data_set.takes} - {"list"}
    return {
        **{key: _as_text(getattr(location.source, key)) for key in sorted(keys)},
        "split": split,
        "reader": location.reader,
        "min_area_px": params.min_area_px,
        "max_objects": "all" if location.max_objects is None else location.max_objects,
        # Without it, splits of the first objects of a file, as they were taken before, would do.
        **({} if location.max_objects is None else {"order": "seeded"}),
        "seed": params.seed,
    }


def _as_text(option: slice | tuple[object, ...] | str | None) -> str | tuple[str, ...]:
    if isinstance(option, slice):
        return f"{option.start}:{'' if option.stop is None else option.stop}:{option.step}"
    if isinstance(option, tuple):
        return tuple(map(str, option))
    return "all" if option is None else option
