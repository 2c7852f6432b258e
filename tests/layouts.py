"""The same annotated pictures in the layout of every data set, as it is downloaded."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from pipeline.scenes import draw_scene
from storage.rle import encode_rle

SIZE_PX: Final = 64


@dataclass(frozen=True)
class Picture:
    """An image and its objects, none over another, by their ids."""

    rgb: np.ndarray
    masks: Mapping[int, np.ndarray]

    @property
    def ids(self) -> np.ndarray:
        """Each pixel's object, 0 for none."""
        return sum(number * mask.astype(np.uint8) for number, mask in self.masks.items())  # type: ignore[return-value]


Videos = Mapping[str, Sequence[Picture]]
Place = dict[str, Any]
"""A split of params.yaml."""


def draw_picture(seed: int, size_px: int = SIZE_PX) -> Picture:
    """A drawn scene and those of its objects that lie over none before them."""
    scene = draw_scene(seed, size_px)
    masks: list[np.ndarray] = []
    for mask in scene.masks:
        if not any((mask & other).any() for other in masks):
            masks.append(mask)
    return Picture(scene.rgb, dict(enumerate(masks, start=1)))


def draw_videos(*lengths: int) -> Videos:
    """Videos of different pictures."""
    seeds = iter(range(sum(lengths)))
    return {
        f"video{place}": [draw_picture(next(seeds)) for _ in range(length)]
        for place, length in enumerate(lengths)
    }


def write_palette(path: Path, ids: np.ndarray) -> None:
    """A mask as DAVIS and MOSE have it: the colours say nothing, the indices are the ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids.astype(np.uint8), "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.save(path)


def write_jpeg(path: Path, rgb: np.ndarray) -> None:
    """An image with little loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, quality=98, subsampling=0)


def write_davis(root: Path, videos: Videos, resolution: str = "480p") -> Place:
    """DAVIS 2017, one resolution, all videos in the list of ``val``."""
    images, masks = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    _write_frames(images, masks, videos)
    names = root / "ImageSets" / "2017" / "val.txt"
    names.parent.mkdir(parents=True, exist_ok=True)
    names.write_text("".join(f"{video}\n" for video in videos))
    return _place("davis", images, masks, list=str(names))


def write_mose(root: Path, videos: Videos) -> Place:
    """MOSE train."""
    images, masks = root / "train" / "JPEGImages", root / "train" / "Annotations"
    _write_frames(images, masks, videos)
    lengths = {video: {"length": len(pictures)} for video, pictures in videos.items()}
    path = root / "meta_train.json"
    path.write_text(json.dumps({"videos": lengths}))
    return _place("mose", images, masks, list=str(path))


def write_ade20k(root: Path, videos: Videos) -> Place:
    """ADE20K challenge, validation; the ids of the objects are their classes."""
    images, masks = root / "images" / "validation", root / "annotations" / "validation"
    masks.mkdir(parents=True)
    for place, picture in enumerate(_all(videos), start=1):
        write_jpeg(images / f"ADE_val_{place:08d}.jpg", picture.rgb)
        Image.fromarray(picture.ids).save(masks / f"ADE_val_{place:08d}.png")
    return _place("ade20k", images, masks)


def write_sav_frames(root: Path, videos: Videos) -> Place:
    """SA-V val; each picture four frames long, the last one one."""
    images, masks = root / "JPEGImages_24fps", root / "Annotations_6fps"
    for video, pictures in videos.items():
        for number, picture in enumerate(_repeated(pictures)):
            write_jpeg(images / video / f"{number:05d}.jpg", picture.rgb)
            if number % 4 == 0:
                _write_object_masks(masks / video, number, picture)
    names = root / "sav_val.txt"
    names.write_text("".join(f"{video}\n" for video in videos))
    return _place("sav_frames", images, masks, list=str(names))


def write_sav_videos(root: Path, videos: Videos) -> Place:
    """SA-V train in one subset, manual masklets; as long as ``write_sav_frames``."""
    folder = root / "sav_train"
    (folder / "sav_000").mkdir(parents=True)
    for video, pictures in videos.items():
        path = folder / "sav_000" / f"{video}.mp4"
        write_mp4(path, [picture.rgb for picture in _repeated(pictures)])
        content = json.dumps(masklets(video, pictures))
        path.with_name(f"{video}_manual.json").write_text(content)
    return _place("sav_videos", folder, folder, masklets="manual")


def write_coco(root: Path, videos: Videos) -> Place:
    """COCO instances; the ids of objects count on from image to image."""
    images, path = root / "val2017", root / "annotations" / "instances_val2017.json"
    path.parent.mkdir(parents=True)
    pictures = _all(videos)
    records = []
    for place, picture in enumerate(pictures):
        write_jpeg(images / f"{place:012d}.jpg", picture.rgb)
        height, width = picture.rgb.shape[:2]
        name = f"{place:012d}.jpg"
        records.append({"id": place, "file_name": name, "height": height, "width": width})
    masks = [(k, mask) for k, picture in enumerate(pictures) for mask in picture.masks.values()]
    annotations = [
        {"id": number, "image_id": place, "segmentation": _rle(mask), "iscrowd": 0}
        for number, (place, mask) in enumerate(masks, start=1)
    ]
    path.write_text(json.dumps({"images": records, "annotations": annotations}))
    return _place("coco", images, path)


LAYOUTS: Final[Mapping[str, Callable[[Path, Videos], Place]]] = {
    "coco": write_coco,
    "davis": write_davis,
    "ade20k": write_ade20k,
    "mose": write_mose,
    "sav_frames": write_sav_frames,
    "sav_videos": write_sav_videos,
}
"""Writers by the name of the reader."""


def masklets(video: str, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Content of a ``_manual.json``; an object that a picture lacks has an empty mask there."""
    ids = sorted({number for picture in pictures for number in picture.masks})
    height, width = pictures[0].rgb.shape[:2]
    absent = np.zeros((height, width), bool)
    return {
        "video_id": video,
        "video_frame_count": float(4 * len(pictures) - 3),
        "video_height": float(height),
        "video_width": float(width),
        "masklet_id": ids,
        "masklet": [
            [_rle(picture.masks.get(number, absent)) for number in ids] for picture in pictures
        ],
    }


def write_mp4(path: Path, frames: Sequence[np.ndarray]) -> None:
    """A video of 24 frames a second."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 24, (width, height))
    for rgb in frames:
        writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    writer.release()


def _write_frames(images: Path, masks: Path, videos: Videos) -> None:
    for video, pictures in videos.items():
        for number, picture in enumerate(pictures):
            write_jpeg(images / video / f"{number:05d}.jpg", picture.rgb)
            write_palette(masks / video / f"{number:05d}.png", picture.ids)


def _write_object_masks(folder: Path, number: int, picture: Picture) -> None:
    for object_id, mask in picture.masks.items():
        path = folder / f"{object_id:03d}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Any value but 0 is foreground.
        Image.fromarray(mask.astype(np.uint8) * (1 if object_id % 2 else 255)).save(path)


def _all(videos: Videos) -> list[Picture]:
    return [picture for pictures in videos.values() for picture in pictures]


def _repeated(pictures: Sequence[Picture]) -> list[Picture]:
    return [picture for picture in pictures for _ in range(4)][: 4 * len(pictures) - 3]


def _rle(mask: np.ndarray) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": encode_rle(mask)}


def _place(reader: str, images: Path, annotations: Path, **options: str) -> Place:
    return {"reader": reader, "images": str(images), "annotations": str(annotations), **options}
