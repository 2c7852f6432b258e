"""Loads a predictor by the name of its model: finds and checks the files of weights and heads."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pipeline.heads.kinds import KINDS, KINDS_BY_NAME, HeadSet
from pipeline.heads.predict import check_width, n_inputs
from pipeline.heads.scope import DRAWN_SHAPES
from pipeline.predictor import ProposalHeads, UncertainPredictor
from pipeline.sam.families import DRAWN, FAMILIES, PHOTOGRAPHS, models_of
from pipeline.sam.model import DeviceError, Precision, Sam
from pipeline.vocabulary import TRAIN_PROMPTS
from stages.extraction.models import load_sam
from stages.predictor.command_options import ModelOptions
from stages.predictor.model_choice import ModelChoice
from stages.predictor.stored_images import EmbeddingStores, Places, listed_places
from stages.settings.parsing import ParamsError, check_known
from stages.settings.versions import VERSIONS
from storage.checkpoints.weights import checkpoint
from storage.errors import DataError
from storage.head_files import head_file
from storage.store.signature import head_version

PRETRAINED: Final = {
    f"facebook/{family}-hiera-{model.replace('_', '-')}": (family, model)
    for family in ("sam2", "sam2.1")
    for model in models_of(family)
}
"""Names of Meta's models on Hugging Face -> family and model."""


def from_pretrained(
    model_id: str,
    **options: Any,  # noqa: ANN401 - those of load_predictor
) -> UncertainPredictor:
    """Load a model by its name on Hugging Face, as ``SAM2ImagePredictor.from_pretrained`` does.

    Nothing is downloaded: the weights must be in the cache of Hugging Face's library, or where
    ``usam checkpoints fetch`` puts them.

    Parameters
    ----------
    model_id
        Name of a model of Meta's, such as ``facebook/sam2.1-hiera-tiny``.
    options
        Keyword arguments of ``load_predictor``.

    Returns
    -------
    The predictor, before an image is set.

    Raises
    ------
    ParamsError
        If the name is unknown.
    WeightsError, DeviceError, DataError, StoreError
        As in ``load_predictor``; for missing weights, the message names the command that fetches
        them.
    """
    check_known("model_id", model_id, PRETRAINED)
    return load_predictor(*PRETRAINED[model_id], **options)


def load_predictor(  # noqa: PLR0913 - the files, and what the model runs on
    family: str = PHOTOGRAPHS,
    model: str | None = None,
    *,
    heads: str | Path | None = None,
    weights: str | Path | None = None,
    precision: Precision | None = None,
    device: str = "auto",
    strict: bool = True,
    embeddings: Places | None = None,
    **postprocessing: Any,  # noqa: ANN401 - SAM2's
) -> UncertainPredictor:
    """Load a model and the heads that judge its proposals, if there are some.

    The smallest model that the heads learned from is loaded, too, if its weights are there: its
    encoder tells whether an image is unlike the training images of the heads.

    Parameters
    ----------
    family, model
        Names of the family and of its model, such as ``sam2.1`` and ``tiny``; by default, the
        smallest model of the family.
    heads
        File that ``usam heads export`` wrote. By default, the file in the package for ``mini`` and
        ``mini-photos``, and the file that ``usam heads fetch`` wrote for other families, if it is
        there and the heads learned from the weights. Without heads, what they would say is None.
    weights
        File whose weights replace those of the family, in ``.safetensors`` or as ``torch.save``
        writes them. Only tensors are loaded; no pickle is run.
    precision
        Precision of the model: by default, that of the features that the heads learned from, or
        ``fp32``.
    device
        ``auto``, ``cpu`` or ``cuda``.
    strict
        Whether to refuse heads that learned from other features; otherwise a warning names the
        differences. Heads for tokens of another width are always refused.
    embeddings
        Store of embeddings that ``usam encode`` or the stage ``embed`` wrote, or several: an image
        whose pixels are in a store is not encoded again. One store or more must be by the model,
        others may be by the smallest model that the heads learned from.
    postprocessing
        ``mask_threshold``, ``max_hole_area``, ``max_sprinkle_area`` and ``apply_postprocessing``,
        as ``SAM2ImagePredictor`` and ``build_sam2`` take them.

    Returns
    -------
    The predictor, before an image is set.

    Raises
    ------
    ParamsError
        If the family, model, precision or device is unknown.
    DeviceError
        If the device is not there.
    WeightsError
        If weights are missing, damaged or of another architecture, or heads are damaged.
    DataError
        If the heads learned from another family, extraction version, precision or weights, or from
        tokens of another width.
    StoreError
        If a store of embeddings is missing or damaged, or was made by another model, with other
        weights or in another precision.

    Examples
    --------
    >>> import numpy as np
    >>> predictor = load_predictor("mini", "tiny", device="cpu")
    >>> predictor.set_image(np.zeros((192, 256, 3), np.uint8))
    >>> masks, sam_score, logits = predictor.predict([[120, 80]], [1])
    >>> masks.shape, sam_score.shape, logits.shape
    ((3, 192, 256), (3,), (3, 64, 64))
    """
    check_known("family", family, FAMILIES)
    options = ModelOptions(
        family,
        model or models_of(family)[0],
        None if heads is None else Path(heads),
        weights=None if weights is None else Path(weights),
        device=device,
        precision=precision,
        embeddings=[*map(str, listed_places(embeddings))],
    )
    return _loaded(options.choose(), strict=strict, **postprocessing)


