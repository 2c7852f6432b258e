"""Images to review, from a folder, a COCO file or a split, and the masks in them."""

from contextlib import suppress
from pathlib import Path

from stages.predictor.command_options import read_checked_prompts
from stages.review.queue import Source
from stages.settings.params import read_params
from stages.settings.parsing import PARAMS_FILE, ParamsError
from storage.datasets import coco
from storage.datasets.coco import PromptedImage
from storage.datasets.mask_folders import read_sizes
from storage.errors import DataError, listed, shown
from storage.folders import sha256_file


def read_source(
    source: str, images: Path | None, prompt: str | None, *, annotations: bool = False
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
        Kind of prompts that a COCO file has, one of ``COCO_PROMPTS``, or None for the default; a
        folder and a split have none.
    annotations
        Whether the annotations of a split are reviewed, and not masks of a model.

    Raises
    ------
    ParamsError
        If ``source`` is none of these, the folder of the images is missing or not needed, or
        ``prompt`` or ``annotations`` is set for a source that does not have them.
    DataError
        If there are no readable images, or a predictor would refuse a prompt.
    """
    path = Path(source)
    if annotations and path.exists():
        raise ParamsError(f"--annotations must come with a split of params.yaml, got {path}")
    if not path.is_file():
        splits = read_params().eval_splits if PARAMS_FILE.is_file() else []
        if not path.is_dir() and source not in splits:
            split = f"a split ({listed(splits)})" if splits else "where params.yaml is, a split"
            raise ParamsError(
                f"source must be a folder, a COCO file, or {split}, got {shown(source)}"
            )
        for option, value in (("images", images), ("prompt", prompt)):
            if value is not None:
                kind = "folder" if path.is_dir() else "split"
                raise ParamsError(f"--{option} must come with a COCO file, got the {kind} {path}")
        if path.is_dir():
            return _of_folder(path)
        from stages.review import split_source  # noqa: PLC0415 - torch

        return (
            split_source.read_annotated_split(source)
            if annotations
            else split_source.read_split(source)
        )
    if images is None or not images.is_dir():
        raise ParamsError(f"--images must be the folder of the images of {path}, got {images}")
    prompt = prompt or coco.COCO_PROMPTS[0]
    is_everything = prompt in coco.GENERATED
    prompted = read_checked_prompts(path, prompt)
    return Source(
        path.stem,
        images,
        prompted,
        prompt,
        coco.EVERYTHING_CATEGORIES if is_everything else coco.read_categories(path),
        {"annotations": sha256_file(path)},
    )


def file_digests(source: Source) -> dict[str, str]:
    """Sha256 of image files by file, without files that cannot be read and frames of videos."""
    digests: dict[str, str] = {}
    for image in source.prompted:
        with suppress(OSError):  # reported where the pixels are read
            digests[image.image.file] = sha256_file(source.images / image.image.file)
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
    return Source(name, folder, prompted, coco.EVERYTHING, categories, {}, faults=faults)
