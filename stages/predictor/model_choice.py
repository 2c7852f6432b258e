"""Chooses a model and heads from options, the same for all commands and annotation backends."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import Final, Literal, cast

from pipeline.heads.kinds import HeadSet
from pipeline.sam.families import DRAWN, FAMILIES, PHOTOGRAPHS, models_of
from stages.predictor.stored_images import is_rounded, signature_of
from stages.settings.parsing import check_known
from storage.checkpoints.weights import FILE, Checkpoint, check_there, checkpoint
from storage.head_files.head_file import HeadFile, family_heads, read_head_file
from storage.head_files.published_heads import published_families
from storage.paths import SHAPES

OF_USERS: Final = HeadSet("selected", "selected", "ours")
"""Head set of the heads in the package: it judges the masks with the highest SamScore."""

DEVICES: Final = ("auto", "cpu", "cuda")

PRECISIONS: Final = ("fp32", "bf16")


@dataclass(frozen=True)
class ModelChoice:
    """A model, the file of the heads that judge its masks, and the device and precision to use."""

    family: str
    model: str
    heads: Path | None
    """File of the heads; None if there are none: then ``no_heads`` says how to get some."""
    file: HeadFile | None
    """Content of ``heads``, which is read once."""
    device: str
    precision: Literal["fp32", "bf16"]
    embeddings: tuple[str | Path, ...] = ()
    """Stores of embeddings, whose images are not encoded again."""
    weights: str = FILE
    """Weights of the model: those of the family, or the path of a file of the user."""

    @property
    def card(self) -> Mapping[str, str]:
        """Card (metadata) of the head file; empty without heads."""
        return {} if self.file is None else self.file.card

    @property
    def known(self) -> tuple[str, ...]:
        """Models that the heads learned from; without heads, those of the family."""
        return models_of(self.family) if self.file is None else self.file.models

    @property
    def record(self) -> Checkpoint:
        """Description of the weights file."""
        return checkpoint(self.family, self.model, self.weights)

    @property
    def no_heads(self) -> str:
        """Sentence that says how to get heads; empty if there are some."""
        if self.file is not None:
            return ""
        fit = f"usam heads fit IMAGES ANNOTATIONS --family {self.family} --model {self.model}"
        if self.weights != FILE:
            absent = f"no heads learned from the weights {self.weights}"
            fit += f" --weights {quote(self.weights)}"
        else:
            absent = f"there are no heads of {self.family}"
        published = (
            f"`usam heads fetch {self.family}` brings those that UncertainSAM's authors publish, "
            if self.weights == FILE and self.family in published_families()
            else ""
        )
        return (
            f"{absent}, so nothing is said that heads would say: {published}`{fit} --out FILE` "
            "makes some"
        )

    @property
    def origin(self) -> dict[str, str]:
        """Sha256 of ``heads`` and ``weights``, and ``precision``, by these names.

        ``levels`` is ``fp16`` if a store of embeddings is in half precision. A file of masks has
        these entries in its signature.
        """
        levels = {"levels": "fp16"} if any(map(is_rounded, self.embeddings)) else {}
        heads, weights = self.card.get("sha256", "none"), self.record.digest
        return {"heads": heads, "weights": weights, "precision": self.precision, **levels}


def choose_model(  # noqa: PLR0913 - the options of commands that predict
    family: str | None = None,
    model: str | None = None,
    heads: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str | None = None,
    embeddings: Sequence[str | Path] = (),
    images: Path | None = None,
) -> ModelChoice:
    """Choose a model and heads, without loading the model.

    Parameters
    ----------
    family
        By default, the family of ``heads``, else of the first of ``embeddings``, else
        ``default_family`` of ``images``.
    model
        By default, the model of the first of ``embeddings``, else the smallest model that the heads
        learned from; without heads, the smallest of the family.
    heads
        Head file: by default, the file of the family's heads, if it is there and they learned from
        the weights.
    weights
        File whose weights replace those of the family.
    precision
        By default, that of the features that the heads learned from; ``fp32`` without heads.
    embeddings
        Stores of embeddings of images, which are not encoded again. Only the first is opened here.
    images
        Image, or folder of images, to answer prompts about.

    Raises
    ------
    ParamsError
        If the family, device or precision is unknown, or the heads did not learn from the model.
    WeightsError
        If ``weights`` or ``heads`` is no file, or heads are damaged.
    """
    signature = signature_of(embeddings[0]) if embeddings else {}
    model, source = model or signature.get("model"), FILE if weights is None else str(weights)
    if heads is None:
        family = family or signature.get("family") or default_family(images)
        check_known("family", family, FAMILIES)
        path, file = family_heads(family), _usual_heads(family, model, source)
    else:
        path = Path(heads)
        file = read_head_file(path)
        family = family or file.card["family"]
        check_known("family", family, FAMILIES)
    check_known("device", device, DEVICES)
    models = models_of(family) if file is None else file.models
    model = model or models[0]
    check_known("model", model, models)
    check_there(checkpoint(family, model, source))
    precision = precision or ("fp32" if file is None else file.card["precision"])
    check_known("precision", precision, PRECISIONS)
    return ModelChoice(
        family,
        model,
        None if file is None else path,
        file,
        device,
        cast("Literal['fp32', 'bf16']", precision),
        tuple(embeddings),
        source,
    )


def _usual_heads(family: str, model: str | None, weights: str) -> HeadFile | None:
    """Read the heads of a family; None if there are none, or they are of other weights.

    Heads of a file that is damaged, or of another version, are an error, as if they were named.
    """
    path = family_heads(family)
    file = read_head_file(path) if path.is_file() else None
    if file is None or weights == FILE:
        return file
    model = model or models_of(family)[0]
    check_known("model", model, models_of(family))
    fits = file.card.get(f"weights_{model}") == checkpoint(family, model, weights).digest
    return file if fits else None


def default_family(images: Path | None = None) -> str:
    """The embedded family for an image or a folder: ``mini`` below ``data/shapes``, the folder of
    drawn scenes of any project, and ``mini-photos`` elsewhere.

    >>> default_family(Path("data/shapes/val/000001.png")), default_family(Path("photo.jpg"))
    ('mini', 'mini-photos')
    """
    # As it is named: files of data/shapes may be links to DVC's cache.
    folders = () if images is None else Path(os.path.normpath(images.absolute())).parts
    is_drawn = any(pair == SHAPES.parts for pair in pairwise(folders))
    return DRAWN if is_drawn else PHOTOGRAPHS
