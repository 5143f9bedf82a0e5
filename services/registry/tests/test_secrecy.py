"""No source and no credential leaves registry, whatever happens; see design section 2, rule 11."""

import base64
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import structlog
from sqlalchemy import MetaData, select, text

from feedgate_kit.telemetry import configure_logging

from .conftest import CAMERA, HOST, PASSWORD, SOURCE, USERNAME, Stand, authorised, registered

SECRETS = [PASSWORD, USERNAME, HOST, "secret-path-Vb2"]
FORMS = [
    form.encode()
    for secret in SECRETS
    for form in (
        secret,
        quote(secret, safe=""),
        secret.lower(),
        base64.b64encode(secret.encode()).decode().rstrip("="),
        secret.encode().hex(),
    )
]


def assert_keeps_secret(shown: bytes, where: str) -> None:
    for form in FORMS:
        assert form not in shown, f"{where} shows `{form.decode()}`"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything any library of this process would write, from DEBUG on."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logging("DEBUG", stream)
    loud = {name: logging.getLogger(name).level for name in ("sqlalchemy", "asyncio", "aiosqlite")}
    for name in loud:
        logging.getLogger(name).setLevel(logging.INFO)
    yield stream
    for name, before in loud.items():
        logging.getLogger(name).setLevel(before)
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def database_files(tmp_path: Path) -> Callable[[], list[Path]]:
    """SQLite's files with all they still hold of what was changed or removed; none on PostgreSQL."""
    return lambda: list(tmp_path.iterdir())


async def play(stand: Stand) -> list[httpx.Response]:
    """Every route, with the source wherever an owner might put it."""
    answers: list[httpx.Response] = []

    async def keep(answer: httpx.Response) -> None:
        answers.append(answer)

    async with stand.service.lifespan():
        ana, eva, worker = await stand.owner("ana"), await stand.owner("eva"), await stand.worker()
        camera = await registered(ana)
        url = f"/registry/v1/cameras/{camera['id']}"
        for body in misplaced():
            await keep(await ana.post("/registry/v1/cameras", json=body))
            await keep(await ana.patch(url, json=body, headers={"If-Match": '"1"'}))
        for addresses in (["8.8.4.4"], ["10.0.0.7"], []):
            stand.resolver.names = {HOST: addresses} if addresses else {}
            version = (await ana.get(url)).headers["ETag"]
            await keep(await ana.patch(url, json={"source": {"url": SOURCE}}, headers={"If-Match": version}))
        given = await authorised(ana, camera["id"])
        for http in (ana, eva):
            await keep(await http.get("/registry/v1/cameras"))
            await keep(await http.get(url))
            await keep(await http.get(f"{url}/authorisations"))
            await keep(await http.get(f"/registry/v1/authorisations/{given['id']}"))
        await keep(await ana.get("/registry/v1/pools"))
        await keep(await ana.get("/registry/v1/openapi.json"))
        await keep(await worker.post(f"/internal/v1{url.removeprefix('/registry/v1')}/source",
                                     json={"pool": "site", "key_ids": ["site-key-1"]}))  # fmt: skip
        await keep(await worker.get("/metrics"))
        await keep(await ana.post(f"{url}/pause"))
        await keep(await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw"))
        await keep(await ana.delete(url, headers={"If-Match": '"5"'}))
        await stand.published()
    return answers


def misplaced() -> list[dict[str, Any]]:
    """The source where it does not belong, and sources that are refused."""
    refused = [
        f"rtsps://{USERNAME}:{PASSWORD}@{HOST}/",
        f"rtsp://{USERNAME}:{PASSWORD}@{HOST}:99999/secret-path-Vb2",
        f"rtsp://{USERNAME}:{PASSWORD}/{HOST}/",
        f"rtsp://{USERNAME}:{PASSWORD}@{PASSWORD}@{HOST}/",
        f"rtsp://{USERNAME}:{PASSWORD}@{HOST}/secret-path-Vb2#x",
        f"{USERNAME}:{PASSWORD}@{HOST}",
        f"{SOURCE} ",
        SOURCE * 50,
    ]
    return [
        *(CAMERA | {"source": {"url": url}} for url in refused),
        CAMERA | {"source": {"url": SOURCE, "username": USERNAME, "password": PASSWORD}},
        CAMERA | {"source": {"url": SOURCE, "passphrase": PASSWORD}},
        CAMERA | {"source": {"url": [SOURCE]}},
        CAMERA | {"source": {"url": f"rtsp://{HOST}/", "username": USERNAME, "password": [PASSWORD]}},
        CAMERA | {"source": SOURCE},
        CAMERA | {"name": SOURCE},
        CAMERA | {"ingest_pool": SOURCE},
        CAMERA | {"jurisdiction": SOURCE},
        CAMERA | {"url": SOURCE},
        CAMERA | {"place": SOURCE},
    ]


async def test_no_answer_log_record_or_row_shows_a_source(
    stand: Stand,
    log: io.StringIO,
    database_files: Callable[[], list[Path]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    answers = await play(stand)
    assert_keeps_secret("".join(capfd.readouterr()).encode(), "standard output")
    assert {answer.status_code for answer in answers} == {200, 404, 422}
    for answer in answers:
        assert_keeps_secret(answer.content, f"{answer.request.method} {answer.request.url.path}")
        assert_keeps_secret(str(answer.headers).encode(), "a header")
    assert '"status": 422' in log.getvalue()
    assert "source refused" in log.getvalue()
    assert "INSERT INTO cameras" in log.getvalue()
    assert_keeps_secret(log.getvalue().encode(), "the log")
    metadata = MetaData()
    async with stand.database.read() as connection:
        await connection.run_sync(metadata.reflect)
        rows = [
            value if isinstance(value, bytes) else str(value).encode()
            for table in metadata.sorted_tables
            for row in await connection.execute(select(table))
            for value in row
        ]
    assert b"ana" in rows
    assert_keeps_secret(b"\n".join(rows), "the database")
    for file in database_files():
        assert_keeps_secret(file.read_bytes(), f"the file {file.name}")


async def test_no_topic_shows_a_source(stand: Stand) -> None:
    await play(stand)
    records = [*await stand.state_topic(), *await stand.audit_topic()]
    assert {record.headers["ce_type"] for record in records} >= {
        "feedgate.camera.v1.CameraState",
        "feedgate.audit.v1.AuditRecord",
    }
    for record in records:
        assert_keeps_secret(record.value + record.key.encode() + repr(record.headers).encode(), record.key)


async def test_a_database_that_fails_shows_no_source(stand: Stand, log: io.StringIO) -> None:
    ana = await stand.owner("ana")
    await ana.get("/registry/v1/cameras")
    async with stand.database.begin() as connection:
        await connection.execute(text("ALTER TABLE cameras RENAME TO elsewhere"))
    answer = await ana.post("/registry/v1/cameras", json=CAMERA)
    # A table that is not there: to SQLite the same as a file that cannot be read, to PostgreSQL our mistake.
    status, code = (
        (503, "database-unavailable") if stand.database.dialect == "sqlite" else (500, "internal-error")
    )
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:feedgate:problem:{code}")
    assert_keeps_secret(answer.content, "the answer")
    assert "Traceback" in log.getvalue()
    assert_keeps_secret(log.getvalue().encode(), "the log")
