"""Textures: within their two colours, the same at any resolution, and sometimes hard to see."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.scenes.textures import PATTERNS, Texture, draw_texture, draw_texture_on, paint


def _texture(kind: str, seed: int = 0) -> Texture:
    return replace(draw_texture(np.random.default_rng(seed)), kind=kind)


def _paint(texture: Texture, size_px: int) -> np.ndarray:
    places = (np.arange(size_px, dtype=np.float32) + np.float32(0.5)) / np.float32(size_px)
    return paint(texture, places[None, :], places[:, None])


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("seed", range(4))
def test_colours_lie_between_the_two_of_the_texture(kind: str, seed: int) -> None:
    texture = _texture(kind, seed)
    pixels = _paint(texture, 64)

    assert pixels.shape == (64, 64, 3)
    assert (pixels >= texture.colors.min(axis=0) - 1e-6).all()
    assert (pixels <= texture.colors.max(axis=0) + 1e-6).all()
    assert pixels.std(axis=(0, 1)).max() > 0


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_window_shows_what_the_whole_shows_there(kind: str) -> None:
    texture = _texture(kind)
    places = (np.arange(64, dtype=np.float32) + np.float32(0.5)) / np.float32(64)

    window = paint(texture, places[None, 10:30], places[5:15, None])

    np.testing.assert_allclose(window, _paint(texture, 64)[5:15, 10:30], atol=1e-5)


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_texture_is_the_same_at_another_resolution(kind: str) -> None:
    texture = replace(_texture(kind), period=0.2)
    shrunk = _paint(texture, 256).reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))

    assert np.abs(shrunk - _paint(texture, 64)).mean() < 0.02


def test_what_lies_on_a_ground_is_distinct_similar_or_camouflaged() -> None:
    generator = np.random.default_rng(0)
    ground = _texture("stripes")
    drawn = [draw_texture_on(generator, ground) for _ in range(400)]
    distance = np.array(
        [np.linalg.norm(t.colors.mean(axis=0) - ground.colors.mean(axis=0)) for t in drawn]
    )
    has_its_pattern = np.array([t.kind == ground.kind for t in drawn])

    assert 0.25 < (distance < 0.25).mean() < 0.6
    assert (has_its_pattern & (distance < 0.11)).mean() > 0.12
    assert np.median(distance) > 0.2
