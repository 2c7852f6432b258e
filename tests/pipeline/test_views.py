"""Views: into the view and back out of it, exactly."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.views import (
    VIEW_KINDS,
    apply_view,
    default_view,
    entropy_views,
    map_points,
    parse_view,
    scene_in_view,
    unview,
    view_order,
)

VIEWS = (
    *("identity", "vflip", "hflip", "scale2", "half", "gray"),
    *("gblur5", "gnoise", "jpeg10", "jpeg30"),
)
"""The paper's, in the order of its Table 10; a view of each kind."""

FLIPS = ("vflip", "hflip")


def image(seed: int = 0, height: int = 21, width: int = 34) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_an_image_of_its_size_and_leaves_its_own_alone(view: str) -> None:
    rgb, size = image(), {"scale2": (42, 68), "half": (20, 32)}.get(view, (21, 34))
    viewed = apply_view(rgb, default_view(view))
    np.testing.assert_array_equal(rgb, image())
    assert viewed.dtype == np.uint8
    assert viewed.shape == (*size, 3)
    assert viewed.flags.c_contiguous


@pytest.mark.parametrize("view", FLIPS)
@given(x=st.integers(0, 33), y=st.integers(0, 20))
def test_a_mapped_point_lies_on_the_same_pixel(view: str, x: int, y: int) -> None:
    rgb = image()
    there = map_points(np.array([x, y]), default_view(view), height_px=21, width_px=34).astype(int)
    viewed = apply_view(rgb, default_view(view))
    np.testing.assert_array_equal(viewed[there[1], there[0]], rgb[y, x])


def test_a_point_scaled_twice_lies_at_the_centre_of_its_four_pixels() -> None:
    corner = map_points(
        np.array([[0, 0], [3, 5]]), default_view("scale2"), height_px=21, width_px=34
    )
    np.testing.assert_array_equal(corner, [[0.5, 0.5], [6.5, 10.5]])


@given(height=st.integers(24, 60), width=st.integers(24, 60), seed=st.integers(0, 99))
def test_a_halved_object_has_a_quarter_of_its_pixels_around_its_mapped_clicks(
    height: int, width: int, seed: int
) -> None:
    rng, view = np.random.default_rng(seed), default_view("half")
    bottom, right = rng.integers(6, (height, width), endpoint=True)
    mask = np.zeros((1, height, width), bool)
    mask[0, bottom - 6 : bottom, right - 6 : right] = True
    middle = np.array([[[right - 4, bottom - 4]] * 8])
    rgb = np.repeat(np.where(mask[0], 200, 0)[..., None], 3, axis=2).astype(np.uint8)
    clicks, (halved,) = scene_in_view(middle, mask, view)
    viewed = apply_view(rgb, view)
    assert halved.shape == viewed.shape[:2]
    assert 4 <= halved.sum() <= 16
    assert halved[clicks[0, :, 1], clicks[0, :, 0]].all()
    np.testing.assert_array_equal(halved, viewed[..., 0] >= 100)
    corner = viewed[0, 0]
    np.testing.assert_allclose(corner, rgb.mean(axis=(0, 1)), atol=0.51)


def test_an_object_too_small_for_a_view_keeps_the_pixel_of_its_click() -> None:
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 13, 17] = True
    ((click, *_),), (halved,) = scene_in_view(
        np.full((1, 8, 2), (17, 13)), mask, default_view("half")
    )
    assert np.argwhere(halved).tolist() == [[click[1], click[0]]]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_says_whether_it_moves_pixels(view: str) -> None:
    dot = np.zeros((21, 34, 3), np.uint8)
    dot[2:7, 3:8] = 255
    brightest = apply_view(dot, default_view(view))[4, 5]
    assert (default_view(view).kind.map_points is not None) == (brightest < 128).all()


@pytest.mark.parametrize("view", FLIPS)
@given(maps=arrays(np.float32, (2, 5, 6), elements=st.floats(-9, 9, width=32)))
def test_unview_undoes_the_flip(view: str, maps: np.ndarray) -> None:
    axis = 1 if view == "vflip" else 2
    flipped = torch.from_numpy(np.flip(maps, axis).copy())
    np.testing.assert_array_equal(unview(flipped, default_view(view)).numpy(), maps)


@pytest.mark.parametrize("view", [v for v in VIEWS if v not in FLIPS])
def test_unview_leaves_a_map_that_no_flip_moved(view: str) -> None:
    maps = torch.arange(12.0).reshape(3, 4)
    torch.testing.assert_close(unview(maps, default_view(view)), maps, rtol=0, atol=0)


