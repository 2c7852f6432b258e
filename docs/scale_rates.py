"""Times SAM 2.1 at full size on this device: ``python -m docs.scale_rates``.

Writes  ``docs/scale.csv``: for each model, the seconds of an encoded image, and of an object with
        one prompt set: decoding, IoU at image resolution and coded masks.

Weights are random, which takes as long. On a CPU these are seconds of one core, which other
programs do not add to.
"""

from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Final

import numpy as np
import pandas as pd
import torch

from pipeline.extraction.plan import decoder_batch
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.prompts import sample_prompts
from pipeline.sam.building import build
from pipeline.sam.device import select_device
from pipeline.sam.model import Sam
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.views import default_view
from pipeline.vocabulary import MODELS, PROMPTS
from stages.extraction.models import device_name

PATH: Final = Path("docs", "scale.csv")

N_REPEATS: Final = 2
N_OBJECTS: Final = 2
IMAGE_SIZE_PX: Final = 640
"""Side of an image, about that of COCO's."""


def main() -> None:
    """Time all models."""
    device = select_device("auto")
    torch.set_num_threads(1)
    scene = draw_scene(scene_seeds(0, "val", 1)[0], IMAGE_SIZE_PX)
    truth = np.stack([scene.masks[i % len(scene.masks)] for i in range(N_OBJECTS)])
    points = np.stack([sample_prompts(mask, seed=0) for mask in truth])
    request = Request(points, truth, default_view("identity"), PROMPTS)
    rows = []
    for model in MODELS:
        sam = Sam(build("sam2.1", model, seed=0), device=device, precision="bf16")
        batch = decoder_batch("auto", device=device.type, mask_size_px=sam.mask_size_px)
        encode_s, object_s = _seconds(sam, scene.rgb, request, batch)
        rows.append(
            {
                "device": device_name(device),
                "model": model,
                "image_s": round(encode_s, 5),
                "prompt_set_s": round(object_s / len(PROMPTS), 6),
            }
        )
    pd.DataFrame(rows).to_csv(PATH, index=False)


def _seconds(sam: Sam, rgb: np.ndarray, request: Request, batch: int) -> tuple[float, float]:
    """Of an encoded image, and of an object under all prompt sets; medians after a warm-up."""
    clock = perf_counter if sam.device.type == "cuda" else process_time
    encode_s, objects_s = [], []
    for _ in range(1 + N_REPEATS):
        started = clock()
        embedding = sam.encode(rgb)
        _wait()
        between = clock()
        extract_objects(sam, embedding, request, batch=batch, with_masks=True)
        _wait()
        encode_s.append(between - started)
        objects_s.append(clock() - between)
    return median(encode_s[1:]), median(objects_s[1:]) / len(request.points)


def _wait() -> None:
    """A GPU computes behind the program's back."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
