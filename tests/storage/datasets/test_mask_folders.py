"""The reader ``masks``: images and masks of the same names in two folders."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import yaml
from PIL import Image

from storage.datasets.mask_folders import read_sizes
from storage.datasets.object_records import ImageRecord
from storage.errors import DataError
from storage.rle import decode_rle
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.layouts import SIZE_PX, Place, draw_picture, write_jpeg, write_palette
from tests.fixtures.read_split import read_place

PICTURE: Final = draw_picture(0)
IDS: Final = PICTURE.ids
INSIDE: Final = IDS > 0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One image, and a folder for its mask."""
    write_jpeg(tmp_path / "images/deep/a.jpg", PICTURE.rgb)
    (tmp_path / "masks/deep").mkdir(parents=True)
    folders = {"images": str(tmp_path / "images"), "annotations": str(tmp_path / "masks")}
    return {"reader": "masks", **folders}


def save(place: Place, pixels: np.ndarray, name: str = "a.png") -> None:
    """Replace the mask of the image, or write another mask."""
    folder = Path(place["annotations"], "deep")
    if name.startswith("a."):
        (folder / "a.png").unlink(missing_ok=True)
    Image.fromarray(pixels).save(folder / name)


def masks_of(place: Place, **options: Any) -> dict[int, np.ndarray]:  # noqa: ANN401 - keys of a split
    """Masks by id of the only image."""
    records = read_place(place, min_area_px=1, **options)
    assert [image.file for image in records.images] == ["deep/a.jpg"]
    return {item.object_id: decode_rle(item.mask_rle, SIZE_PX, SIZE_PX) for item in records.objects}


SOFT: Final = np.where(INSIDE, 200, 40).astype(np.uint8)

BINARY: Final[dict[str, tuple[Callable[[], Image.Image], str]]] = {
    "one bit": (lambda: Image.fromarray(INSIDE), "a.png"),
    "0 and 1": (lambda: Image.fromarray(INSIDE.astype(np.uint8)), "a.png"),
    "soft edges": (lambda: Image.fromarray(SOFT), "a.png"),
    "16 bit": (lambda: Image.fromarray(INSIDE.astype(np.uint16) * 60_000), "a.tif"),
    "a colour": (
        lambda: Image.fromarray(INSIDE[..., None] * np.array([9, 250, 0], np.uint8)),
        "a.PNG",
    ),
    "transparent": (lambda: Image.fromarray(SOFT).convert("LA"), "a.png"),
    "JPEG": (lambda: Image.fromarray(INSIDE.astype(np.uint8) * 255), "a.jpg"),
}


@pytest.mark.parametrize("kind", BINARY)
def test_a_binary_mask_of_any_format_is_one_object(place: Place, kind: str) -> None:
    draw, name = BINARY[kind]
    draw().save(Path(place["annotations"], "deep", name), quality=95)
    write_jpeg(Path(place["images"], "without_mask.jpg"), PICTURE.rgb)
    (mask,) = masks_of(place, objects="binary").values()
    np.testing.assert_array_equal(mask, INSIDE)


PUBLIC: Final[dict[str, tuple[str, str]]] = {
    "COIFT": ("2.jpg", "2.png"),
    "COD10K-v3": ("COD10K-CAM-1-Aquatic-1-BatFish-1.jpg", "COD10K-CAM-1-Aquatic-1-BatFish-1.png"),
    "ISTD": ("90-1.png", "90-1.png"),
    "SBU": ("lssd9.jpg", "lssd9.png"),
    "Flare7K++": ("000000.png", "000000.png"),
    "Trans10K": ("1.jpg", "1_mask.png"),
    "Kvasir-SEG": ("cju0qkwl35piu0993l0dewei2.jpg", "cju0qkwl35piu0993l0dewei2.jpg"),
    "ISIC 2016": ("ISIC_0000003.jpg", "ISIC_0000003_Segmentation.png"),
    "LoveDA": ("2522.png", "2522.png"),
}
"""Names of an image and of its mask in public sets."""


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_layout_is_read_with_the_folders_and_keys_of_the_docs(
    name: str, tmp_path: Path
) -> None:
    page = (ROOT / "docs/datasets.md").read_text("utf-8")
    _, folders, keys, *_ = page.partition(f"\n| {name} |")[2].split(" | ")
    images, masks = (tmp_path / folder for folder in re.findall("`([^`]+)`", folders)[:2])
    options = yaml.safe_load("{" + ", ".join(re.findall("`([^`]+)`", keys)) + "}")
    void = tuple(options.pop("void", ()))
    for folder, file, pixels in zip(
        (images, masks), PUBLIC[name], (PICTURE.rgb, INSIDE.astype(np.uint8) * 255), strict=True
    ):
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / file)
    place = {"reader": "masks", "images": str(images), "annotations": str(masks)}
    records = read_place(place, min_area_px=1, void=void, **options)
    assert [image.file for image in records.images] == [PUBLIC[name][0]]
    assert len(records.objects) == 1


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_noise_of_lossy_formats_is_background(place: Place, name: str) -> None:
    save(place, np.full((SIZE_PX, SIZE_PX), 5, np.uint8), name)
    with pytest.raises(DataError, match="must have an object of 10 px or more, got none"):
        read_place(place, objects="binary")


def test_a_lossless_webp_holds_values(place: Place) -> None:
    Image.fromarray(INSIDE.astype(np.uint8)).save(
        Path(place["annotations"], "deep/a.webp"), lossless=True
    )
    for objects, number in (("binary", 1), ("values", 65_793)):
        np.testing.assert_array_equal(masks_of(place, objects=objects)[number], INSIDE)


