"""Makes a predictor from a model's name: finds, checks and joins weights and heads."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.heads.kinds import KINDS, HeadSet
from pipeline.predictor import ProposalHeads, UncertainPredictor
from pipeline.sam.families import NAMES, models_of, reads_of
from pipeline.sam.model import Precision, Sam
from pipeline.vocabulary import PROTOCOLS, TRAIN_PROMPTS
from stages.extraction.models import load_sam
from stages.predictor.card_entries import DRAWN_ONLY, gate_of, training_colours
from stages.settings.parsing import check_known
from stages.settings.versions import VERSIONS
from storage.checkpoints.weights import checkpoint
from storage.errors import DataError, WeightsError
from storage.head_files import head_file
from storage.head_files.published_heads import published_families

OF_USERS: Final = HeadSet("selected", "selected", "ours")
"""The head set that ships: of masks as a user has them."""

PRETRAINED: Final = {
    f"facebook/{family}-hiera-{model.replace('_', '-')}": (family, model)
    for family in ("sam2", "sam2.1")
    for model in models_of(family)
}
"""Names of Meta's models on Hugging Face."""


def from_pretrained(
    model_id: str,
    **options: Any,  # noqa: ANN401 - those of load_predictor
) -> UncertainPredictor:
    """Load a model by its name on Hugging Face, as ``SAM2ImagePredictor.from_pretrained``.

    Its weights must be here already, in the cache of Hugging Face's library or where
    ``usam checkpoints fetch`` puts them: nothing is downloaded.

    Parameters
    ----------
    options
        As of ``load_predictor``.

    Raises
    ------
    ParamsError
        If the name is unknown.
    WeightsError, DataError
        As ``load_predictor``; where weights are missing, with the command that fetches them.
    """
    check_known("model_id", model_id, PRETRAINED)
    return load_predictor(*PRETRAINED[model_id], **options)


def load_predictor(
    family: str,
    model: str,
    *,
    heads: str | Path | None = None,
    protocol: str = "selected",
    precision: Precision | None = None,
    device: str = "auto",
    strict: bool = True,
) -> UncertainPredictor:
    """Load a model and the heads that judge its proposals.

    Parameters
    ----------
    heads
        File of ``usam heads export``; by default, the one that comes with the package for mini, or
        that of ``usam heads fetch``, which learned ``best``.
    protocol
        What the heads must have learned: ``selected``, as in use, or ``best``, as in the paper.
    precision
        By default, that of the features that the heads learned from.
    device
        ``auto``, ``cpu`` or ``cuda``.
    strict
        Whether to refuse heads that learned from other features; otherwise a warning names what
        differs.

    Raises
    ------
    ParamsError
        If a name is unknown.
    DeviceError
        If the device is not there.
    WeightsError
        If weights or heads are missing or damaged.
    DataError
        If the heads learned from another family, extraction version, precision or weights, from
        tokens of another width, or under the other protocol.
    """
    check_known("family", family, NAMES)
    check_known("model", model, models_of(family))
    check_known("protocol", protocol, PROTOCOLS)
    path = default_heads(family) if heads is None else Path(heads)
    found = head_file.read_head_file(path)
    expected = {
        "family": family,
        "extract_version": str(VERSIONS["extract"]),
        "precision": precision or found.card["precision"],
        f"weights_{model}": checkpoint(family, model).sha256 or "not listed",
        "protocol": protocol,
    }
    _check_reads(path, found.card, reads_of(family, model))
    _check(path, found.card, expected, strict=strict)
    own: Precision = "bf16" if expected["precision"] == "bf16" else "fp32"
    sam = load_sam(family, model, precision=own, device=device)
    return UncertainPredictor(sam, _heads(path, found, family, model, sam))


def load_by_heads(
    family: str, model: str | None = None, heads: str | Path | None = None
) -> UncertainPredictor:
    """Load a model under what the card of its heads names.

    Parameters
    ----------
    family
        Whose heads to take where none are given.
    model
        By default, the smallest whose tokens the heads read.

    Raises
    ------
    ParamsError, WeightsError, DataError
        As ``load_predictor``.
    """
    check_known("family", family, NAMES)
    path = default_heads(family) if heads is None else Path(heads)
    found = head_file.read_head_file(path)
    return load_predictor(
        found.card["family"],
        model or found.readers[0],
        heads=path,
        protocol=found.card["protocol"],
    )


def default_heads(family: str) -> Path:
    """File of the heads that a family has without any being given.

    Raises
    ------
    WeightsError
        If it is not there.
    """
    path = head_file.family_heads(family)
    if not path.is_file():
        fetch, export = f"usam heads fetch {family}", export_command(family)
        published = f"`{fetch}` brings those that UncertainSAM's authors publish, "
        raise WeightsError(
            f"heads of {family} must be given as a file or be at {path}, got none: "
            f"{published if family in published_families() else ''}`{export}` writes those that "
            "`train` has made"
        )
    return path


def export_command(family: str) -> str:
    """Command that puts heads of one's own where a family's are looked for.

    >>> export_command("releases")
    'usam heads export SPLIT checkpoints/heads/releases.safetensors --tokens edgetam/selected'
    """
    reads = reads_of(family, models_of(family)[0])
    tokens = f" --tokens {reads}/{OF_USERS.tokens}" if reads else ""
    return f"usam heads export SPLIT {head_file.family_heads(family)}{tokens}"


def _check(
    path: Path, card: Mapping[str, str], expected: Mapping[str, str], *, strict: bool
) -> None:
    try:
        head_file.check_card(path, card, expected)
    except DataError as error:
        if strict:
            raise
        warnings.warn(str(error), stacklevel=3)


def _check_reads(path: Path, card: Mapping[str, str], reads: str) -> None:
    own = head_set_of(card).reads
    if own != reads:
        raise DataError(
            f"heads in {path} must read tokens of {reads or 'all models'}, got {own or 'all'}: "
            "name a file of others of this ladder"
        )


def _heads(
    path: Path, found: head_file.HeadFile, family: str, model: str, sam: Sam
) -> ProposalHeads:
    """Heads for a model, whose tokens no setting makes wider."""
    head_file.check_card(path, found.card, {"n_channels": str(sam.n_channels)})
    gate, of_sets = (gate_of(found.card, model, of_sets=of) for of in (False, True))
    kind = found.card["kind"]
    if kind not in KINDS:
        raise DataError(
            f"heads in {path} must be of the kind {' or '.join(KINDS)}, got {kind}: "
            "export others by `usam heads export --kind`"
        )
    try:
        return ProposalHeads(
            model,
            found.models,
            head_set_of(found.card),
            found.weights,
            first_mask_token=int(found.card.get("first_mask_token", "1")),
            least_iou=None if gate is None else 1 - gate.threshold,
            least_doubt=None if of_sets is None else of_sets.threshold,
            prompts=tuple(found.card.get(head_file.PROMPTS, TRAIN_PROMPTS[0]).split()),
            colours=training_colours(found.card),
            image_caution=DRAWN_ONLY if family == head_file.SHIPPED_FAMILY else "",
        )
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def head_set_of(card: Mapping[str, str]) -> HeadSet:
    """Which head set a card is of."""
    reads, _, tokens = card["tokens"].rpartition("/")
    return HeadSet(card["protocol"], tokens, card["kind"], reads)
