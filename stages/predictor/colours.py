"""Colours of the training images, in the card of a file of heads."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.predictor.colours import N_FOLDS, TrainingColours, describe_colours, fit_colours
from stages.program.progress import progress
from storage.errors import counted
from storage.images.videos import SplitImages
from storage.split.objects import ObjectTable

ENTRY: Final = "training_colours"
"""Entry of a card with the colours of the images that its heads learned from, as JSON."""

MOST_IMAGES: Final = 2000
"""Of a larger split, as many are read, evenly spaced."""


def colours_entry(table: ObjectTable, folder: Path) -> dict[str, str]:
    """Colours of the images of a train split as the entry of a card; of too few images, none.

    Raises
    ------
    ImageError
        If an image is missing or damaged.
    """
    files = [str(file) for file in table.file]
    if len(files) < N_FOLDS:
        print(
            f"note: {counted(len(files), 'image')} to learn from, fewer than {N_FOLDS}: the card "
            "cannot say which images are unlike them",
            file=sys.stderr,
        )
        return {}
    images = SplitImages(folder, files)
    steps = np.linspace(0, len(files) - 1, min(len(files), MOST_IMAGES)).round().astype(int)
    rows = []
    with progress("read colours", len(steps), "images") as advance:
        for i in steps:
            size = {"height_px": int(table.height_px[i]), "width_px": int(table.width_px[i])}
            rows.append(describe_colours(images.read(files[i], **size)))
            advance(1)
    return {ENTRY: json.dumps(asdict(fit_colours(np.array(rows))))}


def training_colours(card: Mapping[str, str]) -> TrainingColours | None:
    """Those in a card; None if it has none."""
    return TrainingColours(**json.loads(card[ENTRY])) if ENTRY in card else None
