"""What happened to each camera, so that a test can prove what did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class PathCounts:
    """What one path was asked and what it sent."""

    describes: int = 0
    setups: dict[str, int] = field(default_factory=lambda: {"video": 0, "audio": 0})
    """Tracks that were set up."""
    plays: int = 0
    teardowns: int = 0
    """Clients that said that they hang up; one that only closes its connection is not counted."""
    unauthorized: int = 0
    """Requests answered with 401; the first of every Digest login is one."""
    active_sessions: int = 0
    """Playing now."""
    pictures_sent: int = 0
    """Whole pictures handed to the kernel or its queue, over all sessions."""
    keyframes_sent: int = 0
    pictures_dropped: int = 0
    """Kept from a session that was too far behind with reading."""
    pictures_skipped: int = 0
    """Never made, because the simulator itself came too late."""
    bytes_sent: int = 0
    """Interleaved RTP; RTCP and answers not counted."""
    last_picture: int | None = None
    """Number in the strip of the picture sent last."""


@dataclass(slots=True)
class Counts:
    """What the simulator was asked and what it sent."""

    connections_accepted: int = 0
    connections_refused: int = 0
    connections_open: int = 0
    not_found: int = 0
    """Requests for a path that does not exist."""
    malformed: int = 0
    """Connections closed because what came on them was not RTSP."""
    audio_packets_sent: int = 0
    cpu_s: float = 0.0
    """User and system time of the simulator's process."""
    paths: dict[str, PathCounts] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counts:
        paths = {path: PathCounts(**counts) for path, counts in data["paths"].items()}
        return cls(**{**data, "paths": paths})
