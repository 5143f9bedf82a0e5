"""One camera, one grant, one operator: the records, tickets and pictures that relay tests are made of."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

import av
import jwt
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from jwt.algorithms import OKPAlgorithm

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, CameraState, Terms
from feedgate_contracts.digest import GENESIS, length_prefixed, picture_digest
from feedgate_contracts.grant.v1.grant_pb2 import GRANT_PHASE_OPEN, GrantState
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_contracts.media.v1.access_unit_pb2 import CODEC_H264, AccessUnit, Epoch
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import MICROSECONDS, Clock, to_datetime
from feedgate_kit.ids import new_id, new_run

CAMERA_ID = "0190a2c4-7f11-721c-afe3-e234a5a9f39d"
STREAM = f"{CAMERA_ID}/original"
GRANT_ID = "0190a2c4-7f11-721c-afe3-000000000001"
AUTHORISATION_ID = "0190a2c4-7f11-721c-afe3-000000000002"
AGENCY = "policia-ciudad"
OPERATOR = "op-0123456789abcdef"
PURPOSE = "investigate"
TICKS = 90_000
PICTURE_TICKS = 3_600
HOUR_US = 3_600 * MICROSECONDS


@dataclass
class SteppedClock:
    """Time that moves when a test says so; wall and monotonic time can part."""

    at_us: int = 1_795_000_000 * MICROSECONDS
    since_start_s: float = 1_000.0

    def now_us(self) -> int:
        return self.at_us

    def monotonic_s(self) -> float:
        return self.since_start_s

    def step(self, **duration: float) -> None:
        step = timedelta(**duration)
        self.at_us += step // timedelta(microseconds=1)
        self.since_start_s += step.total_seconds()


def camera_state(at_us: int, version: int = 1, **changes: Any) -> CameraState:
    """The owner's will: on since an hour before `at_us`, for a year."""
    camera = CameraState(
        camera_id=CAMERA_ID,
        version=version,
        owner="0f" * 32,
        sharing=SHARING_ON,
        terms=[terms(at_us)],
        jurisdiction="AR",
        mask_version=1,
        ingest_pool="site",
        pool_version=1,
    )
    camera.resumed_at.FromMicroseconds(at_us - HOUR_US)
    return _changed(camera, changes)


def terms(at_us: int, **changes: Any) -> Terms:
    value = Terms(
        authorisation_id=AUTHORISATION_ID, agencies=[AGENCY], purposes=[PURPOSE], renditions=["original"]
    )
    value.opens_at.FromMicroseconds(at_us - HOUR_US)
    value.expires_at.FromMicroseconds(at_us + 365 * 24 * HOUR_US)
    return _changed(value, changes)


