"""How a simulator is told what to be; the fields are its command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, get_type_hints

_SIZE = re.compile(r"([0-9]{2,4})x([0-9]{2,4})")


def option(default: Any, text: str) -> Any:
    """Return a field of `Settings` that `--help` explains with `text`."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field is an option of the same name with dashes."""

    clip: bool = option(False, "loop one coded clip on every path, for load, instead of a live scene")
    cameras: int = option(1, "number of cameras; their paths are /cam0, /cam1, …")
    size: str = option("", "WIDTHxHEIGHT in pixels, even; default 1280x720, with --clip 1920x1080")
    fps: int = option(25, "pictures a second")
    kbps: int = option(0, "coded kilobits a second; default 2000, with --clip 2500")
    gop_s: float = option(1.0, "seconds between keyframes")
    clip_s: float = option(4.0, "length of the clip, rounded up to whole groups of pictures")
    slices: int = option(1, "slices a picture is coded in")
    spread: int = option(8, "pieces a picture is written in, over half its interval; 1 writes it at once")
    audio: bool = option(False, "offer a silent PCMU track")
    wait_for_keyframe: bool = option(False, "do not code a keyframe at PLAY but wait for the next")
    user: str = option("", "ask for Digest credentials with this name")
    password: str = option("", "the password to --user")
    host: str = option("127.0.0.1", "address to listen on for RTSP; commands are taken on 127.0.0.1 only")
    port: int = option(0, "RTSP port; 0 takes a free one")
    control_port: int = option(0, "port for commands; 0 takes a free one")
    session_timeout_s: float = option(60.0, "hang up on a client that was silent for so long")
    exit_with_parent: bool = option(False, "end when standard input, a pipe, is closed")

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: a setting is out of its range; the message names it.
        """
        width, height = self.width, self.height
        _require(width % 2 == 0 and height % 2 == 0, f"size `{width}x{height}`; allowed even numbers")
        _require(min(width, height) >= 64, f"size `{width}x{height}`; allowed 64x64 and more")
        _require(1 <= self.cameras <= 1000, f"cameras {self.cameras}; allowed 1..1000")
        _require(1 <= self.fps <= 120, f"fps {self.fps}; allowed 1..120")
        _require(self.kbps >= 0, f"kbps {self.kbps}; allowed 0 and more")
        _require(self.gop_s > 0 and self.clip_s > 0, "gop-s and clip-s; allowed more than 0")
        _require(1 <= self.slices <= 16, f"slices {self.slices}; allowed 1..16")
        _require(1 <= self.spread <= 64, f"spread {self.spread}; allowed 1..64")
        _require(self.session_timeout_s > 0, "session-timeout-s; allowed more than 0")
        _require(bool(self.user) or not self.password, "password without user")

    @property
    def width(self) -> int:
        return self._pixels()[0]

    @property
    def height(self) -> int:
        return self._pixels()[1]

    @property
    def bits_per_second(self) -> int:
        return 1000 * (self.kbps or (2500 if self.clip else 2000))

    @property
    def gop_pictures(self) -> int:
        return max(1, round(self.gop_s * self.fps))

    @property
    def clip_groups(self) -> int:
        return max(1, -(-round(self.clip_s * self.fps) // self.gop_pictures))

    def to_arguments(self) -> list[str]:
        """Return the command line that says the same."""
        arguments = []
        for each in _fields():
            value = getattr(self, each.name)
            if value is True:
                arguments.append(_option_name(each))
            elif value != each.default:
                arguments.append(f"{_option_name(each)}={value}")
        return arguments

    @classmethod
    def from_arguments(cls, arguments: Sequence[str] | None) -> Settings:
        """Return what the command line says, or end the process as argparse does."""
        parser = argparse.ArgumentParser(
            prog="python -m feedgate_tools.simulator",
            description="A simulated RTSP camera, or many. Prints one JSON line when it listens.",
        )
        kinds = get_type_hints(cls)
        for each in _fields():
            text = each.metadata["help"]
            if kinds[each.name] is bool:
                parser.add_argument(_option_name(each), action="store_true", help=text)
            else:
                text += f" (default {each.default})" if each.default not in {"", 0} else ""
                kind = kinds[each.name]
                parser.add_argument(_option_name(each), type=kind, default=each.default, help=text)
        try:
            return cls(**vars(parser.parse_args(arguments)))
        except ValueError as error:
            parser.error(str(error))

    def _pixels(self) -> tuple[int, int]:
        size = self.size or ("1920x1080" if self.clip else "1280x720")
        match = _SIZE.fullmatch(size)
        if match is None:
            raise ValueError(f"size `{size}`; allowed WIDTHxHEIGHT")
        return int(match[1]), int(match[2])


def _fields() -> tuple[Field[Any], ...]:
    return fields(Settings)


def _option_name(each: Field[Any]) -> str:
    return "--" + each.name.replace("_", "-")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
