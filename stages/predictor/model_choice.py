"""A model with the heads that judge its masks, and the heads and families by default."""

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import Final, Literal

from pipeline.heads.kinds import HeadSet
from pipeline.sam.families import DRAWN, PHOTOGRAPHS, models_of
from stages.settings.parsing import check_known
from storage.checkpoints.weights import FILE, Checkpoint, checkpoint
from storage.head_files.head_file import NO_HEADS, HeadFile, family_heads, read_head_file
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
    file: HeadFile
    """Content of ``heads``, which is read once; ``NO_HEADS`` if there are none."""
    device: str
    precision: Literal["fp32", "bf16"]
    embeddings: tuple[str | Path, ...] = ()
    """Stores of embeddings, whose images are not encoded again."""
    weights: str = FILE
    """Weights of the model: those of the family, or the path of a file of the user."""

    @property
    def known(self) -> tuple[str, ...]:
        """Models that the heads learned from; without heads, those of the family."""
        return models_of(self.family) if self.heads is None else self.file.models

    @property
    def record(self) -> Checkpoint:
        """Description of the weights file."""
        return checkpoint(self.family, self.model, self.weights)

    @property
    def no_heads(self) -> str:
        """Sentence that says how to get heads; empty if there are some."""
        if self.heads is not None:
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

        A file of masks has these entries in its signature.
        """
        heads, weights = self.file.card.get("sha256", "none"), self.record.digest
        return {"heads": heads, "weights": weights, "precision": self.precision}


def usual_heads(family: str, model: str | None, weights: str) -> tuple[Path | None, HeadFile]:
    """Read the heads of a family; no path and ``NO_HEADS`` without heads that fit the weights.

    Heads of a file that is damaged, or of another version, are an error, as if they were named.
    """
    path = family_heads(family)
    if not path.is_file():
        return None, NO_HEADS
    file = read_head_file(path)
    if weights != FILE:
        model = model or models_of(family)[0]
        check_known("model", model, models_of(family))
        if file.card.get(f"weights_{model}") != checkpoint(family, model, weights).digest:
            return None, NO_HEADS
    return path, file


def default_family(images: Path | None = None) -> str:
    """The embedded family for an image or a folder: ``mini`` below ``data/shapes``, the folder of
    drawn scenes of any project, and ``mini-photos`` elsewhere.

    >>> default_family(Path("data/shapes/val/000001.png")), default_family(Path("photo.jpg"))
    ('mini', 'mini-photos')
    """
    # As it is named: files of data/shapes may be links to DVC's cache.
    folders = () if images is None else Path(os.path.normpath(images.absolute())).parts
    return DRAWN if SHAPES.parts in [*pairwise(folders)] else PHOTOGRAPHS
