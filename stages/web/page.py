"""What the page works on, shared by all who ask."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pipeline.predictor import PromptSet
from stages.web.images import OpenImage, OpenImages
from stages.web.models import Models
from stages.web.queue import ModelQueue
from stages.web.scenes import scene_files

MOST_UPLOADS: Final = 8
"""Uploads that are read at once: each takes memory before anything is known of it."""


class Page:
    """Models and the queue before them, the images that are open, and scenes to try.

    Raises
    ------
    ParamsError, WeightsError, DataError
        If the model that is chosen at first cannot be had.
    """

    def __init__(self, *, model: str = "tiny", heads: Sequence[Path] = ()) -> None:
        self.model = model
        self.models = Models(heads)
        self.images = OpenImages()
        self.queue = ModelQueue()
        self.scenes = scene_files()
        self.uploads = asyncio.Semaphore(MOST_UPLOADS)
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        self._warm_up()

    async def opened(self, data: bytes) -> OpenImage:
        """An image in a thread of its own: the model goes on meanwhile, one image at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._decoder, OpenImage, data)

    def close(self) -> None:
        """End its threads."""
        self._decoder.shutdown(wait=True, cancel_futures=True)
        self.queue.close()

    def _warm_up(self) -> None:
        """Load the model and compile what its first answer would wait for."""
        predictor = self.models.predictor(self.models.default_heads, self.model)
        image = OpenImage(self.scenes[0])
        image.before(predictor).predict_uncertainties([PromptSet([[128, 128]], [1])])
