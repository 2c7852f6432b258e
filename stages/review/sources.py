"""Images to review, from a folder, a COCO file or a split, and the masks in them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stages.predictor.command_options import read_checked_prompts
from stages.settings.params import PARAMS_FILE
from stages.settings.parsing import ParamsError
from storage.datasets import coco
from storage.datasets.coco import PromptedImage
from storage.datasets.mask_folders import read_sizes
from storage.errors import DataError, shown
from storage.folders import sha256_file


@dataclass(frozen=True)
class Source:
    """Images to review, the prompts about their objects, and where their masks come from."""

    name: str
    """Name of the folder, of the COCO file without its ending, or of the split."""
    images: Path
    prompted: Sequence[PromptedImage]
    prompt: str
    """Kind of the prompts, one of ``COCO_PROMPTS``."""
    categories: Mapping[int, str]
    origin: Mapping[str, str]
    """Digests of the inputs that the masks follow from, by name, without model and options."""
    faults: Sequence[str] = ()
    """A line for each image file of a folder that cannot be read."""
    cached_family: str = ""
    """Family whose cells in the cache hold the masks; empty if a model makes the masks."""
    has_annotations: bool = False
    """Whether the annotations of the split are reviewed, and not masks of a model."""


def read_source(
    source: str, images: Path | None, prompt: str, *, annotations: bool = False
) -> Source:
    """Read what a person wants to review: a folder of images, a COCO file of prompts, or a split.

    Parameters
    ----------
    source
        Path of a folder, in which everything is segmented, or of a COCO file; or the name of an
        eval split of ``params.yaml``.
    images
        Folder of the images of a COCO file; None for a folder or a split.
    prompt
        Kind of prompts that a COCO file has, one of ``COCO_PROMPTS``; a folder and a split ignore
        it.
    annotations
        Whether the annotations of a split are reviewed, and not masks of a model.

    Raises
    ------
    ParamsError
        If ``source`` is none of these, the folder of the images is missing or not needed, or
        ``annotations`` is set without a split.
    DataError
        If there are no readable images, or a predictor would refuse a prompt.
    """
    path = Path(source)
    if annotations and path.exists():
        raise ParamsError(f"--annotations must come with a split of params.yaml, got {path}")
    if path.is_dir():
        if images is not None:
            raise ParamsError(f"--images must come with a COCO file, got the folder {path}")
        return _of_folder(path)
    if not path.is_file():
        if PARAMS_FILE.is_file():
            from stages.review import split_source  # noqa: PLC0415 - torch

            if annotations:
                return split_source.read_annotated_split(source)
            return split_source.read_split(source)
        raise ParamsError(
            "source must be a folder, a COCO file, or where params.yaml is, a split, "
            f"got {shown(source)}"
        )
    if images is None or not images.is_dir():
        raise ParamsError(f"--images must be the folder of the images of {path}, got {images}")
    is_everything = prompt == coco.EVERYTHING
    prompted = read_checked_prompts(path, prompt)
    return Source(
        path.stem,
        images,
        prompted,
        prompt,
        coco.EVERYTHING_CATEGORIES if is_everything else coco.read_categories(path),
        {"annotations": sha256_file(path)},
    )


def file_digests(source: Source) -> dict[int | str, str]:
    """Sha256 of image files by image id, without files that cannot be read and frames of videos.

    It is empty for a split: its masks come from the cache, not from the files.
    """
    digests: dict[int | str, str] = {}
    for image in () if source.cached_family else source.prompted:
        with suppress(OSError):  # reported where the pixels are read
            digests[image.image_id] = sha256_file(source.images / image.image.file)
    return digests


def _of_folder(folder: Path) -> Source:
    """Read the images below a folder, without prompts, in the order of their names.

    The id of an image is its path below the folder.
    """
    records, faults = read_sizes(folder)
    if not records:
        first = f", the first of {len(faults)} unreadable: {faults[0]}" if faults else ""
        raise DataError(f"{folder} must have one readable image or more, got none{first}")
    name = folder.resolve().name or "images"
    categories = coco.EVERYTHING_CATEGORIES
    prompted = [PromptedImage(record.file, record, ()) for record in records]
    return Source(name, folder, prompted, coco.EVERYTHING, categories, {}, faults)
