"""Nasty things people, libraries and exceptions put into log lines."""

import json
import logging
import time
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from feedgate_kit.redaction import redact, redact_text
from feedgate_kit.telemetry import about_grant, configure_logging

SECRET = "hunter2"
JWT = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2xvZ2luIn0.c2lnbmF0dXJl-_"


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://user:hunter2@10.0.0.7:554/live",
        "RTSP://user:hunter2@camera/",
        "rtsps://hunter2@camera",
        "rtsp://user:hunter2",
        "rtsp://camera/live?password=hunter2",
        "rtsp://camera/hunter2/Streaming",
        "could not open rtsp://user:hun@ter2@camera/ (refused)",
        "could not open 'rtsp://user:p@ss/hunter2@camera/live'",
        "rtsp://user:pa ss hunter2@camera/live",
        'rtsp://user:"hunter2"@camera/live',
        "rtsp://us%65r:hunter2%40camera/live",
        "rtsp%3A%2F%2Fuser%3Ahunter2%40camera%2Flive",
        "İ https://user:hunter2@camera/",
        "rtsp:\\/\\/user:hunter2@camera\\/live",
        "{'url': 'rtsp://user:hunter2@camera/'}",
        "postgresql+asyncpg://feedgate:hunter2@db:5432/registry",
        "postgresql+asyncpg://feedgate:hun/ter2#hunter2?@db:5432/registry",
        "https://a:hunter2@one.example and https://b:hunter2@two.example",
        "http%3A%2F%2Fuser%3Ahunter2%40camera%2F",
        "Authorization: Bearer hunter2hunter2",
        "authorization: basic aHVudGVyMg==hunter2",
        'Authorization: Digest username="user", response="hunter2"',
        "bearer\thunter2hunter2",
        "password=hunter2",
        "password = 'hunter2 and more'",
        '"password": "hunter2"',
        "{'client_secret': 'hunter2'}",
        "PASSWORD:hunter2",
        "db_password=hunter2&user=x",
        "api-key=hunter2",
        "Cookie: hunter2",
        '{"token":"hunter2","x":1}',
        '"password": "quoted \\"hunter2\\" within"',
        f"offered feedgate.v1, ticket.{SECRET}{'x' * 20}.{SECRET}",
        f"media.{SECRET}{'-' * 20}",
        "[SQL: INSERT INTO cameras]\n[parameters: ('x', 'hunter2')]\n(Background)",
    ],
)
def test_secrets_do_not_survive(text: str) -> None:
    assert SECRET not in redact_text(text)


@pytest.mark.parametrize("before", ["", "token ", "got '", "Bearer ", "x=", "\n", "ticket.", "sub,"])
def test_web_tokens_do_not_survive_anywhere(before: str) -> None:
    cleaned = redact_text(f"{before}{JWT} and more")
    for part in JWT.split("."):
        assert part not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "serving registry at http://127.0.0.1:8080/registry/v1",
        "https://login.example/realms/owners gave no answer",
        "camera 0190a2c4-7f11-721c-afe3-e234a5a9f39d lost: timed out after 10 s",
        "topic ingest.access-unit.media.v1, partition 3, offset 17",
        "mail to nobody@example.org",
        "the token has expired",
        "ticket refused: used before",
        "",
    ],
)
def test_what_operators_need_survives(text: str) -> None:
    assert redact_text(text) == text


@dataclass
class Camera:
    url: str
    broken: bool = False

    def __repr__(self) -> str:
        if self.broken:
            raise RuntimeError(SECRET)
        return f"Camera({self.url!r})"


@pytest.mark.parametrize(
    "event",
    [
        {"password": SECRET},
        {"Authorization": SECRET},
        {"source": {"url": SECRET, "port": 554}},
        {"camera_source": [SECRET]},
        {"clientSecret": SECRET},
        {"x-ticket": SECRET},
        {"deep": [{"list": ({"token": SECRET},)}]},
        {"url": f"rtsp://user:{SECRET}@camera/"},
        {"args": ("%s", f"rtsp://user:{SECRET}@camera/")},
        {"camera": Camera(f"rtsp://user:{SECRET}@camera/")},
        {"camera": Camera("", broken=True)},
        {"error": ValueError(f"password={SECRET}")},
        {"body": SECRET.encode()},
        {"set": {f"rtsp://user:{SECRET}@camera/"}},
        {f"rtsp://user:{SECRET}@camera/": 1},
        {"pin": 5, "password": 5},
        {"ssl": {("token", "x"): SECRET}},
    ],
    ids=lambda event: next(iter(event)),
)
def test_values_are_redacted_at_any_depth_and_stay_json(event: dict[str, Any]) -> None:
    text = json.dumps(redact(event))
    assert SECRET not in text
    assert '"password": 5' not in text