def grant_state(at_us: int, version: int = 1, **changes: Any) -> GrantState:
    """Open since half an hour before `at_us`, for six hours."""
    grant = GrantState(
        grant_id=GRANT_ID,
        version=version,
        request_id=new_id(),
        camera_id=CAMERA_ID,
        authorisation_id=AUTHORISATION_ID,
        agency=AGENCY,
        operators=[OPERATOR],
        rendition="original",
        conditions=["C-NO-AUDIO"],
        purpose=PURPOSE,
        basis_codes=["AR-OWN-CONSENT", "AR-POL-INV"],
        phase=GRANT_PHASE_OPEN,
    )
    grant.opens_at.FromMicroseconds(at_us - HOUR_US // 2)
    grant.not_after.FromMicroseconds(at_us + 6 * HOUR_US)
    return _changed(grant, changes)


M = TypeVar("M", bound=Message)


def _changed(message: M, changes: Mapping[str, Any]) -> M:
    """Fields by name; one that ends in `_us` is a time, a list replaces, None clears."""
    for name, value in changes.items():
        if name.endswith("_us"):
            getattr(message, name.removesuffix("_us")).FromMicroseconds(value)
        elif value is None:
            message.ClearField(name)
        elif isinstance(value, list):
            message.ClearField(name)
            getattr(message, name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message


def state_record(message: CameraState | GrantState, clock: Clock) -> Record:
    key = message.camera_id if isinstance(message, CameraState) else message.grant_id
    headers = {
        VERSION_HEADER: str(message.version),
        "ce_time": to_datetime(clock.now_us()).isoformat(),
    }
    return Record(key, message.SerializeToString(), headers)


def heartbeat_record(as_of_us: int) -> Record:
    heartbeat = Heartbeat(sequence=1)
    heartbeat.as_of.FromMicroseconds(as_of_us)
    return Record(HEARTBEAT_KEY, heartbeat.SerializeToString())


class TicketOffice:
    """Access-policy as far as a relay sees it: signs tickets, gives out its public keys."""

    def __init__(self, clock: Clock, kid: str = "key-1") -> None:
        self.clock = clock
        self.kid = kid
        self.private_key = Ed25519PrivateKey.generate()
        self.asked = 0

    async def fetch(self) -> Mapping[str, Any]:
        self.asked += 1
        return self.jwks()

    def jwks(self) -> dict[str, Any]:
        key = OKPAlgorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": self.kid, "use": "sig", "alg": "EdDSA"}]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now_us = self.clock.now_us()
        claims = {
            "iss": "feedgate-access-policy",
            "aud": "feedgate-relay",
            "jti": new_id(),
            "sub": OPERATOR,
            "agency": AGENCY,
            "grant": GRANT_ID,
            "camera": CAMERA_ID,
            "stream": STREAM,
            "purpose": PURPOSE,
            "iat": now_us // MICROSECONDS,
            "exp": now_us // MICROSECONDS + 60,
            "issued_at_us": now_us,
            "view_until_us": now_us + HOUR_US,
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def ticket(self, *, kid: str | None = None, **changes: Any) -> str:
        return jwt.encode(
            self.claims(**changes), self.private_key, algorithm="EdDSA", headers={"kid": kid or self.kid}
        )


@dataclass(frozen=True)
class CodedPicture:
    nal_units: tuple[bytes, ...]
    dts: int
    pts: int
    is_keyframe: bool


@dataclass(frozen=True)
class Clip:
    """Pictures as a camera codes them, with the parameter sets in force."""

    pictures: tuple[CodedPicture, ...]
    parameter_sets: tuple[bytes, ...]


@cache
def clip(
    *, pictures: int = 20, gop: int = 10, b_pictures: int = 0, width: int = 160, height: int = 96
) -> Clip:
    """A moving bar, coded by x264; times in ticks of `TICKS`, from 0."""
    with av.open(io.BytesIO(), "w", format="h264") as container:
        stream = container.add_stream(
            "libx264",
            rate=25,
            options={
                "preset": "ultrafast",
                "bf": str(b_pictures),
                "g": str(gop),
                "keyint_min": str(gop),
                "sc_threshold": "0",
                "b_strategy": "0",
                "threads": "1",
            },
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        packets = []
        for number in range(pictures):
            image = np.zeros((height, width, 3), np.uint8)
            image[:, (number * 7) % width :: 40] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode()
    times = [(packet.dts or 0, packet.pts or 0) for packet in packets]
    earliest = min(dts for dts, _ in times)
    coded = [
        CodedPicture(
            nal_units=tuple(unit for unit in _nal_units(bytes(packet)) if unit[0] & 31 in {1, 5}),
            dts=(dts - earliest) * PICTURE_TICKS,
            pts=(pts - earliest) * PICTURE_TICKS,
            is_keyframe=packet.is_keyframe,
        )
        for packet, (dts, pts) in zip(packets, times, strict=True)
    ]
    sets = tuple(unit for unit in _nal_units(bytes(packets[0])) if unit[0] & 31 in {7, 8})
    return Clip(tuple(coded), sets)


def _nal_units(annex_b: bytes) -> list[bytes]:
    return [unit for unit in re.split(rb"\x00\x00\x00?\x01", annex_b) if unit]


@dataclass
class Lens:
    """A camera that ingest reads: one run of a clip, over and over."""

    clock: Clock
    clip: Clip = field(default_factory=clip)
    epoch: tuple[int, int] = (1, 1)
    run: bytes = field(default_factory=new_run)
    mask_version: int = 1
    stream: str = STREAM
    sequence: int = 0
    previous: bytes = GENESIS
    padding: bytes = b""  # one more NAL unit in every picture, where pictures are to weigh something

    def unit(self, **changes: Any) -> AccessUnit:
        """The next access unit, received now."""
        pictures = self.clip.pictures
        turn, place = divmod(self.sequence, len(pictures))
        picture = pictures[place]
        shift = turn * len(pictures) * PICTURE_TICKS
        unit = AccessUnit(
            stream=self.stream,
            epoch=Epoch(pool_version=self.epoch[0], generation=self.epoch[1]),
            run=self.run,
            sequence=self.sequence,
            dts=picture.dts + shift,
            pts=picture.pts + shift,
            ticks_per_second=TICKS,
            is_random_access_point=picture.is_keyframe,
            codec=CODEC_H264,
            nal_units=[*picture.nal_units, *([self.padding] if self.padding else [])],
            parameter_sets=self.clip.parameter_sets,
            received_at_us=self.clock.now_us(),
            mask_version=self.mask_version,
            previous_digest=self.previous,
        )
        for name, value in changes.items():
            setattr(unit, name, value)
        unit.digest = self.previous = picture_digest(
            previous=unit.previous_digest,
            stream=unit.stream,
            run=unit.run,
            sequence=unit.sequence,
            dts=unit.dts,
            received_at_us=unit.received_at_us,
            mask_version=unit.mask_version,
            sample=length_prefixed(unit.nal_units),
        )
        self.sequence += 1
        return unit

    def units(self, count: int) -> Iterator[AccessUnit]:
        for _ in range(count):
            yield self.unit()

    def skip_to_keyframe(self) -> "Lens":
        """Leave out what comes before the next keyframe."""
        while not self.clip.pictures[self.sequence % len(self.clip.pictures)].is_keyframe:
            self.sequence += 1
        return self

    def record(self, **changes: Any) -> Record:
        return Record(self.stream, self.unit(**changes).SerializeToString())


def samples(units: Sequence[AccessUnit]) -> list[bytes]:
    """The pictures as an MP4 must hold them."""
    return [length_prefixed(unit.nal_units) for unit in units]
