"""One camera: from the picture that is due to the sockets of those who play it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feedgate_tools.simulator.counts import Counts, PathCounts
from feedgate_tools.simulator.faults import Faults
from feedgate_tools.simulator.rtp import (
    AUDIO_CLOCK_HZ,
    VIDEO_CLOCK_HZ,
    PacketizedPicture,
    pieces,
    sender_report,
    silence,
)
from feedgate_tools.simulator.sdp import Track
from feedgate_tools.simulator.session import Session
from feedgate_tools.simulator.source import PictureSource
from feedgate_tools.simulator.timetable import Timetable

REPORT_INTERVAL_S = 5.0
"""RFC 3550 §6.2."""
WRITING_FRACTION = 0.5
"""The share of the frame interval over which a picture's pieces are written."""


@dataclass(slots=True)
class RtpSender:
    """Where one track's packets stand; all sessions of a camera are sent the same numbers."""

    ssrc: int
    sequence: int
    first_timestamp: int
    packets: int = 0
    payload_bytes: int = 0

    def count(self, packets: int, payload_bytes: int) -> None:
        self.sequence += packets
        self.packets += packets
        self.payload_bytes += payload_bytes


class Camera:
    """Makes a picture when it is due and somebody plays, and writes it in pieces to all who do."""

    def __init__(
        self,
        path: str,
        *,
        source: PictureSource,
        timetable: Timetable,
        spread: int,
        has_audio: bool,
        video: RtpSender,
        audio: RtpSender,
        counts: Counts,
        unix_s: Callable[[], float],
    ) -> None:
        """Build it.

        Args:
            path: of its URL, with the slash.
            source: makes its pictures.
            timetable: when they are due, on the running loop's clock.
            spread: pieces a picture is written in.
            has_audio: whether there is a PCMU track.
            video: the state of the video track, with its random beginnings (RFC 3550 §5.1).
            audio: that of the audio track.
            counts: those of the simulator; this camera adds its own.
            unix_s: true UTC now, for sender reports.
        """
        self.path = path
        self.source = source
        self.timetable = timetable
        self.has_audio = has_audio
        self.faults = Faults()
        self.counts = counts.paths.setdefault(path, PathCounts())
        self._all_counts = counts
        self._spread = spread
        self._video = video
        self._audio = audio
        self._unix_s = unix_s
        self._sessions: list[Session] = []
        self._awake = asyncio.Event()

    def join(self, session: Session) -> None:
        """Send pictures to `session`, from the next keyframe on."""
        session.waiting_for_keyframe = True
        if session not in self._sessions:
            self._sessions.append(session)
        self.reconsider()

    def leave(self, session: Session) -> None:
        """Send no further picture to `session`; one that was begun is finished."""
        if session in self._sessions:
            self._sessions.remove(session)
        self.reconsider()

    def reconsider(self) -> None:
        """Sleep or wake up, after sessions or faults have changed."""
        self.counts.active_sessions = len(self._sessions)
        if self._sessions and not self.faults.is_frozen:
            self._awake.set()
        else:
            self._awake.clear()

    def wait_for_keyframe(self) -> None:
        """Send nothing to anybody before the next keyframe: what comes first would refer to what was lost."""
        for session in self._sessions:
            session.waiting_for_keyframe = True

    async def run(self) -> None:
        """Send picture after picture for as long as somebody plays."""
        loop = asyncio.get_running_loop()
        number = -1
        while True:
            if not self._awake.is_set():
                number = await self._sleep(number)
            last, now_s = number, loop.time()
            number = self.timetable.next_after(last, now_s, patience_s=self.source.patience_s)
            self._note_skipped(number - last - 1)
            await asyncio.sleep(self.timetable.due_s(number) - now_s)
            picture = await self.source.picture(
                number,
                keyframe_wanted=any(session.wants_keyframe for session in self._sessions),
                keyframes_withheld=self.faults.withholds_keyframes,
            )
            if self._awake.is_set():
                await self._deliver(number, picture)

    async def _sleep(self, number: int) -> int:
        """Return, once somebody plays, the number after which to go on; a camera's time does not stop."""
        await self._awake.wait()
        now_s = asyncio.get_running_loop().time()
        return self.timetable.next_after(number, now_s, patience_s=0.0) - 1

    def _note_skipped(self, pictures: int) -> None:
        if pictures:
            self.counts.pictures_skipped += pictures
            if self.source.refers_to_skipped:
                self.wait_for_keyframe()

    async def _deliver(self, number: int, picture: PacketizedPicture) -> None:
        receivers = [session for session in self._sessions if self._is_sent(session, picture)]
        if not receivers:
            return
        timestamp = self._video.first_timestamp + self.timetable.picture_ticks(number, VIDEO_CLOCK_HZ)
        placed = picture.placed(sequence=self._video.sequence, timestamp=timestamp, ssrc=self._video.ssrc)
        parts = [self._parts(session, number, picture, placed) for session in receivers]
        self._video.count(len(picture.packet_offsets), picture.payload_bytes)
        if any(Track.AUDIO in session.channels for session in receivers):
            self._audio.count(1, self._audio_samples(number))
        self.counts.last_picture = self.source.strip_number(number)
        await Delivery(receivers, parts, over_s=self.timetable.interval_s * WRITING_FRACTION).finished()
        self._report(receivers)
        for session, written in zip(receivers, parts, strict=True):
            if session.outlet.is_closed or Track.VIDEO not in session.channels:
                continue
            self.counts.pictures_sent += 1
            self.counts.keyframes_sent += picture.is_random_access_point
            self.counts.bytes_sent += sum(map(len, written))

    def _is_sent(self, session: Session, picture: PacketizedPicture) -> bool:
        if session.outlet.is_closed:
            return False
        if session.is_behind:
            session.waiting_for_keyframe = True
            self.counts.pictures_dropped += 1
            return False
        if self.faults.withholds_keyframes:
            return not picture.is_random_access_point
        if picture.is_random_access_point:
            session.waiting_for_keyframe = False
        return not session.waiting_for_keyframe

    def _parts(
        self, session: Session, number: int, picture: PacketizedPicture, placed: bytearray
    ) -> Sequence[memoryview]:
        channel = session.channels.get(Track.VIDEO)
        data = bytearray() if channel is None else picture.moved(placed, channel) if channel else placed
        if Track.AUDIO in session.channels:
            data = data + self._silence(session.channels[Track.AUDIO], number)
            self._all_counts.audio_packets_sent += 1
        return pieces(data, self._spread)

    def _silence(self, channel: int, number: int) -> bytes:
        """Return the sound of one picture's time, which is little but is heard in step with it."""
        return silence(
            channel=channel,
            sequence=self._audio.sequence,
            timestamp=self._audio.first_timestamp + self.timetable.picture_ticks(number, AUDIO_CLOCK_HZ),
            ssrc=self._audio.ssrc,
            samples=self._audio_samples(number),
        )

    def _audio_samples(self, number: int) -> int:
        ticks = self.timetable.picture_ticks
        return ticks(number + 1, AUDIO_CLOCK_HZ) - ticks(number, AUDIO_CLOCK_HZ)

    def _report(self, receivers: Sequence[Session]) -> None:
        """Tell each session, after its first picture and then at intervals, which RTP time it is in UTC."""
        now_s = asyncio.get_running_loop().time()
        unix_s = self._unix_s()
        tracks = ((Track.VIDEO, self._video, VIDEO_CLOCK_HZ), (Track.AUDIO, self._audio, AUDIO_CLOCK_HZ))
        for session in receivers:
            if now_s < session.report_due_s:
                continue
            session.report_due_s = now_s + REPORT_INTERVAL_S
            for track, sender, clock_hz in tracks:
                if track not in session.channels:
                    continue
                report = sender_report(
                    channel=session.channels[track] + 1,
                    ssrc=sender.ssrc,
                    unix_s=unix_s,
                    timestamp=sender.first_timestamp + self.timetable.ticks(now_s, clock_hz),
                    packets=sender.packets,
                    payload_bytes=sender.payload_bytes,
                )
                session.outlet.write_between_pictures(report)


class Delivery:
    """One picture on its way to its receivers, a piece at a time.

    Bare timers instead of a task that sleeps: with many cameras and eight pieces this is the hot path.
    """

    def __init__(
        self, receivers: Sequence[Session], parts: Sequence[Sequence[memoryview]], *, over_s: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._receivers = list(zip((session.outlet for session in receivers), parts, strict=True))
        self._pieces = max(map(len, parts))
        self._began_s = self._loop.time()
        self._step_s = over_s / self._pieces
        self._write(0)

    async def finished(self) -> None:
        """Return when the last piece is written, or its connection is gone."""
        await self._done

    def _write(self, index: int) -> None:
        for outlet, parts in self._receivers:
            if index < len(parts):
                outlet.write_piece(parts[index], is_last=index == len(parts) - 1)
        index += 1
        if index < self._pieces:
            self._loop.call_at(self._began_s + index * self._step_s, self._write, index)
        elif not self._done.done():
            self._done.set_result(None)
