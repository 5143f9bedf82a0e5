import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from feedgate_kit.resolver import SystemResolver


async def test_every_address_comes_once_in_the_systems_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, *_: object, **__: object) -> Sequence[tuple[Any, ...]]:
        assert host == "cam.example"
        stream = socket.SOCK_STREAM
        return [
            (socket.AF_INET6, stream, 6, "", ("fe80::1%eth0", 0, 0, 2)),
            (socket.AF_INET, stream, 6, "", ("10.0.0.7", 0)),
            (socket.AF_INET, stream, 6, "", ("10.0.0.7", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    found = await SystemResolver().addresses("cam.example")
    assert found == [ip_address("fe80::1%eth0"), ip_address("10.0.0.7")]


@pytest.mark.parametrize(
    "failure",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        TimeoutError(),
        UnicodeError("label empty or too long"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_name_that_does_not_resolve_has_no_address(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def getaddrinfo(*_: object, **__: object) -> Sequence[tuple[Any, ...]]:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await SystemResolver().addresses("cam.example") == []


async def test_an_address_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> Sequence[tuple[Any, ...]]:
        raise AssertionError("a literal needs no resolver")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await SystemResolver().addresses("192.0.2.7") == [ip_address("192.0.2.7")]
