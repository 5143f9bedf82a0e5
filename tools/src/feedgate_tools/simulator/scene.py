"""What a simulated camera sees: a street of noise, a ball, a clock, and the number of the picture."""

from __future__ import annotations

import math
from datetime import datetime

import cv2
import numpy as np

from feedgate_tools.simulator.picture_number import Image, draw_picture_number, strip_height

_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)
_BALL = (40, 150, 250)
_SEED = 7
_PIXELS_PER_PICTURE = 4


class Scene:
    """Draws any picture of one camera; the same number and time give the same picture."""

    def __init__(self, *, width: int, height: int, name: str, grain: float = 6.0) -> None:
        """Prepare the scenery.

        Args:
            width: pixels, even, at least 64.
            height: pixels, even, at least 64.
            name: told to the people who watch.
            grain: spread of the sensor's noise in grey levels. It is what no encoder can foresee, so
                the size of a picture between keyframes grows with it.
        """
        self.width = width
        self.height = height
        self.name = name
        self._backdrop = _backdrop(width, height)
        self._canvas = np.empty_like(self._backdrop)
        self._street = _noise(height // 3, 2 * width, level=110, spread=20, repeats_after=width)
        self._grain = _noise(2 * (height // 3), 2 * width, level=round(2 * grain), spread=grain)

    def draw(self, number: int, at: datetime | None) -> Image:
        """Return picture `number`, with the clock at `at` if there is one.

        It is (height, width, 3) uint8 BGR, and belongs to the scene: the next call paints over it.
        """
        image = self._canvas
        np.copyto(image, self._backdrop)
        self._draw_street(image, number)
        self._draw_ball(image, number)
        top = strip_height(self.height)
        scale = self.height / 720
        clock = at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03d} UTC" if at else "clip"
        _write(image, clock, (round(24 * scale), top + round(60 * scale)), 1.6 * scale)
        _write(
            image,
            f"{self.name}  picture {number}",
            (round(24 * scale), top + round(120 * scale)),
            1.6 * scale,
        )
        draw_picture_number(image, number)
        return image

    def _draw_street(self, image: Image, number: int) -> None:
        height = self._street.shape[0]
        offset = number * _PIXELS_PER_PICTURE % self.width
        grain_x, grain_y = number * 389 % self.width, number * 127 % height
        street = self._street[:, offset : offset + self.width]
        grain = self._grain[grain_y : grain_y + height, grain_x : grain_x + self.width]
        cv2.add(street, grain, dst=image[self.height - height :])

    def _draw_ball(self, image: Image, number: int) -> None:
        radius = self.height // 14
        angle = number / 25 * math.tau / 4
        centre = (
            round(self.width / 2 + (self.width / 2 - 2 * radius) * math.cos(angle)),
            round(self.height * 0.55 + self.height * 0.2 * math.sin(angle * 2)),
        )
        cv2.circle(image, centre, radius, _BALL, thickness=-1)


def _backdrop(width: int, height: int) -> Image:
    across = np.linspace(40, 110, width, dtype=np.float32)
    down = np.linspace(60, 0, height, dtype=np.float32)
    grey = np.add.outer(down, across)
    image: Image = np.stack((grey * 1.1, grey, grey * 0.8), axis=2).clip(0, 255).astype(np.uint8)
    return image


def _noise(height: int, width: int, *, level: int, spread: float, repeats_after: int | None = None) -> Image:
    """Return (height, width, 3) uint8 of soft grey noise; sideways it repeats, if so asked."""
    columns = repeats_after or width
    grey = np.random.default_rng(_SEED).normal(level, 2 * spread, (height, columns)).clip(0, 255)
    soft = np.tile(cv2.GaussianBlur(grey.astype(np.uint8), (0, 0), 0.7), (1, width // columns))
    noise: Image = np.repeat(soft[:, :, np.newaxis], 3, axis=2).astype(np.uint8)
    return noise


def _write(image: Image, text: str, origin: tuple[int, int], scale: float) -> None:
    thickness = max(1, round(2 * scale))
    for colour, width in ((_BLACK, thickness * 3), (_WHITE, thickness)):
        cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)
