"""State shared by all requests of the page: predictors, jobs, images, and scenes or a queue."""

import asyncio
import csv
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast

import numpy as np
from fastapi import Depends, Request
from jaxtyping import UInt8

from pipeline.predictor import PromptSet, UncertainPredictor
from pipeline.sam.families import EMBEDDED, FAMILIES, PHOTOGRAPHS, models_of
from pipeline.sam.model import Sam
from pipeline.scenes.scene import DEMO_SEED, DEMO_SIZE_PX, draw_scene, scene_seeds
from stages.predictor.answers import ReadImage, image_reader
from stages.predictor.command_options import ModelOptions
from stages.predictor.loading import load_chosen
from stages.predictor.model_choice import ModelChoice
from stages.predictor.stored_images import signature_of
from stages.review.queue import ReviewQueue
from stages.settings.parsing import ParamsError, check_known
from stages.web.open_images import OpenImage, OpenImages, thumbnail_png
from storage.checkpoints.weights import FILE, models_there
from storage.datasets.object_records import ImageRecord
from storage.errors import DataError, ImageError, WeightsError, listed
from storage.files.addresses import files_at, is_address
from storage.files.store_files import Files
from storage.head_files.head_file import family_heads, shipped_heads
from storage.images.image_files import Download, png_bytes, read_rgb
from storage.store.opening import open_embeddings

if TYPE_CHECKING:
    import xarray


def label_of(choice: ModelChoice) -> str:
    """Text for the page: family, train split and kind of the heads.

    The name of the file is added if it is not that of the family.
    """
    card, path = choice.file.card, choice.heads
    if path is None:
        return f"{choice.family}, no heads"
    name = "" if path.stem == card["family"] else f" ({path.stem})"
    best = ", best masks" if card["protocol"] == "best" else ""
    return f"{card['family']}, {card['split']}, {card['kind']}{best}{name}"


def installed_models(choice: ModelChoice) -> tuple[str, ...]:
    """Known models whose weights are installed; with weights of the user, their model alone."""
    if choice.weights != FILE:
        return (choice.model,)
    installed = models_there(choice.family)
    return tuple(model for model in choice.known if model in installed)


class Predictors:
    """Predictors by heads and model; each is loaded when it is first needed, and stays loaded.

    The page names a head file by its file name without suffix, and no heads by ``none``; two of one
    name are a ``ParamsError``. ``choices`` are the heads to offer, each with any of its models.
    """

    def __init__(self, choices: Sequence[ModelChoice], embeddings: Sequence[str] = ()) -> None:
        self._embeddings = {place: signature_of(place).get("model") for place in embeddings}
        self.choices: dict[str, ModelChoice] = {}
        for choice in choices:
            name = "none" if choice.heads is None else choice.heads.stem
            if name in self.choices:
                raise ParamsError(f"files of heads must have names of their own, got {name}")
            self.choices[name] = choice
        self._sams: dict[tuple[str, str, str], Sam] = {}
        self._predictors: dict[tuple[str, str], UncertainPredictor] = {}

    def predictor(self, heads: str, model: str) -> UncertainPredictor:
        """The predictor with the heads of a file and a model, before any image is set.

        The first call loads it, later calls return the same object. ``heads`` is the name of the
        head file, a key of ``choices``.
        """
        check_known("heads", heads, self.choices)
        check_known("model", model, self.choices[heads].known)
        if (heads, model) not in self._predictors:
            self._predictors[heads, model] = self._loaded(self.choices[heads], model)
        return self._predictors[heads, model]

    def _loaded(self, choice: ModelChoice, model: str) -> UncertainPredictor:
        has_own = model in self._embeddings.values()
        readable = (model, choice.known[0]) if has_own else ()
        places = [place for place, by_model in self._embeddings.items() if by_model in readable]
        loaded = load_chosen(replace(choice, model=model, embeddings=tuple(places)))
        # Head sets share a model, and with it the encoding of an image.
        loaded.sam = self._shared(choice.family, model, loaded.sam)
        if loaded.smallest is not None:
            loaded.smallest = self._shared(choice.family, choice.known[0], loaded.smallest)
        return loaded

    def _shared(self, family: str, model: str, sam: Sam) -> Sam:
        return self._sams.setdefault((family, model, sam.precision), sam)