def test_noise_has_variance_5000_and_follows_its_seed_the_image_and_the_view() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = {"variance": 5000, "seed": 3}
    noisy = apply_view(grey, parse_view("gnoise", noise), image="a.png")
    inside = (noisy > 0) & (noisy < 255)
    # Clipping hides the tails, so the share that is left tells the spread: P(|z| < 127.5 / sd).
    assert inside.mean() == pytest.approx(0.9286, abs=0.005)
    again = apply_view(grey, parse_view("gnoise", noise), image="a.png")
    np.testing.assert_array_equal(noisy, again)
    for view, image_name in (
        (parse_view("gnoise", noise | {"seed": 4}), "a.png"),
        (parse_view("gnoise", noise), "b.png"),
        (parse_view("gnoise2", noise), "a.png"),
    ):
        assert (noisy != apply_view(grey, view, image=image_name)).any()


def test_blur_has_opencv_s_sigma_for_five_pixels() -> None:
    kernel = cv2.getGaussianKernel(5, 1.1)
    dot = np.zeros((11, 11, 3), np.uint8)
    dot[5, 5] = 255
    blurred = apply_view(dot, default_view("gblur5"))
    np.testing.assert_allclose(blurred[3:8, 3:8, 0], 255 * kernel * kernel.T, atol=1.5)


def test_jpeg_keeps_colours_in_their_channels_and_loses_more_at_quality_10() -> None:
    smooth = cv2.resize(image(height=4, width=4), (64, 64), interpolation=cv2.INTER_CUBIC)
    loss = {}
    for view in ("jpeg10", "jpeg30"):
        viewed = apply_view(smooth, default_view(view)).astype(float)
        loss[view] = np.abs(viewed - smooth).mean((0, 1))
    assert (loss["jpeg30"] < 15).all()
    assert loss["jpeg10"].sum() > loss["jpeg30"].sum()


def test_gray_has_the_luma_of_the_image() -> None:
    rgb = image()
    luma = rgb @ [0.299, 0.587, 0.114]
    viewed = apply_view(rgb, default_view("gray"))
    np.testing.assert_allclose(viewed, np.repeat(luma[..., None], 3, 2), atol=0.51)


def test_every_kind_has_a_view_here_and_the_order_is_that_of_the_table() -> None:
    assert [kind.name for kind in VIEW_KINDS] == list(
        dict.fromkeys(default_view(view).kind.name for view in VIEWS)
    )
    assert tuple(sorted(set(VIEWS), key=view_order)) == VIEWS
    assert sorted(["jpeg100", "jpeg9", "gnoise2", "gnoise"], key=view_order) == [
        *("gnoise", "gnoise2", "jpeg9", "jpeg100")
    ]


def test_four_kinds_stay_out_of_the_entropies() -> None:
    assert set(VIEWS) - set(entropy_views(VIEWS)) == {"hflip", "scale2", "half", "gray"}
    assert entropy_views(["gray", "jpeg50", "identity"]) == ("jpeg50", "identity")


def test_a_signature_names_the_parameters_and_their_values() -> None:
    named = {view: default_view(view).described_parameters for view in VIEWS}
    assert {view: text for view, text in named.items() if text} == {
        "scale2": "factor=2",
        "gblur5": "kernel_px=5",
        "gnoise": "variance=5000, seed=0",
        "jpeg10": "quality=10",
        "jpeg30": "quality=30",
    }


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("upside_down", {}, "view must be one of identity, vflip, .*, got 'upside_down'"),
        ("jpeg", {"quality": 10}, r"view must be one of .*jpeg<quality>, got 'jpeg'"),
        (
            "jpeg0",
            {"quality": 0},
            r"views\.jpeg0\.quality must be a whole number from 1 to 100, got 0",
        ),
        ("jpeg10", {"quality": 30}, r"views\.jpeg10\.quality must be 10, as the name says, got 30"),
        ("jpeg10", {}, r"views\.jpeg10\.quality must be a whole number from 1 to 100, got none"),
        ("jpeg10", {"qualty": 10}, r"views\.jpeg10: key must be one of quality, got 'qualty'"),
        ("vflip", {"seed": 0}, r"views\.vflip: key must be left out, got 'seed'"),
        ("gblur4", {"kernel_px": 4}, "kernel_px must be an odd number from 3 to 99, got 4"),
        ("gnoise", {"variance": 0, "seed": 0}, "variance must be .* from 1 to 65025, got 0"),
        ("gnoise", {"variance": 1, "seed": -1}, "seed must be a whole number from 0 .*, got -1"),
    ],
)
def test_a_view_that_cannot_be_is_refused(
    name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parse_view(name, parameters)
