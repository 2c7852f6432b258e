"""From the settings of a split to its reader's arguments, and to what its rows depend on."""

from pathlib import Path
from typing import Final

from stages.shell.blocks import PrepareParams, Split
from stages.shell.rules import ParamsError
from storage.datasets.catalogue import DATA_SETS, DataSet
from storage.datasets.records import Frames, Source
from storage.store.signature import versions

OPTIONS: Final = ("list", "frames", "subsets", "masklets")
"""Keys of a split that not every reader knows."""


def data_set(place: Split) -> DataSet:
    """The layout of a split."""
    return DATA_SETS[place.reader]


def source_of(name: str, place: Split) -> Source:
    """What is asked of a split's reader.

    Raises
    ------
    ParamsError
        If the reader needs a key that is absent, or does not know one that is given.
    """
    known = data_set(place)
    allowed = (*known.needs, *known.takes)
    given = {key: getattr(place, key) for key in OPTIONS if getattr(place, key) is not None}
    for key in known.needs:
        if key not in given:
            raise ParamsError(f"splits.{name} must have a key {key!r} for reader {place.reader}")
    for key in given:
        if key not in allowed:
            raise ParamsError(
                f"splits.{name}: reader {place.reader} must be given "
                f"{' or '.join(allowed) or 'nothing'} besides images, annotations and "
                f"max_objects, got {key!r}"
            )
    if place.frames is not None:
        given["frames"] = _frames(name, place)
    if place.list is not None:
        given["list"] = Path(place.list)
    return Source(Path(place.images), Path(place.annotations), **given)


def objects_signature(split: str, place: Split, params: PrepareParams) -> dict[str, object]:
    """All that decides the rows, apart from the data set, whose images and masks are in them."""
    return {
        **asked_of_objects(split, place, params),
        "group": "video" if data_set(place).is_video else "image",
        # The first rasterises polygons, the next erodes masks, the last draws clicks.
        **versions("pycocotools", "opencv-python-headless", "numpy"),
    }


def asked_of_objects(split: str, place: Split, params: PrepareParams) -> dict[str, object]:
    """The part of the signature of a split's objects that follows from the settings anywhere."""
    source = source_of(split, place)
    return {
        **{key: _as_text(getattr(source, key)) for key in data_set(place).takes},
        "split": split,
        "reader": place.reader,
        "min_area_px": params.min_area_px,
        "max_objects": "all" if place.max_objects is None else place.max_objects,
        "seed": params.seed,
    }


def _frames(name: str, place: Split) -> Frames:
    frames = place.frames
    assert frames is not None  # the caller checked
    if frames.end is not None and frames.end <= frames.start:
        raise ParamsError(
            f"splits.{name}.frames.end must lie behind start, {frames.start}, got {frames.end}"
        )
    return Frames(frames.start, frames.end, frames.stride)


def _as_text(option: Frames | tuple[str, ...] | str | None) -> str | tuple[str, ...]:
    if isinstance(option, Frames):
        return f"{option.start}:{'' if option.end is None else option.end}:{option.stride}"
    return "all" if option is None else option