def load_chosen(choice: ModelChoice) -> UncertainPredictor:
    """Load the predictor with the model and heads of a choice, as ``load_predictor`` does.

    A missing device is a ``ParamsError``.
    """
    try:
        return _loaded(choice)
    except DeviceError as error:
        raise ParamsError(str(error)) from error


def _loaded(
    choice: ModelChoice,
    *,
    strict: bool = True,
    **postprocessing: Any,  # noqa: ANN401 - SAM2's
) -> UncertainPredictor:
    check_fit(choice, strict=strict)
    sam = load_sam(
        choice.family,
        choice.model,
        precision=choice.precision,
        device=choice.device,
        weights=choice.weights,
    )
    smallest = _smallest(choice)
    heads = _heads(choice, sam)
    if smallest is None and choice.model != heads.models[0]:
        heads = replace(heads, training_images=None)
    predictor = UncertainPredictor(sam, heads, smallest=smallest, **postprocessing)
    if choice.embeddings:
        predictor.stored_images = EmbeddingStores(
            choice.embeddings,
            choice.record,
            smallest=checkpoint(choice.family, heads.models[0]),
            precision=choice.precision,
        )
    return predictor


def check_fit(choice: ModelChoice, *, strict: bool = True) -> None:
    """Check that the heads of a choice can judge masks of its model; widths are not checked.

    Heads that learned from another family, extraction version, precision or weights are a
    ``DataError``, or a warning unless ``strict``.
    """
    if choice.heads is None:
        return
    expected = {
        "family": choice.family,
        "extract_version": head_version(VERSIONS["extract"]),
        "precision": choice.precision,
        f"weights_{choice.model}": choice.record.digest,
    }
    try:
        head_file.check_card(choice.heads, choice.file.card, expected)
    except DataError as error:
        if strict:
            raise
        warnings.warn(str(error), stacklevel=4)


def _smallest(choice: ModelChoice) -> Sam | None:
    """Load the smallest model of the heads, to compare images with training images.

    None if the heads hold no statistics of training images, if the model is the smallest model, or
    if the weights of the smallest model, those that the heads learned from, are not in the folder
    of checkpoints.
    """
    if choice.file.training_images is None:
        return None
    smallest = checkpoint(choice.family, choice.file.models[0])
    is_other = choice.file.card[f"weights_{smallest.model}"] != smallest.digest
    if choice.model == smallest.model or is_other or not smallest.path.is_file():
        return None
    return load_sam(choice.family, smallest.model, precision=choice.precision, device=choice.device)


def _heads(choice: ModelChoice, sam: Sam) -> ProposalHeads:
    """Make the heads of a choice for its model, after checks of their card and shapes.

    Without heads, the result says so. Heads for tokens of another width, of an unknown kind, or
    incomplete heads are an error.
    """
    path, file, model = choice.heads, choice.file, choice.model
    if path is None:
        models = models_of(choice.family)
        return ProposalHeads(choice.family, model, models, None, {}, no_heads=choice.no_heads)
    head_file.check_card(path, file.card, {"n_channels": str(sam.n_channels)})
    is_mini = file.card["family"] == DRAWN
    kind = file.card["kind"]
    if kind not in KINDS:
        raise DataError(
            f"heads in {path} must be of the kind {' or '.join(KINDS)}, got {kind}: "
            "export others by `usam heads export --kind`"
        )
    width = n_inputs(KINDS_BY_NAME[kind], sam.n_channels, has_object_score=sam.has_object_score)
    try:
        for objective, head in file.weights.items():
            check_width(objective, head, width)
        return ProposalHeads(
            choice.family,
            model,
            file.models,
            head_set_of(file.card),
            file.weights,
            first_mask_token=int(file.card.get("first_mask_token", "1")),
            guarantees=tuple(gate for gate in file.guarantees if gate.model == model),
            choices=tuple(gain for gain in file.choices if gain.model == model),
            prompts=tuple(file.card.get(head_file.PROMPTS, TRAIN_PROMPTS[0]).split()),
            images=file.card.get(head_file.IMAGES, DRAWN_SHAPES if is_mini else ""),
            training_images=file.training_images,
            untested=file.card.get(head_file.UNTESTED, ""),
        )
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def head_set_of(card: Mapping[str, str]) -> HeadSet:
    """Head set that the card of a head file describes."""
    return HeadSet(card["protocol"], card["tokens"], card["kind"])
