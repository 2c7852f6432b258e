"""Reads the images of a split by their names: image files, here or at an address, and videos.

An image that is missing, damaged or of another size raises an ``ImageError``; a server that does
not answer, a ``StoreError``.
"""

import hashlib
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.views import Rgb
from storage.errors import DataError, ImageError, StoreError, hidden, shown
from storage.files import addresses
from storage.files.addresses import files_at, is_address
from storage.files.store_files import Files
from storage.folders import sha256_file
from storage.images.image_files import Download, ImageFile, check_header, read_rgb

N_OPEN: Final = 2
"""Number of videos open at the same time: one thread may finish a video while another begins the
next."""

N_KEPT: Final = 8
"""Number of decoded frames kept in memory; threads that read a video are fewer frames apart than
this."""

N_READERS: Final = 2
"""Number of images of a folder that are read at the same time."""

N_DOWNLOADS: Final = 16
"""Number of images at an address that are read at the same time: each waits for a server."""

N_TRIES: Final = 3
"""Number of times that an image at an address is requested if the answers break off."""

MOST_ADDRESS_BYTES: Final = 4096
"""Largest size of a text file that has the address of images."""

_FRAME_FILE: Final = re.compile(r"(.+\.mp4)#(\d+)")


def frame_file(video: str, number: int) -> str:
    """Name of a frame of a video, for places that need an image's file name; frames count from 0.

    >>> frame_file("sav_000/sav_000001.mp4", 8)
    'sav_000/sav_000001.mp4#00008'
    """
    return f"{video}#{number:05d}"


def video_of(file: str) -> str | None:
    """Video file in the name of a frame, see ``frame_file``; None for the name of an image file."""
    match = _FRAME_FILE.fullmatch(file)
    return match[1] if match else None


class Videos:
    """Reads frames of videos in a folder; a frame is decoded once if requests are nearly in order.

    ``files`` are the names of the frames that will be read, from ``frame_file``; other names are
    ignored. The last ``N_KEPT`` of these frames that were decoded stay in memory, so that a thread
    may be behind another. For a frame further back, the video is decoded again from its start.
    """

    def __init__(self, folder: Path, files: Iterable[str]) -> None:
        self._folder = folder
        self._numbers: dict[str, set[int]] = defaultdict(set)
        for file in files:
            if match := _FRAME_FILE.fullmatch(file):
                self._numbers[match[1]].add(int(match[2]))
        self._open: OrderedDict[str, _Decoder] = OrderedDict()
        self._ends: dict[str, tuple[int, str]] = {}
        """Index of the first unreadable frame and the error message, by video."""
        self._kept: OrderedDict[tuple[str, int], Rgb] = OrderedDict()
        self._lock = Lock()

    def read(self, file: str, *, height_px: int, width_px: int) -> Rgb:
        """Read the frame ``file`` as RGB, turned as the video's metadata say; threads may call it.

        Raises an ImageError if the video is missing, too short, of another size, or damaged at or
        before this frame: a decoder that continues after damage miscounts frames.
        """
        match = _FRAME_FILE.fullmatch(file)
        assert match is not None  # by video_of, the name is that of a frame
        video, number = match[1], int(match[2])
        with self._lock:
            if (video, number) not in self._kept:
                self._decode(video, number)
            rgb = self._kept[video, number]
        if rgb.shape[:2] != (height_px, width_px):
            raise ImageError(
                f"frames of {self._folder / video} must be {height_px} px high and {width_px} px "
                f"wide as their records say, got {rgb.shape[0]} x {rgb.shape[1]}"
            )
        return rgb

    def _decode(self, video: str, number: int) -> None:
        """Decode a video up to frame ``number``; keep this frame and those of ``files`` on the way.

        Raises an ImageError if the video is missing, or ends or is damaged before or at the frame.
        """
        if video in self._ends and number >= self._ends[video][0]:
            raise ImageError(self._ends[video][1])
        decoder = self._open.pop(video, None)
        if decoder is None or decoder.n_read > number:
            decoder = _Decoder(self._folder / video)
        self._open[video] = decoder
        while len(self._open) > N_OPEN:
            self._open.popitem(last=False)
        numbers = self._numbers[video] | {number}
        while decoder.n_read <= number:
            current = decoder.n_read
            try:
                decoder.advance()
                rgb = decoder.frame() if current in numbers else None
            except ImageError as error:
                del self._open[video]
                self._ends[video] = (current, str(error))
                raise
            if rgb is not None:
                self._kept[video, current] = rgb
                while len(self._kept) > N_KEPT:
                    self._kept.popitem(last=False)


