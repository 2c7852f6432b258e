"""Reads the images of a split by their names, from image files and from videos."""

import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.views import Rgb
from storage.errors import ImageError
from storage.folders import sha256_file
from storage.images.image_files import check_header, read_rgb

N_OPEN: Final = 2
"""Videos open at the same time: one thread may finish a video while another begins the next."""

N_KEPT: Final = 8
"""Decoded frames kept in memory; threads that read a video are fewer frames apart than this."""

_FRAME_FILE: Final = re.compile(r"(.+\.mp4)#(\d+)")


def frame_file(video: str, number: int) -> str:
    """Name of a frame of a video, for places that need an image's file name; frames count from 0.

    Examples
    --------
    >>> frame_file("sav_000/sav_000001.mp4", 8)
    'sav_000/sav_000001.mp4#00008'
    """
    return f"{video}#{number:05d}"


def video_of(file: str) -> str | None:
    """Video file in the name of a frame, see ``frame_file``; None if ``file`` is an image file."""
    match = _FRAME_FILE.fullmatch(file)
    return match[1] if match else None


class Videos:
    """Reads frames of a split's videos; each frame is decoded once if requests are nearly in order.

    A thread may be ``N_KEPT`` frames of ``files`` behind another: these frames stay in memory. For
    a frame further back, the video is decoded again from its start.
    """

    def __init__(self, folder: Path, files: Iterable[str]) -> None:
        self._folder = folder
        self._numbers: dict[str, set[int]] = defaultdict(set)
        for file in files:
            if match := _FRAME_FILE.fullmatch(file):
                self._numbers[match[1]].add(int(match[2]))
        self._open: OrderedDict[str, _Decoder] = OrderedDict()
        self._ends: dict[str, tuple[int, str]] = {}
        """Number of the first unreadable frame and the error message, by video."""
        self._kept: OrderedDict[tuple[str, int], Rgb] = OrderedDict()
        self._lock = Lock()

    def read(self, file: str, *, height_px: int, width_px: int) -> Rgb:
        """Read a frame as RGB, turned as the video's metadata say; threads may call it in parallel.

        Raises
        ------
        ImageError
            If the video is missing, too short, of another size, or damaged at or before this frame:
            a decoder that continues after damage miscounts frames.
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
        """Decode a video up to frame ``number``, and keep the decoded frames named in ``files``."""
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
    """Decodes the frames of a video file in their order, from the first on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self.n_read = 0
        if not self._capture.isOpened():
            raise ImageError(f"{path} must be a readable video, got none that opens")

    def advance(self) -> None:
        """Move on to the next frame without converting its pixels."""
        if not self._capture.grab():
            raise ImageError(
                f"{self._path} must have a readable frame {self.n_read} (counted from 0), "
                "got its end or damage: no frame after that can be trusted"
            )
        self.n_read += 1

    def frame(self) -> Rgb:
        """RGB pixels of the frame to which ``advance`` has moved."""
        is_there, bgr = self._capture.retrieve()
        if not is_there:
            raise ImageError(
                f"frame {self.n_read - 1} of {self._path} must be readable, got no pixels"
            )
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


class SplitImages:
    """Reads the images and frames ``files`` of one split; threads may use it in parallel."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder = folder
        self._video = {file: video_of(file) for file in files}
        self._videos = Videos(folder, files)
        self._sha256: dict[str, str] = {}
        self._lock = Lock()

    def read(self, file: str, *, height_px: int, width_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """Read an image or a frame as upright RGB pixels.

        Raises
        ------
        ImageError
            If the image is missing, damaged, or of another size than its record says.
        """
        if self._video[file] is not None:
            return self._videos.read(file, height_px=height_px, width_px=width_px)
        return read_rgb(self.folder / file, height_px=height_px, width_px=width_px)

    def check(self, file: str, *, height_px: int, width_px: int) -> int:
        """Check the header of an image file, with the size in its record; video frames are skipped.

        Returns
        -------
        EXIF orientation by which ``read`` turns the image; 1 if it is upright or a video frame.

        Raises
        ------
        ImageError
            If the file is missing, is no image, is of another size, or has not 8 bits per colour.
        """
        if self._video[file] is not None:
            return 1
        return check_header(self.folder / file, height_px=height_px, width_px=width_px)

    def path(self, file: str) -> Path:
        """Path of the file that contains an image: the image file, or the video of a frame."""
        return self.folder / (self._video[file] or file)

    def sha256(self, file: str) -> str:
        """Sha256 of the file that contains an image; the sha256 of a video is computed once."""
        path = self.path(file)
        video = self._video[file]
        if video is None:
            return sha256_file(path)
        with self._lock:
            if video not in self._sha256:
                self._sha256[video] = sha256_file(path)
            return self._sha256[video]
