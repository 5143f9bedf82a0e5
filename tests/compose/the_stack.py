"""The whole of docker-compose.yml, built and up: `make compose-test`, as root, some minutes.

Its name keeps it out of `make test`, which should not take so long.
"""

import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.boards import BOARDS
from tests.compose.engine import BASE, Engine
from tests.compose.operations import Operations, commands_of
from tests.compose.stack import CAMERA, IMAGES, ORIGIN, VERSION, Stack
from tests.servers.needs import require
from tests.system.guide import blocks, sections

pytestmark = [pytest.mark.timeout(1_500), pytest.mark.needs("docker", "kafka", "keycloak")]

MIB = 1_048_576
SERVICES = ("registry", "access-policy", "audit", "ingest-1", "ingest-2", "relay-1", "relay-2")
RUN_INSIDE = f"{Path(__file__).parent}:/tests:ro"
"""The programs beside this file that run in the stack's network."""
CAST = "/run/feedgate/cast.yaml"
PROMETHEUS = "http://prometheus:9090"
DRILLS, RESTORE, WATCHING = "operations-drills.md", "operations-restore.md", "operations-watching.md"
SHOWN_RECEIVER = "http://127.0.0.1:9095/alerts"
WEBHOOK_PORT = 9195  # 9095 is Kafka's, on the loopback that all share here
WITHIN_S = 90.0
LOOK_S = 0.5


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


@pytest.fixture
def operations(stack: Stack) -> Operations:
    return Operations(stack)


@contextmanager
def in_the_background(stack: Stack, name: str, *command: str) -> Iterator[str]:
    """A program beside this file in a container of its own, which is gone afterwards; the container's name."""
    stack.engine.docker(
        *("run", "--detach", "--name", name, "--network", f"container:{stack.container('net')}"),
        *("--env", "SSL_CERT_FILE=/run/feedgate/ca.pem", "--volume", RUN_INSIDE),
        *("--volume", "feedgate_secrets-story:/run/feedgate:ro"),
        *("--entrypoint", "python", f"feedgate/tools:{VERSION}", *command),
    )
    try:
        yield name
    finally:
        stack.engine.docker("rm", "--force", name)


@contextmanager
def a_viewer(stack: Stack) -> Iterator[str]:
    """One who is shown a new camera of the owner's; the container's name."""
    command = ("/tests/last_words.py", ORIGIN, CAST, CAMERA)
    with in_the_background(stack, "feedgate-last-words", *command) as name:
        sees_a_picture(stack, name)
        yield name


def sees_a_picture(stack: Stack, viewer: str) -> None:
    stack.engine.docker("exec", viewer, "python", "/tests/last_words.py", "--until-watching")


def watched(stack: Stack, *asked: str) -> Any:
    return json.loads(stack.inside("python", "/tests/watched.py", *asked, mounts=[RUN_INSIDE]))


def people(stack: Stack, act: str, about: str) -> Any:
    command = ("python", "/tests/people.py", ORIGIN, CAST, act, about)
    return json.loads(stack.inside(*command, mounts=[RUN_INSIDE]))


def until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """What it says once that holds."""
    deadline_s = time.monotonic() + WITHIN_S
    while not holds(said := ask()):
        assert time.monotonic() < deadline_s, said
        time.sleep(LOOK_S)
    return said


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
    tell(f"from `up` to the first picture: {figures['up_to_first_picture_s']} s ({os.cpu_count()} cores)")


def test_an_owner_signs_in_from_the_stacks_own_page(stack: Stack) -> None:
    answered = json.loads(stack.inside("python", "/tests/sign_in.py", ORIGIN, CAST, mounts=[RUN_INSIDE]))
    assert answered == {"with_token": 200, "without": 401}


def test_the_door_shows_nothing_that_is_not_for_it(stack: Stack) -> None:
    answers = json.loads(stack.inside("python", "/tests/door.py", ORIGIN, mounts=[RUN_INSIDE]))
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
    stack.inside("python", "/tests/door.py", ORIGIN, mounts=[RUN_INSIDE])
    log = stack.logs("gateway")
    assert '"path":"/registry/v1/cameras"' in log
    for secret in ("said-in-a-query", "said-in-a-header", "said-in-a-subprotocol"):
        assert secret not in log, secret


def test_little_is_left_on_the_way_to_a_viewer_who_stalls(stack: Stack, tell: Callable[[str], None]) -> None:
    command = ("python", "/tests/on_the_way.py", ORIGIN, CAST, CAMERA)
    left = json.loads(stack.inside(*command, mounts=[RUN_INSIDE]))
    tell(f"left on the way: {left}")
    # The relay's socket, the gateway's two and its own buffer; docs/guide/operations.md has the figure.
    assert left["bytes_after_notice"] <= 400_000
    assert left["close_code"] == 1006, "the relay had nothing left to cut off"


