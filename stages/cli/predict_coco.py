"""``usam predict-coco``: a folder of images and a COCO file of prompts in, COCO results out."""

from pathlib import Path
from typing import Annotated

import typer

from stages.predictor import load_predictor
from stages.predictor.folder import answer_images
from stages.shell.edge import reported_errors
from stages.shell.progress import progress
from stages.shell.rules import check_known
from storage.checkpoints.weights import checkpoint
from storage.datasets.coco_prompts import KINDS, read_prompts
from storage.errors import DataError, listed
from storage.head_files.files import read_head_file, shipped_heads
from storage.images.files import sha256_file
from storage.outputs.coco_results import KeptResults


def predict_coco(
    images: Annotated[Path, typer.Argument(help="Folder of the images.")],
    annotations: Annotated[Path, typer.Argument(help="COCO file of boxes or keypoints.")],
    results: Annotated[Path, typer.Argument(help="COCO results file to write.")],
    prompt: Annotated[str, typer.Option(help="box (bbox) or clicks (keypoints).")] = "box",
    model: Annotated[str, typer.Option(help="tiny, small, base_plus or large.")] = "tiny",
    heads: Annotated[
        Path | None, typer.Option(help="File of `usam heads export`; names the family, too.")
    ] = None,
) -> None:
    """Segment every annotated object by its box or clicks, with the uncertainty of each mask.

    An interrupted run goes on where it was; an image that cannot be read is named at the end.
    """
    with reported_errors():
        check_known("prompt", prompt, KINDS)
        asked = read_prompts(annotations, prompt)
        path = heads or shipped_heads("mini")
        card = read_head_file(path).card
        family = card["family"]
        predictor = load_predictor(family, model, heads=path, protocol=card["protocol"])
        made_from = {
            "annotations": sha256_file(annotations),
            "images": str(images.resolve()),
            "heads": card["sha256"],
            "weights": checkpoint(family, model).sha256 or "not listed",
            "prompt": prompt,
        }
        kept = KeptResults(results, made_from)
        with progress(f"predict {images}", len(asked), "images") as advance:
            faults = answer_images(predictor, images, asked, kept, advance)
        n_results = kept.write(results, [one.image_id for one in asked])
        print(f"{results}: {n_results} masks in {len(asked) - len(faults)} images")
        if faults:
            raise DataError(
                f"{len(faults)} of {len(asked)} images are left out, mend them and run again: "
                f"{listed(faults)}"
            )
        kept.forget()
