"""docker-compose.yml for an engine without bridges: every container in one network that is only a loopback.

Nothing that the stack is tested for is changed: commands, users, secrets, read-only roots and rights stay.
What is, and why:

- `networks`, `ports` and `sysctls` go, `network_mode: service:net` comes: there is no bridge to join;
- each name of a network gets a loopback address of its own, in the hosts file that all share, so that
  services listen where they do otherwise, at the same ports;
- `build` goes, and images from registries become stand-ins;
- what no Debian package holds is left out.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

LEFT_OUT: Final = frozenset({"prometheus", "alertmanager", "grafana"})
"""Grafana is in no package, and what watches is tried by tests of its own."""

STAND_INS: Final = {
    "nginx": "feedgate-test/nginx",
    "apache/kafka": "feedgate-test/kafka",
    "postgres": "feedgate-test/postgres",
    "quay.io/keycloak/keycloak": "feedgate-test/keycloak",
}
NET: Final = "net"
HOST: Final = "feedgate.localhost"
Compose = dict[str, Any]


def one_loopback(compose: Mapping[str, Any], *, base: str, addresses_file: str) -> Compose:
    """The same stack on one loopback.

    Args:
        compose: what docker-compose.yml holds.
        base: image of the container that holds the network.
        addresses_file: stands in for the gateway's `addresses.conf`.
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