def test_a_stopped_relay_says_so_to_its_viewers(stack: Stack) -> None:
    try:
        with a_viewer(stack) as viewer:
            took_s = {relay: stack.stop(relay) for relay in stack.relays}  # one of them has the view
            assert {stack.inspect(relay)["State"]["ExitCode"] for relay in stack.relays} == {0}
            assert stack.engine.docker("wait", viewer).strip() == "0", stack.engine.docker("logs", viewer)
            heard = json.loads(stack.engine.docker("logs", viewer).splitlines()[-1])
    finally:
        for relay in stack.relays:
            stack.start(relay)
    assert heard["last_notice"] == ["view_ended", "relay_stopping"]
    assert heard["in_the_ledger"], "what the relay had to say of the view was lost with it"
    assert heard["close_code"] == 4001
    assert max(took_s.values()) < 10


def test_a_stopped_worker_hangs_up_and_the_other_takes_its_camera_over(stack: Stack) -> None:
    until(stack.camera_counts, lambda counts: counts.active_sessions == 0)
    with a_viewer(stack) as viewer:
        worker = watched(stack, "live", PROMETHEUS).partition(".")[0]
        before = stack.camera_counts()
        assert before.active_sessions == 1
        took_s = stack.stop(worker)
        try:
            assert stack.inspect(worker)["State"]["ExitCode"] == 0
            assert stack.camera_counts().teardowns == before.teardowns + 1
            sees_a_picture(stack, viewer)
            assert stack.camera_counts().plays == before.plays + 1
        finally:
            stack.start(worker)
    assert took_s < 10


@pytest.mark.parametrize("service", ["audit", "access-policy", "registry"])
def test_a_service_ends_by_itself_in_time(stack: Stack, service: str) -> None:
    took_s = stack.stop(service)
    state = stack.inspect(service)["State"]
    stack.start(service)
    assert state["ExitCode"] == 0, stack.logs(service)[-2000:]
    assert took_s < 10


def test_the_guide_leads_to_data_and_to_an_alert_that_arrives(stack: Stack, operations: Operations) -> None:
    token = secrets.token_hex(16)
    name_receiver(stack, f"http://127.0.0.1:{WEBHOOK_PORT}")
    (receiver,) = commands_of(WATCHING, "Where alerts go")
    targets, heartbeats, stop, alerts, start = commands_of(WATCHING, "Try it")
    with in_the_background(stack, "feedgate-webhook", "/tests/webhook.py", str(WEBHOOK_PORT)) as webhook:

        def arrived() -> list[dict[str, Any]]:
            wanted = {"alertname": "ServiceDown", "instance": "ingest-2.inside:8081"}
            lines = stack.engine.docker("logs", webhook).splitlines()
            return [said for said in map(json.loads, lines) if wanted.items() <= said["labels"].items()]

        operations.run(receiver, TOKEN=token)
        assert len(watched(stack, "up", PROMETHEUS)) == len(SERVICES)
        assert operations.run(targets).count(" => 1 @") == len(SERVICES)
        first_panel = BOARDS[0].panels[0].queries[0].expr
        assert first_panel in heartbeats
        assert len(operations.run(heartbeats).splitlines()) == 2
        operations.run(stop)
        try:
            said = until(lambda: operations.run(alerts), lambda said: "ServiceDown" in said)
            fired = until(arrived, bool)
        finally:
            operations.run(start)
        for cell in alert_shown():
            assert cell in said
        until(lambda: operations.run(alerts), lambda said: "ServiceDown" not in said)
        resolved = until(arrived, lambda said: len(said) > len(fired))
    assert [each["status"] for each in resolved] == ["firing", "resolved"]
    assert {each["authorization"] for each in resolved} == {f"Bearer {token}"}


def name_receiver(stack: Stack, url: str) -> None:
    """As the guide says, in the file that it names."""
    file = stack.folder / "deploy/alertmanager/alertmanager.yml"
    text = file.read_text(encoding="utf-8")
    assert text.count(SHOWN_RECEIVER) == sections(WATCHING)["Where alerts go"].count(SHOWN_RECEIVER) == 1
    file.write_text(text.replace(SHOWN_RECEIVER, url), encoding="utf-8")


def alert_shown() -> tuple[str, str, str]:
    """Name, summary and state of the alert that the guide shows."""
    (shown,) = [block.text for block in blocks(sections(WATCHING)["Try it"]) if not block.language]
    name, _, summary, state = re.split(r" {2,}", shown.splitlines()[1].strip())
    return name, summary, state


def rotate(operations: Operations, key: str, file: str, step: str, name: str = "") -> list[str]:
    """One step of a key's drill; the keys' names. The guide shows the ticket key's first: the others are made of it."""
    shown, *_ = commands_of(DRILLS)
    for word, other in (("ticket-key next", f"{key} {step}"), ("/ticket.pem", f"/{file} {name}")):
        assert shown.count(word) == 1
        shown = shown.replace(word, other)
    said = operations.run(shown)
    operations.stack.until_done("setup")
    return re.findall(r"^(?:in use|believed): ([^,\n]+)", said, re.MULTILINE)


