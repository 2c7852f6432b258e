"""Which model and heads answer: the same options for every command and annotation backend."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from pipeline.heads.kinds import HeadSet
from pipeline.sam.families import NAMES, models_of, reads_of
from stages.settings.parsing import check_known
from storage.errors import WeightsError
from storage.head_files.head_file import SHIPPED_FAMILY, family_heads, read_head_file
from storage.head_files.published_heads import published_families

OF_USERS: Final = HeadSet("selected", "selected", "ours")
"""The head set that ships: it judges masks as a user has them."""

DEVICES: Final = ("auto", "cpu", "cuda")

PRECISIONS: Final = ("fp32", "bf16")


@dataclass(frozen=True)
class ModelChoice:
    """A model, and the heads that judge its masks."""

    family: str
    model: str
    heads: Path
    card: Mapping[str, str]
    """Card of the heads."""
    device: str
    precision: Literal["fp32", "bf16"]


def choose_model(
    family: str | None = None,
    model: str | None = None,
    heads: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str | None = None,
) -> ModelChoice:
    """Choose a model and heads, without loading the model.

    Parameters
    ----------
    family
        By default, the family of the heads; without heads, mini.
    model
        By default, the smallest model whose tokens the heads read.
    heads
        By default, the heads of the family.
    precision
        By default, the precision of the features that the heads learned from.

    Raises
    ------
    ParamsError
        If a name is unknown.
    WeightsError, DataError
        If heads are missing or damaged.
    """
    if family is not None:
        check_known("family", family, NAMES)
    check_known("device", device, DEVICES)
    path = default_heads(family or SHIPPED_FAMILY) if heads is None else Path(heads)
    file = read_head_file(path)
    model = model or file.readers[0]
    check_known("model", model, file.readers)
    precision = precision or file.card["precision"]
    check_known("precision", precision, PRECISIONS)
    return ModelChoice(
        family or file.card["family"],
        model,
        path,
        file.card,
        device,
        cast("Literal['fp32', 'bf16']", precision),
    )


def default_heads(family: str) -> Path:
    """File of a family's heads, where no other file is named.

    Raises
    ------
    WeightsError
        If there is no such file.
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
    """Command that writes trained heads to the place of a family's heads.

    >>> export_command("releases")
    'usam heads export SPLIT checkpoints/heads/releases.safetensors --tokens edgetam/selected'
    """
    reads = reads_of(family, models_of(family)[0])
    tokens = f" --tokens {reads}/{OF_USERS.tokens}" if reads else ""
    return f"usam heads export SPLIT {family_heads(family)}{tokens}"