def test_a_structure_that_holds_itself_ends() -> None:
    loop: dict[str, Any] = {"name": "x"}
    loop["self"] = loop
    assert json.dumps(redact(loop))


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "://",
        "rtsp://",
        "@",
        "eyJ",
        "eyJa.",
        "password=",
        "bearer ",
        "%3a%2f%2f",
        "://@",
        '"\\',
        "digest a=",
        "\n",
    ],
)
def test_hostile_text_costs_linear_time(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    began_s = time.perf_counter()
    redact_text(text)
    # Quadratic patterns take minutes here; the bound leaves room for a slow machine.
    assert time.perf_counter() - began_s < 5


@given(
    user=st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=8),
    before=st.sampled_from(["", "error: ", "'", "(", "a://b "]),
    after=st.sampled_from(["", "/live", ":554/x?y=1", " refused", "'"]),
    scheme=st.sampled_from(["rtsp", "postgresql+asyncpg", "https"]),
    password=st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=8),
)
def test_any_password_in_an_address_is_removed(
    user: str, before: str, after: str, scheme: str, password: str
) -> None:
    marked = f"{password}#{SECRET}#{password}"
    assert SECRET not in redact_text(f"{before}{scheme}://{user}:{marked}@host{after}")


def fail_twice(url: str) -> None:
    try:
        int(url)
    except ValueError as cause:
        raise RuntimeError(f"token={SECRET}") from cause


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_is_json_and_redacted_whoever_wrote_it() -> None:
    stream = StringIO()
    configure_logging(stream=stream)
    url = f"rtsp://user:{SECRET}@camera/"
    structlog.get_logger("ours").info("opening %s", url, source=url, nested=[{"password": SECRET}])
    for name in ("uvicorn.error", "aiokafka.conn", "sqlalchemy.engine", "some.library"):
        logging.getLogger(name).warning("cannot open %s", url)
        logging.getLogger(name).warning("cannot open %(url)s", {"url": url})
    try:
        fail_twice(url)
    except RuntimeError:
        structlog.get_logger("ours").exception("failed", password=SECRET)
        logging.getLogger("some.library").exception("failed with %s", url)
    written = lines(stream)
    assert len(written) == 11
    assert SECRET not in stream.getvalue()
    assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in written)
    assert "RuntimeError" in written[-1]["exception"]
    assert "ValueError" in written[-1]["exception"]


def test_a_line_stays_a_line_whatever_is_in_it() -> None:
    stream = StringIO()
    configure_logging(stream=stream)
    structlog.get_logger().warning("a\nb\r\u2028\ud800\0", why="x\ny", nan=float("nan"))
    assert len(stream.getvalue().split("\n")) == 2
    assert json.loads(stream.getvalue())["why"] == "x\ny"
    stream.getvalue().encode("ascii")
    assert "NaN" not in stream.getvalue()


def test_a_line_that_cannot_be_formatted_tells_only_whose_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    stream = StringIO()
    configure_logging(stream=stream)
    wrong = "cannot open %s: %s"
    logging.getLogger("some.library").warning(wrong, f"rtsp://user:{SECRET}@camera/")
    assert [(line["event"], line["logger"]) for line in lines(stream)] == [
        ("log line could not be written", "some.library")
    ]
    assert SECRET not in stream.getvalue() + "".join(capsys.readouterr())


def test_libraries_speak_from_warning_on() -> None:
    stream = StringIO()
    configure_logging(stream=stream)
    logging.getLogger("uvicorn.error").info('127.0.0.1 - "WebSocket /relay?ticket=x" [accepted]')
    logging.getLogger("httpx").info("HTTP Request: POST https://login.example/token")
    logging.getLogger("aiokafka").warning("broker gone")
    assert [line["event"] for line in lines(stream)] == ["broker gone"]


def test_lines_about_a_grant_name_it() -> None:
    stream = StringIO()
    configure_logging(stream=stream)
    with about_grant("0190a2c4-7f11-721c-afe3-e234a5a9f39d"):
        structlog.get_logger().info("inside")
        logging.getLogger("some.library").warning("inside")
    structlog.get_logger().info("outside")
    assert [line.get("grant_id", "")[:4] for line in lines(stream)] == ["0190", "0190", ""]
