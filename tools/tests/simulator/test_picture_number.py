import av
import cv2
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from hypothesis import given
from hypothesis import strategies as st

from feedgate_tools.simulator.encoder import Encoder
from feedgate_tools.simulator.picture_number import (
    BLOCKS,
    NUMBERS,
    Image,
    draw_picture_number,
    read_picture_number,
    strip_height,
)
from feedgate_tools.simulator.scene import Scene

WIDTH, HEIGHT = 640, 360


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> Image:
    image = np.full((height, width, 3), 90, dtype=np.uint8)
    draw_picture_number(image, number)
    return image


def resized(image: Image, width: int, height: int, how: int = cv2.INTER_AREA) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def played(scene: Scene, bits_per_second: int, numbers: range) -> list[int | None]:
    """Return what can be read of pictures that were coded and decoded."""
    encoder = Encoder(width=scene.width, height=scene.height, fps=25, bits_per_second=bits_per_second)
    decoder = VideoCodecContext.create("h264", "r")
    images = []
    for number in numbers:
        coded = encoder.encode(scene.draw(number, None), number, keyframe=number == numbers[0])
        images += decoder.decode(av.Packet(b"".join(b"\0\0\1" + unit for unit in coded.nal_units)))
    images += decoder.decode(None)
    return [read_picture_number(np.asarray(image.to_ndarray(format="bgr24"), np.uint8)) for image in images]


@given(st.integers(0, 3 * NUMBERS))
def test_a_drawn_number_is_read_again(number: int) -> None:
    assert read_picture_number(picture(number)) == number % NUMBERS


@pytest.mark.parametrize("kbps", [60, 200], ids=lambda kbps: f"{kbps} kb/s")
def test_it_survives_x264_at_a_low_bit_rate(kbps: int) -> None:
    numbers = range(1_000_000, 1_000_030)
    scene = Scene(width=WIDTH, height=HEIGHT, name="test")
    assert played(scene, kbps * 1000, numbers) == list(numbers)


@pytest.mark.parametrize(
    ("width", "height"), [(320, 180), (333, 187), (500, 400), (1280, 720), (1919, 1079)], ids=str
)
@pytest.mark.parametrize("how", [cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC], ids=str)
def test_it_survives_scaling(width: int, height: int, how: int) -> None:
    assert read_picture_number(resized(picture(123_456, 1280, 720), width, height, how)) == 123_456


def test_it_survives_an_edge_found_three_pixels_off() -> None:
    assert read_picture_number(picture(77)[3:-3, 3:]) == 77
    assert read_picture_number(picture(77)[:, :-3]) == 77


@pytest.mark.parametrize(
    "convert", [cv2.COLOR_BGR2GRAY, cv2.COLOR_BGR2RGB, cv2.COLOR_BGR2BGRA], ids=["grey", "rgb", "bgra"]
)
def test_any_order_of_colours_will_do(convert: int) -> None:
    assert read_picture_number(np.asarray(cv2.cvtColor(picture(5), convert), np.uint8)) == 5


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_covered_tile_has_no_number(level: int) -> None:
    assert read_picture_number(np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8)) is None


def test_noise_has_no_number() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, HEIGHT, WIDTH), dtype=np.uint8)
    assert [number for image in noise if (number := read_picture_number(image)) is not None] == []


@given(st.integers(0, NUMBERS - 1), st.integers(0, BLOCKS - 1))
def test_one_block_read_wrongly_is_noticed(number: int, block: int) -> None:
    image = picture(number)
    strip = image[: strip_height(HEIGHT), block * WIDTH // BLOCKS : (block + 1) * WIDTH // BLOCKS]
    strip[:] = 255 - strip
    assert read_picture_number(image) is None


def test_two_pictures_blended_have_no_number_rather_than_a_wrong_one() -> None:
    blend = cv2.addWeighted(picture(3), 0.5, picture(4), 0.5, 0)
    assert read_picture_number(np.asarray(blend, np.uint8)) is None


def test_an_image_too_small_has_no_number() -> None:
    assert read_picture_number(np.zeros((10, 10, 3), dtype=np.uint8)) is None
