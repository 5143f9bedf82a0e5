"""The whole of docker-compose.yml, built and up: `make compose-test`, as root, some minutes.

Its name keeps it out of `make test`, which should not take so long.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose.engine import BASE, Engine
from tests.compose.one_loopback import ALERTMANAGER_PORT
from tests.compose.stack import CAMERA, IMAGES, ORIGIN, VERSION, Stack
from tests.servers.needs import require

pytestmark = [pytest.mark.timeout(1_500), pytest.mark.needs("docker", "kafka", "keycloak")]

MIB = 1_048_576
SERVICES = ("registry", "access-policy", "audit", "ingest-1", "ingest-2", "relay-1", "relay-2")
WATCHER = Path(__file__).parent / "on_the_way.py"
PROBE = Path(__file__).parent / "door.py"
VIEWER = Path(__file__).parent / "last_words.py"
SIGN_IN = Path(__file__).parent / "sign_in.py"
WATCHED = Path(__file__).parent / "watched.py"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    for need in ("docker", "kafka", "keycloak"):
        require(need)
    folder = Path(tempfile.mkdtemp(prefix="feedgate-docker-"))
    engine = Engine(folder)
    try:
        engine.start()
        yield engine
    finally:
        engine.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(engine: Engine) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="feedgate-stack-") as folder:
        stack = Stack(engine, Path(folder))
        stack.build()
        stack.up()
        yield stack
        stack.down()


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Says a figure where whoever runs this reads it."""
    writer = pytestconfig.get_terminal_writer()
    return lambda line: writer.line(f"\n{line}")


def test_the_story_is_played_through_the_gateway(stack: Stack, tell: Callable[[str], None]) -> None:
    told = stack.inside(
        *("python", "-m", "feedgate_tools.demo.on_stack", "--origin", ORIGIN, "--camera", CAMERA),
        *("--cast", "/run/feedgate/cast.yaml", "--agency", "metro-police", "--pool", "site"),
        *("--since", str(stack.up_at_s)),
    )
    figures = json.loads(told.splitlines()[-1])
    tell(told)
    assert figures["pictures"] >= 100
    assert figures["digests_matched"] == figures["pictures"]
    assert figures["pictures_after_withdrawal"] == 0
    assert figures["up_to_first_picture_s"] > 0


def test_an_owner_signs_in_from_the_stacks_own_page(stack: Stack) -> None:
    answered = json.loads(
        stack.inside(
            *("python", "/tests/sign_in.py", ORIGIN, "/run/feedgate/cast.yaml"),
            mounts=[f"{SIGN_IN.parent}:/tests:ro"],
        )
    )
    assert answered == {"with_token": 200, "without": 401}


def test_the_door_shows_nothing_that_is_not_for_it(stack: Stack) -> None:
    answers = json.loads(
        stack.inside("python", "/tests/door.py", ORIGIN, mounts=[f"{PROBE.parent}:/tests:ro"])
    )
    assert answers["status"] == {
        "/registry/v1/openapi.json": 200,
        "/registry/metrics": 404,
        "/registry/internal/v1/cameras": 404,
        "/relay/internal/v1/anything": 404,
        "/metrics": 404,
        "/internal": 404,
        "/relay/v1/relays/relay-9/media": 404,
        "/identity/realms/master/protocol/openid-connect/token": 404,
        "/identity/admin/": 404,
        "/identity/realms/feedgate-owners/.well-known/openid-configuration": 200,
        "/demo": 301,
        "/demo/": 200,
        "/demo/issuers": 200,
        "/demo/metrics": 404,
        "/": 404,
    }
    assert answers["too_large"] == 413
    assert answers["plain_http"] == 400
    assert answers["old_tls"] == "refused"
    assert answers["headers"]["strict-transport-security"].startswith("max-age=")
    assert answers["headers"]["x-content-type-options"] == "nosniff"
    assert "nginx/" not in answers["headers"]["server"]


def test_the_development_issuer_is_in_no_image(stack: Stack) -> None:
    asked = "import importlib.util as found; print(found.find_spec('feedgate_tools.issuer'))"
    assert stack.inside("python", "-c", asked).strip() == "None"


def test_the_gateways_log_has_no_token_and_no_query(stack: Stack) -> None:
    stack.inside("python", "/tests/door.py", ORIGIN, mounts=[f"{PROBE.parent}:/tests:ro"])
    log = stack.logs("gateway")
    assert '"path":"/registry/v1/cameras"' in log
    for secret in ("said-in-a-query", "said-in-a-header", "said-in-a-subprotocol"):
        assert secret not in log, secret


def test_little_is_left_on_the_way_to_a_viewer_who_stalls(stack: Stack, tell: Callable[[str], None]) -> None:
    left = json.loads(
        stack.inside(
            *("python", "/tests/on_the_way.py", ORIGIN, "/run/feedgate/cast.yaml", CAMERA),
            mounts=[f"{WATCHER.parent}:/tests:ro"],
        )
    )
    tell(f"left on the way: {left}")
    # The relay's socket, the gateway's two and its own buffer; docs/guide/operations.md has the figure.
    assert left["bytes_after_notice"] <= 400_000
    assert left["close_code"] == 1006, "the relay had nothing left to cut off"


