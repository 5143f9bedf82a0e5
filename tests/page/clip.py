"""Real coded pictures, each with its number painted in, in the relay's own fragments."""

from dataclasses import dataclass
from functools import cache

from feedgate_contracts.digest import length_prefixed
from feedgate_relay.fragment import fragment
from feedgate_relay.init_segment import init_segment
from feedgate_tools.simulator.encoder import CodedPicture, Encoder
from feedgate_tools.simulator.scene import Scene

WIDTH, HEIGHT = 640, 360
PICTURES_PER_SECOND = 25
GOP_PICTURES = 25
TICKS = 90_000 // PICTURES_PER_SECOND
PICTURES = 500  # 20 s; longer tests see the numbers begin again


@dataclass(frozen=True)
class Clip:
    """A camera's pictures; the one at place n has number n painted in."""

    init: bytes
    pictures: tuple[CodedPicture, ...]

    def fragment(self, number: int, *, sequence: int, ticks: int) -> bytes:
        """The picture with this number, at a place in a run."""
        picture = self.pictures[number % PICTURES]
        return fragment(
            number=sequence + 1,
            decode_time=ticks,
            composition_offset=0,
            duration=TICKS,
            is_sync=picture.is_random_access_point,
            sample=length_prefixed(picture.nal_units),
        )

    def is_keyframe(self, number: int) -> bool:
        return self.pictures[number % PICTURES].is_random_access_point


@cache
def clip() -> Clip:
    """Coded once for all tests of a run."""
    scene = Scene(width=WIDTH, height=HEIGHT, name="street")
    encoder = Encoder(width=WIDTH, height=HEIGHT, fps=PICTURES_PER_SECOND, bits_per_second=800_000)
    pictures = tuple(
        encoder.encode(scene.draw(number, None), number, keyframe=number % GOP_PICTURES == 0)
        for number in range(PICTURES)
    )
    sets = encoder.parameter_sets
    made = init_segment([sets.sps, sets.pps], pictures[0].nal_units, 90_000)
    return Clip(init=made.body, pictures=pictures)
