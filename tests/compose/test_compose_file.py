"""docker-compose.yml, read: what needs no engine to be seen."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from feedgate.restored import KINDS
from feedgate.stack_secrets import OWNERS, Plan, make_stack_secrets
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_audit.settings import AuditSettings
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.settings import SECRETS_DIR_VARIABLE, ServiceSettings
from feedgate_registry.settings import RegistrySettings
from feedgate_relay.settings import RelaySettings
from feedgate_tools.demo.sign_in_page import SignInPageSettings
from tests.compose.one_loopback import STAND_INS, addresses_of, one_loopback
from tests.servers.gateway import gateway_addresses
from tests.servers.machine import REPOSITORY

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTINGS: dict[str, type[ServiceSettings]] = {
    "registry": RegistrySettings,
    "access-policy": AccessPolicySettings,
    "audit": AuditSettings,
    "ingest": IngestSettings,
    "relay": RelaySettings,
    "page": SignInPageSettings,
}
WITH_STATE_TOPIC = sorted(KINDS)
OURS = {
    name: service
    for name, service in SERVICES.items()
    if str(service.get("image", "")).startswith("feedgate/")
}


def variables_of(name: str) -> dict[str, str]:
    """What a container's process has in its environment of us."""
    service = SERVICES[name]
    found: dict[str, str] = {}
    for file in service.get("env_file", []):
        lines = (REPOSITORY / file).read_text(encoding="utf-8").splitlines()
        found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    found |= service.get("environment", {})
    return found


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert service["read_only"] is (name != "keycloak")
    assert service.get("user", "10001:10001").partition(":")[0] != "0" or name == "setup"
    assert "privileged" not in service
    assert not [volume for volume in service.get("volumes", []) if "docker.sock" in volume]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_every_foreign_image_has_a_version(name: str) -> None:
    assert re.fullmatch(r"[a-z./-]+:v?\d+(\.\d+)*", SERVICES[name]["image"])


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_every_variable_of_a_service_is_one_of_its_settings(service: str) -> None:
    kind = SETTINGS[service]
    known = {kind.setting_name(field) for field in kind.model_fields}
    instances = [name for name in SERVICES if re.sub(r"-\d$", "", name) == service]
    assert instances
    for name in instances:
        given = set(variables_of(name)) - {SECRETS_DIR_VARIABLE, "PGSSLROOTCERT"}
        assert given <= known
        assert {
            kind.setting_name(field) for field in ("public_host", "internal_host", "public_origin")
        } <= given


def test_people_sign_in_without_a_profile() -> None:
    assert "profiles" not in SERVICES["page"]
    assert "healthcheck" in SERVICES["page"], "its image is for other things, too, and has none"


def test_two_of_a_kind_are_told_apart() -> None:
    for setting in ("FEEDGATE_RELAY_RELAY_ID", "FEEDGATE_INGEST_WORKER_ID"):
        given = [
            service["environment"][setting]
            for service in SERVICES.values()
            if setting in service.get("environment", {})
        ]
        assert len(given) == len(set(given)) == 2


def test_the_page_names_every_file_that_names_the_second_of_a_kind() -> None:
    files = [REPOSITORY / "docker-compose.yml", *(REPOSITORY / "deploy/compose").iterdir()]
    files += (REPOSITORY / "deploy/gateway").iterdir()
    second = re.compile(r"(ingest|relay)[-_]2\b")
    touched = {
        str(file.relative_to(REPOSITORY)) for file in files if second.search(file.read_text(encoding="utf-8"))
    }
    page = (REPOSITORY / "docs/guide/operations.md").read_text(encoding="utf-8")
    [told] = re.findall(r"\*\*A third relay or worker\*\*.*?\n\n", page, re.DOTALL)
    assert touched == set(re.findall(r"`([\w/.-]+\.(?:yml|conf))`", told)) | {"docker-compose.yml"}


def test_what_containers_run_needs_no_development_issuer() -> None:
    runs = {
        tuple(service["entrypoint"]) for service in SERVICES.values() if "tools" in service.get("image", "")
    }
    assert len(runs) == 3
    for python, option, module in runs:
        assert (python, option) == ("python", "-m")
        code = (
            "import runpy, sys; sys.modules['feedgate_tools.issuer'] = None;"
            f"runpy.run_module({module!r}, run_name='imported')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(name for name in OURS if SERVICES[name]["restart"] != "no"))
def test_a_service_is_left_time_to_let_go_of_a_kafka_that_does_not_answer(name: str) -> None:
    assert SERVICES[name]["stop_grace_period"] == "30s"


def test_no_password_stands_in_a_file() -> None:
    files = [REPOSITORY / "docker-compose.yml", *(REPOSITORY / "deploy").rglob("*.env")]
    assert len(files) == 7
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            said = re.search(r"(?i)(password|secret|hash_key|private_key)\w*[:=]\s*\"?([^\s\"/$]+)", line)
            simulated = "simulated-only" in line  # the demo's camera, which has nothing to protect
            assert said is None or line.strip().startswith("#") or simulated, (file.name, line)


def test_the_gateway_cannot_reach_what_is_inside() -> None:
    assert set(SERVICES["gateway"]["networks"]) == {"public"}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("postgres", "prometheus"):
        assert set(SERVICES[name]["networks"]) == {"inside"}
    assert set(SERVICES["page"]["networks"]) == {"public"}
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert sorted(published) == ["gateway", "grafana", "kafka"]
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])


