"""Masks of all objects of an image as files: COCO JSON, or a ZIP of that with a PNG per object."""

import io
import json
from typing import Annotated, Any, Final
from zipfile import ZipFile, ZipInfo

import numpy as np
from jaxtyping import Bool
from pydantic import Field

from pipeline.predictor import UncertainPredictor
from pipeline.predictor.advice import Costs
from pipeline.vocabulary import N_PROPOSALS
from stages.predictor.answers import mask_result
from stages.web.messages import Prompt, Strict
from storage.datasets.coco import EVERYTHING_CATEGORIES, NO_CATEGORY
from storage.images.image_files import png_bytes
from storage.outputs.coco_results import attributes_of, coco_dataset
from storage.rle import decode_rle

MOST_OBJECTS: Final = 100

MOST_REQUEST_BYTES: Final = 1_000_000
"""Enough for ``MOST_OBJECTS`` with ``MOST_CLICKS`` each."""

Annotation = dict[str, Any]
"""A mask with its values, as an entry of COCO results."""


class ObjectPrompt(Prompt):
    """A numbered object of an image, its prompt, and the proposal to download."""

    number: Annotated[int, Field(gt=0, lt=2**31)]
    proposal: Annotated[int, Field(ge=0, lt=N_PROPOSALS)]


class DownloadRequest(Strict):
    """All objects of an open image, and the model and heads that answer their prompts."""

    model: str
    heads: str
    objects: Annotated[tuple[ObjectPrompt, ...], Field(min_length=1, max_length=MOST_OBJECTS)]
    costs: Costs = Costs()
    """Costs of corrections, in IoU: advice must gain more."""
    file_name: Annotated[str, Field(max_length=255)] = ""
    """File name of the image, for the COCO file; nothing is opened by it."""


def annotation_of(
    predictor: UncertainPredictor, prompted: ObjectPrompt, costs: Costs
) -> Annotation:
    """Predict the mask of one object, at the size of its image."""
    (uncertainty,) = predictor.predict_uncertainties([prompted.prompt_set], costs=costs)
    result = mask_result(uncertainty, prompted.proposal)
    return {
        "image_id": 1,
        "category_id": NO_CATEGORY,
        **result,
        "attributes": {"object": prompted.number, **attributes_of(result["uncertainty"])},
        "proposal": prompted.proposal,
    }


def coco_file(annotations: list[Annotation], file_name: str) -> str:
    """A COCO file of one image: an annotation with its values for each mask that is not empty.

    ``score`` is the expected IoU, as in the results of ``usam predict-coco``; the attribute
    ``object`` is the number of the object on the page.
    """
    height, width = annotations[0]["segmentation"]["size"]
    image = {"id": 1, "file_name": file_name, "height": height, "width": width}
    content = coco_dataset([image], annotations, EVERYTHING_CATEGORIES)
    by_object = {annotation["attributes"]["object"]: annotation for annotation in annotations}
    for entry in content["annotations"]:
        annotation = by_object[entry["attributes"]["object"]]
        entry["uncertainty"] = {"proposal": annotation["proposal"], **annotation["uncertainty"]}
    return json.dumps(content, indent=2)


def mask_archive(annotations: list[Annotation], file_name: str) -> bytes:
    """A ZIP of ``annotations.json`` and ``object-<number>.png`` for each object, 255 inside.

    No name in the ZIP follows from the image's, so that unpacking it writes nowhere else. Equal
    masks give equal bytes: entries have the date of ZIP's first day.
    """
    archive = io.BytesIO()
    with ZipFile(archive, "w") as file:
        file.writestr(ZipInfo("annotations.json"), coco_file(annotations, file_name))
        for annotation in annotations:
            name = f"object-{annotation['attributes']['object']}.png"
            file.writestr(ZipInfo(name), png_bytes(_mask(annotation).astype(np.uint8) * 255))
    return archive.getvalue()


def _mask(annotation: Annotation) -> Bool[np.ndarray, "height width"]:
    rle = annotation["segmentation"]
    return decode_rle(rle["counts"], *rle["size"])
