"""What is left out is said; where everything is required it fails; unit tests reach no network."""

from pathlib import Path

import pytest

from tests.servers import machine, needs

PLUGIN = ("-p", "tests.servers.needs", "-p", "no:asyncio", "--allow-unix-socket")


@pytest.fixture
def a_machine_without_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dict_of_needs(), "kafka", lambda: "no `java`")
    monkeypatch.delenv("FEEDGATE_REQUIRE", raising=False)


def dict_of_needs() -> dict[str, object]:
    assert isinstance(machine.NEEDS, dict)
    return machine.NEEDS


NEEDS_KAFKA = """
    import pytest
    @pytest.mark.needs("kafka")
    def test_broker():
        raise AssertionError("ran")
"""


@pytest.mark.usefixtures("a_machine_without_kafka")
def test_a_test_left_out_is_named_with_the_command_that_makes_it_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NEEDS_KAFKA)
    result = pytester.runpytest_inprocess(*PLUGIN)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["*= left out =*", "1 left out: needs kafka, no `java`; `make servers` makes it run"]
    )


@pytest.mark.usefixtures("a_machine_without_kafka")
def test_a_fixture_needs_what_its_server_needs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        @pytest.fixture
        def kafka_bootstrap(): raise AssertionError("started")
        def test_broker(kafka_bootstrap): pass
    """)
    pytester.runpytest_inprocess(*PLUGIN).assert_outcomes(skipped=1)


@pytest.mark.usefixtures("a_machine_without_kafka")
@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        pytest.param(NEEDS_KAFKA, "errors", id="a missing server"),
        pytest.param("import pytest\ndef test_it(): pytest.skip('not today')", "failed", id="any skip"),
        pytest.param("import pytest\npytest.importorskip('nothing')", "errors", id="a skipped file"),
    ],
)
def test_a_test_left_out_fails_where_everything_is_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, source: str, outcome: str
) -> None:
    monkeypatch.setenv("FEEDGATE_REQUIRE", "all")
    pytester.makepyfile(source)
    result = pytester.runpytest_inprocess(*PLUGIN)
    assert result.parseoutcomes() == {outcome: 1}
    assert result.ret != 0


def test_a_need_nobody_knows_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NEEDS_KAFKA.replace("kafka", "oracle"))
    result = pytester.runpytest_inprocess(*PLUGIN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs('oracle'); allowed kafka, *"])


OPENS_A_SOCKET = """
    import asyncio, socket, pytest
    {mark}
    def test_network():
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
    def test_loop():
        asyncio.run(asyncio.sleep(0))
"""


@pytest.mark.parametrize(
    ("mark", "outcomes"),
    [
        pytest.param("", {"failed": 1, "passed": 1}, id="unmarked"),
        pytest.param("@pytest.mark.sockets", {"passed": 2}, id="marked"),
        pytest.param('@pytest.mark.needs("ffmpeg")', {"passed": 2}, id="meets a real server"),
    ],
)
def test_a_unit_test_opens_no_socket_unless_it_says_so(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mark: str, outcomes: dict[str, int]
) -> None:
    monkeypatch.setattr(needs, "REPOSITORY", pytester.path)
    monkeypatch.setitem(dict_of_needs(), "ffmpeg", lambda: None)
    unit = Path(pytester.mkdir("libs"), "test_unit.py")
    unit.write_text(pytester.makepyfile(OPENS_A_SOCKET.format(mark=mark)).read_text(), encoding="utf-8")
    assert pytester.runpytest_inprocess(*PLUGIN, unit).parseoutcomes() == outcomes