class _Decoder:
    """Decodes the frames of a video file in their order, from the first on.

    Raises an ImageError if the file is missing or no video.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self.n_read = 0
        if not self._capture.isOpened():
            raise ImageError(f"{path} must be a readable video, got none that opens")

    def advance(self) -> None:
        """Move on to the next frame without converting its pixels; an ImageError without one."""
        if not self._capture.grab():
            raise ImageError(
                f"{self._path} must have a readable frame {self.n_read} (counted from 0), "
                "got its end or damage: no frame after that can be trusted"
            )
        self.n_read += 1

    def frame(self) -> Rgb:
        """RGB pixels of the frame to which ``advance`` has moved; an ImageError if it has none."""
        is_there, bgr = self._capture.retrieve()
        if not is_there:
            raise ImageError(
                f"frame {self.n_read - 1} of {self._path} must be readable, got no pixels"
            )
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def address_in(images: Path) -> str | None:
    """Address in a text file that stands in place of a folder of images; None if it is no file.

    DVC watches the text file: it cannot watch a folder at an address. Raises a DataError if the
    file has not one line with an address.
    """
    if not images.is_file():
        return None
    with images.open("rb") as file:
        text = file.read(MOST_ADDRESS_BYTES).decode(errors="replace").strip()
    if not is_address(text) or len(text.splitlines()) > 1:
        raise DataError(
            "images must be a folder, or a text file with its address (s3://... or https://...), "
            f"got a file {images} with {shown(hidden(text))}"
        )
    return text


def _download(at_address: Files, file: str) -> bytes | None:
    """Read a file at an address; None if the address has no such file.

    The library repeats a request that fails for ``RETRY_S``, but not a request whose answer breaks
    off: this fails at once, and is repeated here, ``N_TRIES`` in all.
    """
    for _ in range(N_TRIES - 1):
        started = monotonic()
        try:
            return at_address.read(file)
        except StoreError:
            if monotonic() - started >= addresses.RETRY_S:
                raise
    return at_address.read(file)


def _sha256_in_folder(path: Path) -> str:
    """Sha256 of an image file or a video in a folder; an ImageError if it is missing."""
    try:
        return sha256_file(path)
    except FileNotFoundError as error:
        raise ImageError(f"{path} must be a file, got none") from error


class SplitImages:
    """Reads the images and frames ``files`` of one split; threads may use it in parallel.

    Only the names in ``files`` can be read. ``folder`` may also be a text file with an address, see
    ``address_in``. A server that stays away ends the reading with a ``StoreError``. An image that
    is missing, damaged or changed gives an ``ImageError``, and others can still be read; ``remedy``
    ends the message about a changed one.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[str],
        remedy: str = "`dvc repro -f -s prepare@SPLIT` reads it anew",
    ) -> None:
        self._folder = folder
        self._remedy = remedy
        address = address_in(folder)
        self._at_address = None if address is None else files_at(address)
        self._video = {file: video_of(file) for file in files}
        self._videos = Videos(folder, files)
        self._sha256: dict[str, str] = {}
        self._lock = Lock()

    @property
    def n_readers(self) -> int:
        """Number of images to read at the same time: more at an address than in a folder."""
        return N_READERS if self._at_address is None else N_DOWNLOADS

    def read(
        self, file: str, *, height_px: int, width_px: int, sha256: str
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Read an image or a frame as upright RGB pixels.

        ``sha256`` is the digest that the file must have, as when the images were listed (in the
        pipeline by the stage ``prepare``): an ImageError refuses another one.
        """
        image_file = self._file(file)
        present = self._digest(file, image_file)
        if present != sha256:
            # Not kept: a video that was still being copied may be whole at the next read.
            with self._lock:
                self._sha256.pop(self._video[file] or file, None)
            raise ImageError(
                f"{image_file} must be the file that was listed "
                f"(sha256 {sha256[:12]}...), got {present[:12]}...; {self._remedy}"
            )
        if self._video[file] is not None:
            return self._videos.read(file, height_px=height_px, width_px=width_px)
        return read_rgb(image_file, height_px=height_px, width_px=width_px)

    def inspect(self, file: str, *, height_px: int, width_px: int) -> tuple[str, int | ImageError]:
        """Read the file of an image once: for its digest, and to check the header of an image file.

        Raises an ImageError if the folder or the address has no such file.

        Returns
        -------
        Sha256 of the file, and the EXIF orientation by which ``read`` turns the image, 1 if it is
        upright or a video frame; in place of the orientation, the error that ``read`` will raise.
        """
        image_file = self._file(file)
        sha256 = self._digest(file, image_file)
        if self._video[file] is not None:
            return sha256, 1
        try:
            return sha256, check_header(image_file, height_px=height_px, width_px=width_px)
        except ImageError as error:
            return sha256, error

    def _file(self, file: str) -> ImageFile:
        """The file that contains an image: the image file, or the video of a frame.

        A file at an address is downloaded: an ImageError if it is missing there. One in a folder
        need not exist.
        """
        if self._at_address is None:
            return self._folder / (self._video[file] or file)
        address = f"{self._at_address}/{file}"
        content = _download(self._at_address, file)
        if content is None:
            raise ImageError(f"{address} must be an image file, got no such file")
        return Download(address, content)

    def _digest(self, file: str, image_file: ImageFile) -> str:
        """Sha256 of the file of an image; that of a video is kept until ``read`` refuses it."""
        if isinstance(image_file, Download):
            return hashlib.sha256(image_file.content).hexdigest()
        video = self._video[file]
        if video is None:
            return _sha256_in_folder(image_file)
        with self._lock:
            if video not in self._sha256:
                self._sha256[video] = _sha256_in_folder(image_file)
            return self._sha256[video]