def test_every_container_mounts_its_own_secrets_alone() -> None:
    for name, service in SERVICES.items():
        mounted = {
            volume.partition(":")[0].removeprefix("secrets-")
            for volume in service.get("volumes", [])
            if volume.startswith("secrets-")
        }
        if name == "setup":
            assert mounted == {*OWNERS, "originals"}
        elif name == "topics" or name.startswith("migrate-"):
            assert mounted == {"jobs"}
        elif name == "reseal":
            assert mounted == {"ingest", "registry"}
        else:
            assert mounted <= {re.sub(r"-\d$", "", name.removeprefix("restored-"))}, name


@pytest.mark.parametrize("service", WITH_STATE_TOPIC)
def test_a_restored_database_is_brought_up_to_date_with_its_services_own_settings(service: str) -> None:
    name = f"restored-{service}"
    assert SERVICES[name]["command"] == ["restored", service]
    assert variables_of(name) == variables_of(service)
    assert SERVICES[name]["volumes"] == SERVICES[service]["volumes"]
    page = (REPOSITORY / "docs/guide/operations-restore.md").read_text(encoding="utf-8")
    assert f"docker compose run --rm {name}\n" in page


def test_what_operations_ask_for_does_not_start_by_itself() -> None:
    asked = {name for name, service in SERVICES.items() if "operations" in service.get("profiles", [])}
    assert asked == {"reseal", *(f"restored-{service}" for service in WITH_STATE_TOPIC)}
    for name in asked:
        # The image and its command are those of the other jobs, of which `feedgate` is the entry point.
        assert SERVICES[name]["image"] == SERVICES["topics"]["image"]
        assert SERVICES[name]["restart"] == "no"


def test_sources_are_sealed_anew_by_the_files_that_the_setup_hands_out(tmp_path: Path) -> None:
    plan = Plan(
        origin="https://feedgate.example.org",
        issuers=REPOSITORY / "deploy/compose/issuers.yaml",
        agencies=REPOSITORY / "deploy/compose/agencies.yaml",
    )
    made = {f"/run/feedgate/{name}" for name in make_stack_secrets(tmp_path, plan)}
    [command] = SERVICES["reseal"]["command"]
    named = re.findall(r"/run/feedgate/[a-z_/.]+", command)
    assert len(named) == 2
    assert {*named, SERVICES["reseal"]["environment"]["PGSSLROOTCERT"]} <= made


def test_each_internal_port_is_watched() -> None:
    text = (REPOSITORY / "deploy/compose/prometheus.yml").read_text(encoding="utf-8")
    targets = {
        target
        for job in yaml.safe_load(text)["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    inside = {name for name in SERVICES if re.sub(r"-\d$", "", name) in SETTINGS} - {"page"}
    assert targets == {f"{name}.inside:8081" for name in inside}


def test_on_one_loopback_nothing_but_the_network_changes() -> None:
    stack = one_loopback(
        COMPOSE,
        base="base",
        addresses_file="/addresses.conf",
        prometheus_file="/prometheus.yml",
        alertmanager_folder="/alertmanager",
    )["services"]
    for name, service in stack.items():
        if name == "net":
            continue
        assert service.get("network_mode") in {"service:net", "none"}
        for key in (
            "user",
            "read_only",
            "cap_drop",
            "cap_add",
            "security_opt",
            "entrypoint",
            "env_file",
            "tmpfs",
        ):
            assert service.get(key) == SERVICES[name].get(key), (name, key)
    of_registries = ("kafka", "postgres", "keycloak", "gateway", "prometheus", "alertmanager")
    assert {stack[name]["image"] for name in of_registries} == set(STAND_INS.values())
    text = (REPOSITORY / "deploy/gateway/addresses.conf").read_text(encoding="utf-8")
    at = {name: f"{address}:8080" for name, address in addresses_of(SERVICES).items()}
    addresses = gateway_addresses(text, at, ["relay-1.public", "relay-2.public"])
    assert ".public:" not in addresses
    assert "resolver" not in addresses


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose")
def test_the_older_compose_command_can_read_it() -> None:
    done = subprocess.run(
        ["docker-compose", "--file", REPOSITORY / "docker-compose.yml", "config", "--quiet"],
        env={**os.environ, "COMPOSE_PROJECT_NAME": "read-only"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
