"""Lists the cells that settings ask for, and the signature entries that their stores must have."""

from collections.abc import Iterable, Sequence
from typing import Final

from pipeline.embeddings import level_names
from pipeline.prompt_kinds import with_extra
from pipeline.sam.families import FAMILIES, TransformersModel
from pipeline.views import View, default_view
from pipeline.vocabulary import PROMPTS, TRAIN_PROMPTS
from stages.settings.blocks import ExtractParams, PrepareParams, Split
from stages.settings.versions import VERSIONS
from storage.checkpoints.weights import Checkpoint, check_there, checkpoint, seed_of
from storage.split.cell_name import CellName
from storage.split.sharded_table import SHARD_IMAGES
from storage.store.signature import versions

# Pillow and OpenCV read and augment images; the other libraries compute.
LIBRARIES: Final = ("torch", "sam2", "numpy", "opencv-python-headless", "pillow")
"""Libraries whose versions the rows of every cell depend on."""


def library_versions(family: str, model: str) -> dict[str, str]:
    """Versions of the libraries that the rows of a model's cells depend on, as signature entries.

    Raises a PackageNotFoundError if a library is not installed.
    """
    member = FAMILIES[family].models[model]
    of_encoder = member.libraries if isinstance(member, TransformersModel) else ()
    return versions(*LIBRARIES, *of_encoder)


def eval_cells(
    split: str, models: Sequence[str], views: Sequence[View], extra_prompts: Sequence[str] = ()
) -> list[CellName]:
    """List the cells of an eval split, model by model; they have masks and ``PROMPTS``.

    Cells of the view ``identity`` have the extra prompt sets, too.
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
    split: str,
    models: Sequence[str],
    train_prompts: Sequence[str] = (),
    train_views: Sequence[str] = ("identity",),
) -> list[CellName]:
    """List the cells of a train split, model by model; they have no masks.

    Their prompt sets are ``center``, ``refined`` and ``train_prompts``. Parameters of views that
    their names do not give have their defaults.
    """
    prompts = with_extra(train_prompts, TRAIN_PROMPTS)
    return [
        CellName(split, model, default_view(view), prompts, with_masks=False)
        for model in models
        for view in train_views
    ]


def embedding_cells(split: str, models: Sequence[str]) -> list[CellName]:
    """List the names of the embeddings of a split, one per model; the view is ``identity``."""
    identity = default_view("identity")
    return [CellName(split, model, identity, (), with_masks=False) for model in models]


def cell_settings(params: ExtractParams, name: CellName) -> dict[str, object]:
    """Entries of the signature of a cell, or of embeddings, that are the same on any machine.

    Neither images nor weights are read: digests of objects are left out. So is the decoder's batch,
    since ``auto`` is another number on another device.
    """
    if name.is_embeddings:
        return embedding_settings(params, name.model) | {"split": name.split}
    return {
        "split": name.split,
        "extract_version": VERSIONS["extract"],
        "family": params.family,
        "model": name.model,
        "weights": weights_name(params, name.model),
        "view": name.view.name,
        "view_parameters": name.view.described_parameters,
        "prompts": list(name.prompts),
        "precision": params.precision,
        "encoder_batch": params.encoder_batch,
        "shard_objects": params.shard_objects,
    }


def embedding_settings(params: ExtractParams, model: str) -> dict[str, object]:
    """Entries of the signature of a model's embeddings that are the same on any machine."""
    return {
        "embed_version": VERSIONS["embed"],
        "family": params.family,
        "model": model,
        "weights": weights_name(params, model),
        "view": "identity",
        "precision": params.precision,
        "levels": level_names(params.precision),
        "shard_images": SHARD_IMAGES,
    }


Settings = dict[tuple[str, str], dict[str, object]]
"""Entries of the signature of each cell of a split, by model and view: see ``cell_settings``."""


def eval_settings(
    params: ExtractParams,
    split: str,
    models: Sequence[str],
    views: Sequence[View],
    extra_prompts: Sequence[str] = (),
) -> Settings:
    """Entries that the signatures of cells of an eval split must have, by model and view."""
    return _settings_of(params, eval_cells(split, models, views, extra_prompts))


def train_settings(
    params: ExtractParams,
    split: str,
    models: Sequence[str],
    train_prompts: Sequence[str] = (),
    train_views: Sequence[str] = ("identity",),
) -> Settings:
    """Entries that the signatures of cells of a train split must have, by model and view."""
    return _settings_of(params, train_cells(split, models, train_prompts, train_views))


def _settings_of(params: ExtractParams, names: Iterable[CellName]) -> Settings:
    return {(name.model, name.view.name): cell_settings(params, name) for name in names}


def weights_name(params: ExtractParams, model: str) -> str:
    """Text for a model's weights in a signature.

    It is ``random, seed <seed>``, the sha256 of the weights file, or ``not listed``. Of weights
    files, only those of the user are read, and these only if no ``digest_path`` has their sha256.

    Raises
    ------
    WeightsError
        If a file of the user is missing, and no ``digest_path`` has its sha256.
    """
    record = weights_record(params, model)
    if record is None:
        return f"random, seed {seed_of(params.weights_of(model))}"
    check_there(record)
    return record.digest


def weights_record(params: ExtractParams, model: str) -> Checkpoint | None:
    """Description of the weights file of a model; None if its weights are random."""
    weights = params.weights_of(model)
    return None if seed_of(weights) is not None else checkpoint(params.family, model, weights)


def objects_signature(split: str, location: Split, params: PrepareParams) -> dict[str, object]:
    """Signature of a split's objects store: settings, and versions of the libraries that make it.

    Images and masks of the data set are not in it: the rows contain the masks, and the names and
    digests of the images.
    """
    return {
        **objects_settings(split, location, params),
        "group": "video" if location.data_set.is_video else "image",
        # The first rasterises polygons, the next erodes masks, the last draws clicks.
        **versions("pycocotools", "opencv-python-headless", "numpy"),
    }


def objects_settings(split: str, location: Split, params: PrepareParams) -> dict[str, object]:
    """Entries of the signature of a split's objects store that are the same on any machine."""
    keys = {*location.data_set.needs, *location.data_set.takes} - {"list"}
    # Written where it is set alone: stores without it keep their signatures.
    per_image = {"max_objects_per_image": location.max_objects_per_image}
    return {
        **{key: _as_text(getattr(location.source, key)) for key in sorted(keys)},
        "split": split,
        "reader": location.reader,
        "min_area_px": params.min_area_px,
        "max_objects": "all" if location.max_objects is None else location.max_objects,
        # Distinguishes such a split from older splits, which took the first objects of a file.
        **({} if location.max_objects is None else {"order": "seeded"}),
        **({} if location.max_objects_per_image is None else per_image),
        "seed": params.seed,
    }


def _as_text(option: slice | tuple[object, ...] | str | None) -> str | tuple[str, ...]:
    if isinstance(option, slice):
        return f"{option.start}:{'' if option.stop is None else option.stop}:{option.step}"
    if isinstance(option, tuple):
        return tuple(map(str, option))
    return "all" if option is None else option