def test_of_a_palette_each_index_but_void_is_foreground(place: Place) -> None:
    indices = IDS.copy()
    indices[:4] = 255
    write_palette(Path(place["annotations"], "deep/a.png"), indices)
    masks = masks_of(place, objects="binary", void=(255,))
    np.testing.assert_array_equal(masks[1], (indices > 0) & (indices < 255))


COLOURS: Final = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 255], [7, 8, 9]], np.uint8)
"""Colours of objects: a colour's number is red + 256 green + 65,536 blue."""


@pytest.mark.parametrize(
    ("pixels", "number_of"),
    [
        (IDS, lambda i: i),
        (IDS.astype(np.uint16) * 1000, lambda i: 1000 * i),
        (COLOURS[IDS % 4], lambda i: int(COLOURS[i % 4] @ [1, 256, 65_536])),
    ],
    ids=["8 bit", "16 bit", "colours"],
)
def test_each_value_but_void_is_an_object(
    place: Place, pixels: np.ndarray, number_of: Callable[[int], int]
) -> None:
    save(place, pixels)
    numbers = {number_of(i) for i in PICTURE.masks} - {0}
    void = number_of(1)
    masks = masks_of(place, objects="values", void=(void,))
    assert masks.keys() == numbers - {void}
    for number, mask in masks.items():
        same = [i for i in PICTURE.masks if number_of(i) == number]
        np.testing.assert_array_equal(mask, np.isin(IDS, same))


@pytest.mark.parametrize(("names", "ids"), [(("07", "3"), [7, 3]), (("cat", "dog"), [1, 2])])
def test_each_file_of_a_folder_is_an_object_by_its_number_or_place(
    place: Place, names: tuple[str, str], ids: list[int]
) -> None:
    folder = Path(place["annotations"], "deep/a_objects")
    folder.mkdir()
    for i, name in enumerate(names, start=1):
        Image.fromarray(PICTURE.masks[i]).save(folder / f"{name}.png")
    masks = masks_of(place, objects="files", suffix="_objects")
    assert sorted(ids) == list(masks)
    for i, number in enumerate(ids, start=1):
        np.testing.assert_array_equal(masks[number], PICTURE.masks[i])


def _two_images(place: Place) -> None:
    shutil.copy(Path(place["images"], "deep/a.jpg"), Path(place["images"], "deep/a.png"))


def _two_sizes(place: Place) -> None:
    folder = Path(place["annotations"], "deep/a")
    folder.mkdir()
    for n in (8, 9):
        Image.fromarray(np.ones((n, n), np.uint8)).save(folder / f"{n}.png")


FAULTS: Final[dict[str, tuple[Callable[[Place], object], str, str]]] = {
    "no images": (
        lambda p: shutil.rmtree(Path(p["images"], "deep")),
        "binary",
        r"masks must have files of masks .*, followed by '', got none \(0 images, 1 mask\)",
    ),
    "two images of a name": (_two_images, "binary", "name of its own .* got .*a.jpg, .*a.png"),
    "mask without image": (
        lambda p: save(p, SOFT, "b.png"),
        "values",
        "reader masks: every mask must have its image in .*, got 1 without: deep/b",
    ),
    "values as JPEG": (
        lambda p: save(p, SOFT, "a.jpg"),
        "values",
        "image deep/a.jpg: .*a.jpg must hold values, which JPEG and lossy WebP change: save it as",
    ),
    "values as lossy WebP": (
        lambda p: save(p, SOFT, "a.webp"),
        "values",
        "image deep/a.jpg: .*a.webp must hold values, which JPEG and lossy WebP change: save it as",
    ),
    "floats": (
        lambda p: save(p, SOFT.astype(np.float32), "a.tif"),
        "binary",
        "image deep/a.jpg: .*a.tif must have one of the modes 1, .*, got F",
    ),
    "cut off": (
        lambda p: Path(p["annotations"], "deep/a.png").write_bytes(b"no image"),
        "binary",
        "image deep/a.jpg: .*a.png must be a readable mask, got: ",
    ),
    "masks of two sizes": (_two_sizes, "files", "image deep/a.jpg: masks must be of one size, got"),
    "no masks": (
        lambda p: Path(p["annotations"], "deep/a").mkdir(),
        "files",
        "image deep/a.jpg: masks must be of one size, got none",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_image(place: Place, fault: str) -> None:
    save(place, SOFT)
    change, objects, message = FAULTS[fault]
    change(place)
    with pytest.raises(DataError, match=message):
        read_place(place, objects=objects)


def test_linked_subfolders_are_read_and_a_link_to_a_folder_around_it_is_not(
    place: Place, tmp_path: Path
) -> None:
    for key, linked in (("images", "day"), ("annotations", "night")):
        (Path(place[key]) / "deep").rename(tmp_path / linked)
        (Path(place[key]) / "deep").symlink_to(tmp_path / linked)
        (tmp_path / linked / "all").symlink_to(place[key])
        (tmp_path / linked / "above").symlink_to(tmp_path)
    save(place, SOFT)
    np.testing.assert_array_equal(masks_of(place, objects="binary")[1], INSIDE)
    records, faults = read_sizes(Path(place["images"]))
    assert (records, faults) == ([ImageRecord("deep/a.jpg", SIZE_PX, SIZE_PX)], [])


def test_sizes_of_images_are_read_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "deep/a.jpg", PICTURE.rgb[:3])
    Image.fromarray(PICTURE.rgb).save(tmp_path / "B.PPM")
    (tmp_path / "damaged.png").write_bytes(b"no image")
    (tmp_path / "._a.jpg").write_bytes(b"a record of macOS beside a.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    records, (fault,) = read_sizes(tmp_path)
    assert records == [
        ImageRecord("B.PPM", SIZE_PX, SIZE_PX),
        ImageRecord("deep/a.jpg", 3, SIZE_PX),
    ]
    assert "damaged.png" in fault