def offered_heads(
    file: Path | None, family: str | None, *, needs_weights: bool = True
) -> list[Path | None]:
    """Head files that the page offers: ``file``, then the family's default file if present.

    None as a family stands for both embedded families. None as an offered file stands for no heads.

    Without weights of the family, if ``needs_weights``, the error names the command that fetches
    them.
    """
    files = [] if file is None else [file]
    if family is None:
        return [*dict.fromkeys([*files, *map(shipped_heads, EMBEDDED)])]
    check_known("family", family, FAMILIES)
    if needs_weights and not models_there(family):
        raise WeightsError(
            f"the page must have weights of {family}, got none: run "
            f"usam checkpoints fetch {family} --model {models_of(family)[0]}"
        )
    installed = family_heads(family)
    return [*dict.fromkeys([*files, *([installed] if installed.is_file() else [])])] or [None]


T = TypeVar("T")


class JobQueue:
    """Runs jobs one after the other, in a thread for this queue alone."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._jobs: set[Future[Any]] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job when its turn has come, and return its result or raise its error.

        If the caller is cancelled while the job waits, the job never runs; if it is running, its
        result is dropped.
        """
        future = self._thread.submit(job)
        self._jobs.add(future)
        # The callback runs at once if the job is done already.
        future.add_done_callback(self._jobs.discard)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop the jobs that wait, and wait until the running job ends."""
        self._thread.shutdown(wait=True, cancel_futures=True)


SCENES_FILE: Final = Path(__file__).with_name("scenes.csv")
"""Table of the scenes that the page offers.

Run ``python -m tools.choose_scenes`` after every change of weights, heads or advice to write it.
"""


@dataclass(frozen=True)
class OfferedScene:
    """A drawn scene, and a click on an object in it; models and heads did not learn from it."""

    number: int
    """Index of the scene in the data set, from 0."""
    x: int
    y: int
    """Row of the click's pixel, ``x`` is its column; the click is on an object."""
    advice: str
    """Correction that ``tiny`` with the packaged heads advises after the click."""

    @cached_property
    def rgb(self) -> UInt8[np.ndarray, "size size 3"]:
        """Pixels of the scene."""
        return draw_scene(scene_seeds(DEMO_SEED, "val", self.number + 1)[-1], DEMO_SIZE_PX).rgb

    @cached_property
    def thumbnail(self) -> bytes:
        """Picture by which a user chooses the scene, as PNG: the scene at its full size."""
        return png_bytes(self.rgb)


@dataclass(frozen=True)
class StoredImage:
    """An image that the page offers and need not encode: its embedding is in a store.

    The file of the image is in a folder or at an address.
    """

    files: Files
    record: ImageRecord
    """File below the folder, or frame of a video there, and size of the image."""
    read_image: ReadImage | None
    """Reads images and frames in the folder; None for files at an address."""

    @property
    def rgb(self) -> UInt8[np.ndarray, "height width 3"]:
        """Pixels, upright, of an image of any size.

        A missing or unreadable file, or one outside of the folder, is an ``ImageError``. Images at
        an address, as uploads, must be in one of ``readable_formats``.
        """
        name = self.record.file
        is_inside = ".." not in Path(name).parts and not Path(name).is_absolute()
        if is_inside and self.read_image is not None:
            return np.asarray(self.read_image(self.record), np.uint8)
        data = self.files.read(name) if is_inside else None
        if data is None:
            raise ImageError(f"{name} must be an image in {self.files}, got no such file")
        return read_rgb(Download(f"{self.files}/{name}", data))

    @property
    def thumbnail(self) -> bytes:
        """Picture by which a user chooses the image, as PNG, made anew with each access."""
        return thumbnail_png(self.rgb)


def stored_images(embeddings: Sequence[str], folder: str) -> tuple[StoredImage, ...]:
    """Images of stores of embeddings, in their order; an image of several stores comes once.

    ``embeddings`` are paths or addresses of the stores; ``folder`` is the folder or address of the
    images. It must exist (``ParamsError``); its files are not looked up here. Stores without an
    image are a ``DataError``.
    """
    if not is_address(folder) and not Path(folder).is_dir():
        raise ParamsError(f"images must be in a folder or at an address, got none at {folder}")
    files = files_at(folder)
    records = {
        record.file: record for place in embeddings for record in _records(open_embeddings(place))
    }
    if not records:
        raise DataError(
            f"embeddings must be of one image or more, got none in {listed(embeddings)}"
        )
    read_image = None if files.folder is None else image_reader(files.folder, records.values())
    return tuple(StoredImage(files, record, read_image) for record in records.values())


def _records(embeddings: "xarray.Dataset") -> Iterator[ImageRecord]:
    columns = (embeddings[name].to_numpy() for name in ("file", "height_px", "width_px"))
    for file, height_px, width_px in zip(*columns, strict=True):
        yield ImageRecord(str(file), int(height_px), int(width_px))


