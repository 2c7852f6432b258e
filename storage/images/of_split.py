"""The images of a split by their names: image files, and frames of videos."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import UInt8

from storage.images.files import check_header, read_rgb, sha256_file
from storage.images.videos import Videos, video_of


class SplitImages:
    """Reads the named images below a folder; several threads may use it."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder = folder
        self._video = {file: video_of(file) for file in files}
        self._videos = Videos(folder, files)
        self._sha256: dict[str, str] = {}
        self._lock = Lock()

    def read(self, file: str, *, height_px: int, width_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """Pixels of an image or frame.

        Raises
        ------
        ImageError
            If it is missing, damaged, or of another size than its record says.
        """
        if self._video[file] is not None:
            return self._videos.read(file, height_px=height_px, width_px=width_px)
        return read_rgb(self.folder / file, height_px=height_px, width_px=width_px)

    def check(self, file: str, *, height_px: int, width_px: int) -> int:
        """Refuse an image whose first bytes say that it cannot be read; frames are not looked at.

        Returns
        -------
        EXIF orientation by which ``read`` turns it; 1 if it does not.

        Raises
        ------
        ImageError
            As ``read``.
        """
        if self._video[file] is not None:
            return 1
        return check_header(self.folder / file, height_px=height_px, width_px=width_px)

    def path(self, file: str) -> Path:
        """The file that holds an image: its own, or its video."""
        return self.folder / (self._video[file] or file)

    def sha256(self, file: str) -> str:
        """Sha256 of the bytes that an image comes from: its file's, or its whole video's.

        A video's is computed once.
        """
        path = self.path(file)
        video = self._video[file]
        if video is None:
            return sha256_file(path)
        with self._lock:
            if video not in self._sha256:
                self._sha256[video] = sha256_file(path)
            return self._sha256[video]
