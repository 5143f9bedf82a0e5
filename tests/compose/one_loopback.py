"""docker-compose.yml for an engine without bridges: every container in one network that is only a loopback.

Nothing that the stack is tested for is changed: commands, users, secrets, read-only roots and rights stay.
What is, and why:

- `networks`, `ports` and `sysctls` go, `network_mode: service:net` comes: there is no bridge to join;
- each name of a network gets a loopback address of its own, in the hosts file that all share, so that
  services listen where they do otherwise, at the same ports;
- `build` goes, and images from registries become stand-ins;
- what no Debian package holds is left out;
- Alertmanager listens at a port that Kafka's listener for agencies has not taken for all addresses, and has
  a copy of its folder, for a test to put a token there as operations do.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

LEFT_OUT: Final = frozenset({"grafana"})
"""In no package; its dashboards are tried by tests of their own."""

STAND_INS: Final = {
    "nginx": "feedgate-test/nginx",
    "apache/kafka": "feedgate-test/kafka",
    "postgres": "feedgate-test/postgres",
    "quay.io/keycloak/keycloak": "feedgate-test/keycloak",
    "prom/prometheus": "feedgate-test/prometheus",
    "prom/alertmanager": "feedgate-test/alertmanager",
}
ALERTMANAGER_PORT: Final = 9193
PROMETHEUS_FILE: Final = "/etc/feedgate/prometheus.yml"
NET: Final = "net"
HOST: Final = "feedgate.localhost"
Compose = dict[str, Any]


def one_loopback(
    compose: Mapping[str, Any],
    *,
    base: str,
    addresses_file: str,
    prometheus_file: str,
    alertmanager_folder: str,
) -> Compose:
    """The same stack on one loopback.

    Args:
        compose: what docker-compose.yml holds.
        base: image of the container that holds the network.
        addresses_file: stands in for the gateway's `addresses.conf`.
        prometheus_file: for Prometheus's, from `at_its_port`.
        alertmanager_folder: for `deploy/alertmanager`.
    """
    stack = deepcopy(dict(compose))
    services: dict[str, Any] = {
        name: service for name, service in stack["services"].items() if name not in LEFT_OUT
    }
    addresses = addresses_of(services)
    for service in services.values():
        for key in ("networks", "ports", "sysctls", "build"):
            service.pop(key, None)
        if service.get("network_mode") != "none":
            service["network_mode"] = f"service:{NET}"
        service["image"] = _image(service["image"])
        service["restart"] = "no"  # a service that ends by itself is a finding
        if isinstance(depends := service.get("depends_on"), dict):
            service["depends_on"] = {name: how for name, how in depends.items() if name not in LEFT_OUT}
    services["gateway"]["volumes"].append(f"{addresses_file}:/etc/feedgate/addresses.conf:ro")
    _move_alertmanager(services, prometheus_file, alertmanager_folder)
    services[NET] = {
        "image": base,
        "entrypoint": ["sleep", "infinity"],
        "network_mode": "none",
        "init": True,
        "sysctls": compose["services"]["gateway"]["sysctls"],
        "extra_hosts": [f"{name}:{address}" for name, address in addresses.items()],
    }
    stack["services"] = services
    del stack["networks"]
    return stack


def at_its_port(text: str) -> str:
    """What a Prometheus file or a guide says, with Alertmanager where it listens here."""
    return re.sub(r"\b(alertmanager|127\.0\.0\.1):9093\b", rf"\1:{ALERTMANAGER_PORT}", text)


def _move_alertmanager(services: dict[str, Any], prometheus_file: str, folder: str) -> None:
    watching, telling = services["prometheus"], services["alertmanager"]
    telling["command"].append(f"--web.listen-address=:{ALERTMANAGER_PORT}")
    telling["volumes"] = [f"{folder}:/etc/alertmanager:ro"]
    check = telling["healthcheck"]["test"]
    check[-1] = at_its_port(check[-1])
    kept = [volume for volume in watching["volumes"] if f":{PROMETHEUS_FILE}:" not in volume]
    watching["volumes"] = [*kept, f"{prometheus_file}:{PROMETHEUS_FILE}:ro"]


def addresses_of(services: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """A loopback address for each name that a container has in a network; shared names have the first's."""
    found: dict[str, str] = {HOST: "127.0.0.1"}
    for number, (name, service) in enumerate(services.items(), start=1):
        networks = service.get("networks", {})
        for index, network in enumerate(("public", "inside"), start=1):
            if network not in networks:
                continue
            aliases = networks[network].get("aliases", []) if isinstance(networks, Mapping) else []
            for alias in (*aliases, *([name] if network == "inside" else [])):
                if "$" not in alias:
                    found.setdefault(alias, f"127.0.{index}.{number}")
    return found


def _image(image: str) -> str:
    name = image.rpartition(":")[0]
    return STAND_INS.get(name, image)