def read_scenes() -> tuple[OfferedScene, ...]:
    """Read the scenes in the order of the page; the page opens with the first scene."""
    with SCENES_FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            OfferedScene(int(row["number"]), int(row["x"]), int(row["y"]), row["advice"])
            for row in csv.DictReader(file)
        )


class PageState:
    """State of a running page: models, queues of jobs, open images, and scenes to choose.

    The scenes are drawn ones or, with ``images``, the images of ``embeddings``. Uploaded files are
    decoded one at a time, which bounds the memory of decoding.

    Parameters
    ----------
    options
        Heads to offer, before those of the family, and what the page starts with: ``model`` or, by
        default, the smallest model that is installed and that the first heads learned from. Without
        a family, the page takes the heads of both embedded families: those of drawn scenes for its
        scenes, those of photographs for files. Weights of the user are of ``model``, which is then
        the only model.
    images
        Folder or address of the images of ``embeddings``.
    review
        Queue of masks to decide about, in place of scenes. Masks of the cache are shown without a
        model: the first prompt loads it. Else, missing weights are an error at the start.
    """

    def __init__(
        self,
        options: ModelOptions = ModelOptions(),  # noqa: B008 - it is frozen
        *,
        images: str | None = None,
        review: ReviewQueue | None = None,
    ) -> None:
        family, heads, embeddings = options.family, options.heads, options.embeddings or []
        if embeddings and not heads:
            family = family or signature_of(embeddings[0]).get("family")
        self._needs_weights = review is None or not review.source.cached_family
        if options.weights is None:
            files = offered_heads(heads, family, needs_weights=self._needs_weights)
            any_model = replace(options, model=None, embeddings=None)
            choices = [
                replace(any_model, family=None if path else family, heads=path).choose()
                for path in files
            ]
        else:
            choices = [options.choose()]
        self.models = Predictors(choices, embeddings)
        # The first heads of the caller; without heads of the caller, the heads of the family.
        self.default_heads = next(iter(self.models.choices))
        takes_both = family is None and options.weights is None and not heads
        self.heads_of_files = PHOTOGRAPHS if takes_both else self.default_heads
        """Name of the heads for files that a user brings; scenes have ``default_heads``."""
        first = self.models.choices[self.default_heads]
        self.model = options.model or next(iter(installed_models(first)), first.known[0])
        self.images = OpenImages()
        self.jobs = JobQueue("model")
        self.decoder = JobQueue("decoder")
        self.scenes: Sequence[OfferedScene | StoredImage] = (
            read_scenes() if images is None else stored_images(embeddings, images)
        )
        self.begin_review(review)

    def begin_review(self, queue: ReviewQueue | None) -> None:
        """Take the queue of a review, or none, in place of another."""
        self.review = queue
        self.start = secrets.token_urlsafe(8)
        """Random name of this queue: ranks of another may be of other masks."""
        self._names: dict[str, str] = {}
        """Names of the queue's open images, by file."""
        self._opening = asyncio.Lock()
        if queue is not None:
            records = [image.image for image in queue.source.prompted]
            self._read = image_reader(queue.source.images, records, queue.source.digests)

    async def open_file(self, record: ImageRecord) -> tuple[str, OpenImage]:
        """Open an image of the queue, unless it is open; return its random name, and the image.

        Its format and size are not limited, as those of an upload: it was segmented before.
        """
        if opened := self._opened(record):
            return opened
        async with self._opening:  # the thumbnails of an image ask for it at the same time
            if opened := self._opened(record):
                return opened
            image = await self.decoder.run(lambda: OpenImage(self._read(record)))
            name = self._names[record.file] = self.images.add(image)
            return name, image

    def _opened(self, record: ImageRecord) -> tuple[str, OpenImage] | None:
        name = self._names.get(record.file, "")
        image = self.images.get(name)
        return None if image is None else (name, image)

    def close(self) -> None:
        """Drop waiting jobs of the model and of the decoder, and wait for running jobs."""
        for queue in (self.decoder, self.jobs):
            queue.close()

    def warm_up(self) -> None:
        """Answer a prompt, so that the first user need not wait for loading and compiling.

        Nothing is loaded for masks of the cache.
        """
        if not self._needs_weights:
            return
        image = OpenImage(self.scenes[0].rgb)
        click = [image.width_px // 2, image.height_px // 2]
        for heads in {self.default_heads, self.heads_of_files}:
            predictor = self.models.predictor(heads, self.model)
            image.predictor_like(predictor).predict_uncertainties([PromptSet([click], [1])])


async def _page(request: Request) -> PageState:
    return cast("PageState", request.app.state.page)


Page = Annotated[PageState, Depends(_page)]
"""Parameter of a function that answers a request: the state of the page."""