def test_the_ticket_key_is_replaced(stack: Stack, operations: Operations) -> None:
    def relays_know(keys: str) -> bool:
        lines = [stack.logs(relay).splitlines() for relay in stack.relays]
        return all(any("ticket keys changed" in line and keys in line for line in said) for said in lines)

    last, coming = rotate(operations, "ticket-key", "ticket.pem", "next")
    until(lambda: relays_know(coming), bool)
    assert rotate(operations, "ticket-key", "ticket.pem", "use", coming) == [coming, last]
    with a_viewer(stack) as viewer:
        assert rotate(operations, "ticket-key", "ticket.pem", "drop", last) == [coming]
        until(lambda: relays_know(f'["{coming}"]'), bool)
        sees_a_picture(stack, viewer)


def test_the_source_key_is_replaced(stack: Stack, operations: Operations) -> None:
    (rest,) = commands_of(DRILLS, "Source key")
    with a_viewer(stack) as viewer:
        last, coming = rotate(operations, "source-key", "pool-site", "next")
        operations.run("\n".join(rest.splitlines()[-2:]))  # one worker after the other
        stack.until_healthy("ingest-2")
        assert rotate(operations, "source-key", "pool-site", "use", coming) == [coming, last]
        said = operations.run(rest, LAST_KEY=last)
        stack.until_healthy("ingest-2")
        sees_a_picture(stack, viewer)
    (sealed_to,) = [line for line in said.splitlines() if "sources are sealed to" in line]
    assert coming in sealed_to
    first, *again = re.findall(r"sealed anew: (\d+)", said)
    assert int(first) > 0
    assert again == ["0", "0"]


def test_what_was_withdrawn_since_a_backup_does_not_come_back(stack: Stack, operations: Operations) -> None:
    def refusal() -> str:
        return str(people(stack, "ticket", shared["grant_id"]))

    (back_up,) = commands_of(RESTORE, "Back up")
    *restores, registry_after, access_policy_after = commands_of(RESTORE, "Restore")
    shared = people(stack, "share", CAMERA)
    operations.run(back_up)
    people(stack, "withdraw", shared["authorisation_id"])
    until(refusal, lambda said: "authorisation_withdrawn" in said)
    said = {}
    for service, restore, bring_in_front in zip(
        ("registry", "access-policy"), restores, (registry_after, access_policy_after), strict=True
    ):
        operations.run(f"docker compose stop {service}")
        operations.run(restore)
        said[service] = operations.run(bring_in_front)
        operations.run(f"docker compose up --detach --wait {service}")
    assert "authorisation.withdrawn: 1" in said["registry"].splitlines()
    assert "grant.closed: 1" in said["access-policy"].splitlines()
    assert "authorisation_withdrawn" in refusal()
    with a_viewer(stack):
        pass  # the owner's next acts count


def test_a_services_password_is_replaced(stack: Stack, operations: Operations) -> None:
    def password() -> str:
        file = "/run/feedgate/feedgate_relay_kafka_password"
        return stack.engine.docker("exec", stack.container("relay-1"), "cat", file)

    agencys, relays = commands_of("operations.md", "Where secrets lie")
    assert len(operations.run(agencys).strip()) >= 32
    before = password()
    operations.run(relays)
    stack.until_healthy("relay-2")
    assert password() != before
    with a_viewer(stack):
        pass


def test_the_guide_leads_to_the_next_version(stack: Stack, operations: Operations, tmp_path: Path) -> None:
    (upgrade,) = commands_of("operations.md", "Upgrading")
    before = {service: stack.inspect(service)["Image"] for service in SERVICES}
    file = tmp_path / "Dockerfile"
    file.write_text("ARG LAST\nFROM ${LAST}\nLABEL version=next\n", encoding="ascii")
    for image in IMAGES:
        name = f"feedgate/{image}:{VERSION}"
        stack.engine.build(name, tmp_path, file, LAST=name)
    operations.run(upgrade)
    after = {service: stack.inspect(service)["Image"] for service in SERVICES}
    assert not [service for service in SERVICES if after[service] == before[service]]
    stack.until_healthy(*SERVICES)
    with a_viewer(stack):
        pass


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


def test_no_image_is_larger_than_it_may_be(stack: Stack, tell: Callable[[str], None]) -> None:
    def size_of(name: str) -> float:
        return int(stack.engine.docker("image", "inspect", "--format", "{{.Size}}", name)) / MIB

    base = size_of(BASE)
    own_mib = {image: size_of(f"feedgate/{image}:{VERSION}") - base for image in IMAGES}
    sizes = ", ".join(f"{image} {size:.0f}" for image, size in own_mib.items())
    tell(f"images without their base of {base:.0f} MiB, in MiB: {sizes}")
    assert max(own_mib["registry"], own_mib["relay"]) <= 250
