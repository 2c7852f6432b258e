"""Downloads of an image's masks: a COCO file, or a ZIP of a COCO file and a PNG per object."""

import io
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
from storage.outputs.coco_results import attributes_of, write_dataset
from storage.rle import decode_rle

MOST_OBJECTS: Final = 100

MOST_REQUEST_BYTES: Final = 1_000_000
"""Most bytes of a request for a download: enough for all objects with ``MOST_CLICKS`` each."""

Annotation = dict[str, Any]
"""A mask with its values, as an entry of COCO results."""


class ObjectPrompt(Prompt):
    """An object's number on the page, its prompt, and the index of the mask to download.

    The index is the number of a proposal, or ``N_PROPOSALS`` for the mask that the heads choose.
    """

    number: Annotated[int, Field(gt=0, lt=2**31)]
    proposal: Annotated[int, Field(ge=0, le=N_PROPOSALS)]


class DownloadRequest(Strict):
    """A request for masks of objects of an open image, from a model and heads by name."""

    model: str
    heads: str
    objects: Annotated[tuple[ObjectPrompt, ...], Field(min_length=1, max_length=MOST_OBJECTS)]
    costs: Costs = Costs()
    """Cost of each correction, in IoU: a correction is advised only if it gains more."""
    file_name: Annotated[str, Field(max_length=255)] = ""
    """File name of the image, to write into the COCO file; no file of this name is opened."""


def annotation_of(
    predictor: UncertainPredictor, prompted: ObjectPrompt, costs: Costs
) -> Annotation:
    """Answer an object's prompt, and convert the mask that the page asks for to COCO results.

    The entry also has ``attributes``; in ``uncertainty``, the ``proposal`` and the ``cut`` (the
    probability at which the mask is cut) come first. The image of ``predictor`` is set.
    """
    (uncertainty,) = predictor.predict_uncertainties([prompted.prompt_set], costs=costs)
    is_chosen = prompted.proposal == N_PROPOSALS
    mask = uncertainty.best_mask if is_chosen else uncertainty.mask_of(prompted.proposal)
    result = mask_result(uncertainty, mask)
    of_mask = {"proposal": mask.proposal, "cut": mask.cut}
    return {
        "image_id": 1,
        "category_id": NO_CATEGORY,
        **result,
        "uncertainty": {**of_mask, **result["uncertainty"]},
        "attributes": {"object": prompted.number, **attributes_of(result)},
    }


def coco_file(annotations: list[Annotation], file_name: str) -> str:
    """Text of a COCO file of one image: an annotation for each mask that is not empty.

    ``score`` is the expected IoU, as in the results of ``usam predict-coco``; the attribute
    ``object`` is the number of the object on the page. ``annotations`` has at least one result of
    ``annotation_of``, all for the same image.
    """
    height, width = annotations[0]["segmentation"]["size"]
    image = {"id": 1, "file_name": file_name, "height": height, "width": width}
    text = io.StringIO()
    write_dataset(text, [image], annotations, EVERYTHING_CATEGORIES, also=["uncertainty"])
    return text.getvalue()


def mask_archive(annotations: list[Annotation], file_name: str) -> bytes:
    """Bytes of a ZIP of ``annotations.json`` and ``object-<number>.png`` for each object.

    A PNG is 255 inside the mask and 0 outside. No entry is named after the image, so unpacking the
    ZIP cannot write into other folders. Equal arguments give equal bytes: all entries have the
    earliest date of the ZIP format. An empty mask has a PNG alone.
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
