"""What an agency's topic is told of one grant: the pictures its operators saw, and why they stopped."""

from collections.abc import Callable
from typing import Final, NamedTuple, Self

from feedgate_contracts.frame.v1.frame_pb2 import (
    NOTICE_CODE_CAMERA_LOST,
    NOTICE_CODE_NOT_FRESH,
    NOTICE_CODE_OUT_OF_SCHEDULE,
    NOTICE_CODE_PAUSED_BY_OWNER,
    NOTICE_CODE_RESUMED,
    NOTICE_CODE_STOPPED,
    FrameEvent,
    Notice,
    NoticeCode,
)
from feedgate_contracts.frame.v1.frame_pb2 import Picture as PictureRecord
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_contracts.media.v1.access_unit_pb2 import CODEC_H264, Epoch
from feedgate_kit.clock import Clock
from feedgate_kit.ids import new_id
from feedgate_relay.admission import Source
from feedgate_relay.picture import Picture

LONGEST_GROUP_PICTURES: Final = 1_000
"""A GOP longer than this (40 s at 25 a second) makes several records."""

_WHOLE_GRANT: Final = frozenset({
    NOTICE_CODE_STOPPED,
    NOTICE_CODE_PAUSED_BY_OWNER,
    NOTICE_CODE_CAMERA_LOST,
    NOTICE_CODE_OUT_OF_SCHEDULE,
    NOTICE_CODE_NOT_FRESH,
})  # fmt: skip
"""True of every view of the grant at once, so told once."""

Send = Callable[[FrameEvent], None]


class _Delivered(NamedTuple):
    """What is told of a picture. Not the picture: it may have to be forgotten before this is sent."""

    source: Source
    sequence: int
    dts: int
    ticks_per_second: int
    received_at_us: int
    shown_until_us: int
    mask_version: int
    size: int
    digest: bytes
    previous_digest: bytes

    @classmethod
    def of(cls, picture: Picture) -> Self:
        return cls(*(getattr(picture, name) for name in cls._fields))


class GrantEvents:
    """The frame events of one grant, while it has an open view.

    One record per GOP, with the pictures handed to at least one view. A viewer
    who was behind may be handed a picture after its GOP's record was sent; it
    then comes in a further record of the same GOP.
    """

    def __init__(self, grant: GrantState, stream: str, clock: Clock, send: Send) -> None:
        self._grant = grant
        self._stream = stream
        self._clock = clock
        self._send = send
        self._group: dict[int, _Delivered] = {}
        self._late: dict[tuple[Source, int], dict[int, _Delivered]] = {}  # by source and GOP
        self._sent_until_us: dict[tuple[Source, int], int] = {}
        """Source and sequence of what was sent and may still be handed to a viewer, and until when."""
        self._gop = 0
        self._newest: Picture | None = None
        self._told: tuple[NoticeCode, str] | None = None

    def delivered(self, picture: Picture) -> None:
        """A picture was handed to a view's socket; asked for every picture and view."""
        if picture is self._newest:
            return
        if picture.gop > self._gop or len(self._group) >= LONGEST_GROUP_PICTURES:
            self.flush()
            self._gop = max(self._gop, picture.gop)
        if (picture.source, picture.sequence) in self._sent_until_us:
            return
        if picture.gop == self._gop:
            self._group[picture.sequence] = _Delivered.of(picture)
            self._newest = picture
        else:
            late = self._late.setdefault((picture.source, picture.gop), {})
            late[picture.sequence] = _Delivered.of(picture)

    def notice(self, code: NoticeCode, reason: str, detail: str, view_id: str) -> None:
        """A view was told something."""
        if code in _WHOLE_GRANT:
            if self._told == (code, reason):
                return
            self._told = (code, reason)
            self.flush()
            view_id = ""
        elif code == NOTICE_CODE_RESUMED:
            self._told = None  # what held for every view is over
        event = self._event()
        event.notice.CopyFrom(Notice(code=code, reason=reason, detail=detail, view_id=view_id))
        self._send(event)

    def flush(self) -> None:
        """Send what was delivered so far."""
        now_us = self._clock.now_us()
        sent_until_us = {place: until for place, until in self._sent_until_us.items() if until > now_us}
        for group in (*self._late.values(), self._group):
            if group:
                pictures = [group[sequence] for sequence in sorted(group)]
                self._send(self._group_event(pictures))
                sent_until_us.update(
                    ((picture.source, picture.sequence), picture.shown_until_us) for picture in pictures
                )
        self._sent_until_us, self._group, self._late = sent_until_us, {}, {}
        self._newest = None

    def _group_event(self, pictures: list[_Delivered]) -> FrameEvent:
        first = pictures[0]
        pool_version, generation = first.source.epoch
        event = self._event()
        group = event.group_of_pictures
        group.run = first.source.run
        group.epoch.CopyFrom(Epoch(pool_version=pool_version, generation=generation))
        group.rendition = self._grant.rendition
        group.conditions.extend(self._grant.conditions)
        group.codec = CODEC_H264
        group.mask_version = first.mask_version
        group.ticks_per_second = first.ticks_per_second
        group.previous_digest = first.previous_digest
        group.pictures.extend(
            PictureRecord(
                sequence=picture.sequence,
                dts=picture.dts,
                received_at_us=picture.received_at_us,
                size_bytes=picture.size,
                digest=picture.digest,
            )
            for picture in pictures
        )
        return event

    def _event(self) -> FrameEvent:
        event = FrameEvent(event_id=new_id(), stream=self._stream, grant_id=self._grant.grant_id)
        event.occurred_at.FromMicroseconds(self._clock.now_us())
        return event