def test_a_stopped_relay_says_so_to_its_viewers(stack: Stack) -> None:
    name = "feedgate-last-words"
    stack.engine.docker(
        *("run", "--detach", "--name", name, "--network", f"container:{stack.container('net')}"),
        *("--env", "SSL_CERT_FILE=/run/feedgate/ca.pem", "--volume", f"{WATCHER.parent}:/tests:ro"),
        *("--volume", "feedgate_secrets-story:/run/feedgate:ro"),
        *("--entrypoint", "python", f"feedgate/tools:{VERSION}"),
        *("/tests/last_words.py", ORIGIN, "/run/feedgate/cast.yaml", CAMERA),
    )
    try:
        stack.engine.docker("exec", name, "python", "/tests/last_words.py", "--until-watching")
        took_s = {relay: stack.stop(relay) for relay in stack.relays}  # one of them has the view
        assert {stack.inspect(relay)["State"]["ExitCode"] for relay in stack.relays} == {0}
        assert stack.engine.docker("wait", name).strip() == "0", stack.engine.docker("logs", name)
        heard = json.loads(stack.engine.docker("logs", name).splitlines()[-1])
    finally:
        stack.engine.docker("rm", "--force", name)
        for relay in stack.relays:
            stack.start(relay)
    assert heard["last_notice"] == ["view_ended", "relay_stopping"]
    assert heard["in_the_ledger"], "what the relay had to say of the view was lost with it"
    assert heard["close_code"] == 4001
    assert max(took_s.values()) < 10


@pytest.mark.parametrize("service", ["ingest-1", "audit", "access-policy", "registry"])
def test_a_service_ends_by_itself_in_time(stack: Stack, service: str) -> None:
    took_s = stack.stop(service)
    state = stack.inspect(service)["State"]
    stack.start(service)
    assert state["ExitCode"] == 0, stack.logs(service)[-2000:]
    assert took_s < 10


def test_what_watches_the_stack_sees_each_service_and_tells_of_one_that_is_gone(stack: Stack) -> None:
    def watched(*asked: str) -> Any:
        mounts = [f"{WATCHED.parent}:/tests:ro"]
        return json.loads(stack.inside("python", "/tests/watched.py", *asked, mounts=mounts))

    assert len(watched("up", "http://prometheus:9090")) == len(SERVICES)
    stack.stop("ingest-2")
    try:
        told = watched("alert", f"http://alertmanager:{ALERTMANAGER_PORT}", "ServiceDown")
    finally:
        stack.start("ingest-2")
    assert told["instance"] == "ingest-2.inside:8081"


@pytest.mark.parametrize("service", [*SERVICES, "page"])
def test_a_service_may_do_little(stack: Stack, service: str) -> None:
    found = stack.inspect(service)
    assert found["Config"]["User"] == "10001:10001"
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert not found["HostConfig"]["CapAdd"]
    assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert found["HostConfig"]["Memory"] > 0
    assert found["HostConfig"]["PidsLimit"] > 0
    passed = stack.engine.docker("exec", stack.container(service), "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in passed
    for program in ("pip", "gcc", "cc"):
        found_program = stack.engine.docker(
            *("exec", stack.container(service), "python", "-c"),
            f"import shutil; print(shutil.which({program!r}, path='/opt/feedgate/bin'))",
        )
        assert found_program.strip() == "None"


def test_no_secret_is_in_a_containers_environment_or_command(stack: Stack) -> None:
    secrets = stack.inside(
        *("sh", "-c", "cd /originals && for file in *; do cat $file; echo; done"),
        mounts=["feedgate_secrets-originals:/originals:ro"],
        user="0:0",
    )
    words = {line for line in secrets.splitlines() if len(line) >= 32 and " " not in line}
    assert len(words) > 10
    names = stack.engine.docker("ps", "--all", "--format", "{{.Names}}").split()
    seen = stack.engine.docker("inspect", *names)
    assert not [word for word in words if word in seen]


def test_a_service_sees_its_own_secrets_alone(stack: Stack) -> None:
    seen = {
        service: stack.engine.docker("exec", stack.container(service), "ls", "/run/feedgate").split()
        for service in SERVICES
    }
    page = stack.engine.docker("exec", stack.container("page"), "ls", "/run/feedgate")
    assert page.split() == ["ca.pem", "issuers.yaml"], "it has no secret"
    holders = {name: [service for service in SERVICES if name in seen[service]] for name in ("ticket.pem",)}
    assert holders == {"ticket.pem": ["access-policy"]}
    for service, files in seen.items():
        own = f"feedgate_{service.removesuffix('-1').removesuffix('-2').replace('-', '_')}_"
        assert all(file.startswith(own) for file in files if file.startswith("feedgate_")), service


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_no_larger_than_it_may_be(stack: Stack, tell: Callable[[str], None], image: str) -> None:
    def size_of(name: str) -> int:
        return int(stack.engine.docker("image", "inspect", "--format", "{{.Size}}", name))

    own_mib = (size_of(f"feedgate/{image}:{VERSION}") - size_of(BASE)) / MIB
    tell(f"{image}: {own_mib:.0f} MiB without its base")
    if image in {"registry", "relay"}:
        assert own_mib <= 250
