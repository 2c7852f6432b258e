"""Chooses a model and heads from options, the same for all commands and annotation backends."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, cast

from pipeline.heads.kinds import HeadSet
from pipeline.sam.families import DRAWN, FAMILIES, PHOTOGRAPHS
from stages.predictor.stored_images import is_rounded, signature_of
from stages.settings.parsing import check_known
from storage.checkpoints.weights import checkpoint
from storage.errors import WeightsError
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
    heads: Path
    file: HeadFile
    """Content of ``heads``, which is read once."""
    device: str
    precision: Literal["fp32", "bf16"]
    embeddings: tuple[str | Path, ...] = ()
    """Stores of embeddings, whose images are not encoded again."""

    @property
    def card(self) -> Mapping[str, str]:
        """Card (metadata) of the head file."""
        return self.file.card

    @property
    def origin(self) -> dict[str, str]:
        """Sha256 of ``heads`` and ``weights``, and ``precision``, by these names.

        ``levels`` is ``fp16`` if a store of embeddings is in half precision. A file of masks has
        these entries in its signature.
        """
        weights = checkpoint(self.family, self.model).sha256 or "not listed"
        levels = {"levels": "fp16"} if any(map(is_rounded, self.embeddings)) else {}
        heads = self.card["sha256"]
        return {"heads": heads, "weights": weights, "precision": self.precision, **levels}


def choose_model(
    family: str | None = None,
    model: str | None = None,
    heads: str | Path | None = None,
    *,
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
        learned from.
    heads
        Head file: by default, the file of the family's heads.
    precision
        By default, that of the features that the heads learned from.
    embeddings
        Stores of embeddings of images, which are not encoded again. Only the first is opened here.
    images
        Image, or folder of images, to answer prompts about.

    Raises
    ------
    ParamsError
        If the family, device or precision is unknown, or the heads did not learn from the model.
    """
    signature = signature_of(embeddings[0]) if embeddings else {}
    if heads is None:
        family = family or signature.get("family")
    if family is not None:
        check_known("family", family, FAMILIES)
    check_known("device", device, DEVICES)
    path = default_heads(family or default_family(images)) if heads is None else Path(heads)
    file = read_head_file(path)
    model = model or signature.get("model", file.models[0])
    check_known("model", model, file.models)
    precision = precision or file.card["precision"]
    check_known("precision", precision, PRECISIONS)
    return ModelChoice(
        family or file.card["family"],
        model,
        path,
        file,
        device,
        cast("Literal['fp32', 'bf16']", precision),
        tuple(embeddings),
    )


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


def default_heads(family: str) -> Path:
    """Path of the head file that a family uses by default.

    Raises
    ------
    WeightsError
        If the file does not exist; the message names the commands that make it.
    """
    path = family_heads(family)
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
    """Command that writes trained heads to the default head file of a family.

    ``SPLIT`` stands for the train split of the heads.

    >>> export_command("sam2.1")
    'usam heads export SPLIT checkpoints/heads/sam2.1.safetensors'
    """
    return f"usam heads export SPLIT {family_heads(family)}"
