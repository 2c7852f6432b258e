"""Views: into the view and back out of it, exactly."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.views import apply_view, map_points, unview
from pipeline.vocabulary import VIEW_PARAMETERS, VIEWS

FLIPS = ("vflip", "hflip")


def image(seed: int = 0, height: int = 21, width: int = 34) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_an_image_of_its_size(view: str) -> None:
    factor = 2 if view == "scale2" else 1
    viewed = apply_view(image(), view, noise_seed=0)
    assert viewed.dtype == np.uint8
    assert viewed.shape == (21 * factor, 34 * factor, 3)
    assert viewed.flags.c_contiguous


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_leaves_the_image_alone(view: str) -> None:
    rgb = image()
    apply_view(rgb, view, noise_seed=0)
    np.testing.assert_array_equal(rgb, image())


@pytest.mark.parametrize("view", FLIPS)
@given(x=st.integers(0, 33), y=st.integers(0, 20))
def test_a_mapped_point_lies_on_the_same_pixel(view: str, x: int, y: int) -> None:
    rgb = image()
    there = map_points(np.array([x, y]), view, height_px=21, width_px=34).astype(int)
    viewed = apply_view(rgb, view, noise_seed=0)
    np.testing.assert_array_equal(viewed[there[1], there[0]], rgb[y, x])


def test_a_point_scaled_twice_lies_at_the_centre_of_its_four_pixels() -> None:
    corner = map_points(np.array([[0, 0], [3, 5]]), "scale2", height_px=21, width_px=34)
    np.testing.assert_array_equal(corner, [[0.5, 0.5], [6.5, 10.5]])


@pytest.mark.parametrize("view", [v for v in VIEWS if v not in (*FLIPS, "scale2")])
def test_other_views_leave_points_where_they_are(view: str) -> None:
    points = np.arange(16).reshape(8, 2)
    np.testing.assert_array_equal(map_points(points, view, height_px=9, width_px=20), points)


@pytest.mark.parametrize("view", FLIPS)
@given(maps=arrays(np.float32, (2, 5, 6), elements=st.floats(-9, 9, width=32)))
def test_unview_undoes_the_flip(view: str, maps: np.ndarray) -> None:
    axis = 1 if view == "vflip" else 2
    flipped = torch.from_numpy(np.flip(maps, axis).copy())
    np.testing.assert_array_equal(unview(flipped, view).numpy(), maps)


@pytest.mark.parametrize("view", [v for v in VIEWS if v not in FLIPS])
def test_unview_leaves_a_map_that_no_flip_moved(view: str) -> None:
    maps = torch.arange(12.0).reshape(3, 4)
    torch.testing.assert_close(unview(maps, view), maps, rtol=0, atol=0)


def test_noise_has_variance_5000_and_follows_its_seed() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = apply_view(grey, "gnoise", noise_seed=3)
    inside = (noisy > 0) & (noisy < 255)
    # Clipping hides the tails, so the share that is left tells the spread: P(|z| < 127.5 / sd).
    assert inside.mean() == pytest.approx(0.9286, abs=0.005)
    np.testing.assert_array_equal(noisy, apply_view(grey, "gnoise", noise_seed=3))
    assert (noisy != apply_view(grey, "gnoise", noise_seed=4)).any()


def test_blur_has_opencv_s_sigma_for_five_pixels() -> None:
    kernel = cv2.getGaussianKernel(5, 1.1)
    dot = np.zeros((11, 11, 3), np.uint8)
    dot[5, 5] = 255
    blurred = apply_view(dot, "gblur5", noise_seed=0)
    np.testing.assert_allclose(blurred[3:8, 3:8, 0], 255 * kernel * kernel.T, atol=1.5)


def test_jpeg_keeps_colours_in_their_channels_and_loses_more_at_quality_10() -> None:
    smooth = cv2.resize(image(height=4, width=4), (64, 64), interpolation=cv2.INTER_CUBIC)
    loss = {}
    for view in ("jpeg10", "jpeg30"):
        viewed = apply_view(smooth, view, noise_seed=0).astype(float)
        loss[view] = np.abs(viewed - smooth).mean((0, 1))
    assert (loss["jpeg30"] < 15).all()
    assert loss["jpeg10"].sum() > loss["jpeg30"].sum()


def test_gray_has_the_luma_of_the_image() -> None:
    rgb = image()
    luma = rgb @ [0.299, 0.587, 0.114]
    viewed = apply_view(rgb, "gray", noise_seed=0)
    np.testing.assert_allclose(viewed, np.repeat(luma[..., None], 3, 2), atol=0.51)


def test_every_view_says_how_it_is_made() -> None:
    assert set(VIEW_PARAMETERS) == set(VIEWS)


def test_an_unknown_view_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"view must be one of identity, .*, got 'upside_down'"):
        apply_view(image(), "upside_down", noise_seed=0)
    with pytest.raises(ValueError, match="got 'upside_down'"):
        map_points(np.zeros((1, 2)), "upside_down", height_px=3, width_px=3)
    with pytest.raises(ValueError, match="got 'upside_down'"):
        unview(torch.zeros(1, 2, 2), "upside_down")
