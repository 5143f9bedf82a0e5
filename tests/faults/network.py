"""The network between the processes of a run, cut where one of them stands.

By the kernel's filter, in a network namespace of the run's own: each process that may be struck runs under a group
of its own, every connection it takes part in carries its mark from the first packet it sends, and a cut is
one rule over that mark. So all of its connections are cut, whoever opened them.
"""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

FIRST_GID: Final = 47_000
"""Groups from here on belong to nobody on this machine."""

Manner = Literal["reset", "silence"]
_TARGETS: Final[dict[Manner, tuple[str, ...]]] = {
    "reset": ("REJECT", "--reject-with", "tcp-reset"),
    "silence": ("DROP",),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one process stands in the network."""

    number: int  # from 0; the bit of its mark
    gid: int  # group id that it runs under
    ports: tuple[int, ...]  # it listens on

    @property
    def mark(self) -> str:
        return f"{1 << self.number:#x}"


class Network:
    """The filter of this namespace."""

    def __init__(self) -> None:
        # The resets that the filter itself sends are to arrive.
        _iptables("-A", "INPUT", "-p", "tcp", "--tcp-flags", "RST", "RST", "-j", "ACCEPT")

    def mark(self, place: Place) -> None:
        """Mark whatever the processes of a place take part in."""
        owner = ("-p", "tcp", "-m", "owner", "--gid-owner", str(place.gid))
        _iptables("-t", "mangle", "-A", "OUTPUT", *owner, "-j", "CONNMARK", "--or-mark", place.mark)

    def cut(self, place: Place, manner: Manner) -> None:
        """Let nothing to it or from it.

        Args:
            place: whose connections.
            manner: `reset`: both ends are told at their next packet, and nobody can connect.
                `silence`: connections stay open at both ends, and nothing arrives.
        """
        for rule in _rules(place, manner):
            if manner == "silence":
                _iptables("-I", "INPUT", "1", *rule)
            else:
                _iptables("-A", "INPUT", *rule)

    def mend(self, place: Place, manner: Manner) -> None:
        """Undo `cut`."""
        for rule in _rules(place, manner):
            _iptables("-D", "INPUT", *rule)

    def part(self, place: Place, others: Sequence[Place]) -> None:
        """Let nothing come over the connections between one place and others; they stay open at both ends."""
        for rule in _between(place, others):
            _iptables("-I", "INPUT", "1", *rule)

    def join(self, place: Place, others: Sequence[Place]) -> None:
        """Undo `part`."""
        for rule in _between(place, others):
            _iptables("-D", "INPUT", *rule)


def _between(place: Place, others: Sequence[Place]) -> Iterator[Sequence[str]]:
    for other in others:
        both = f"{(1 << place.number) | (1 << other.number):#x}"
        yield ("-p", "tcp", "-m", "connmark", "--mark", f"{both}/{both}", "-j", "DROP")


def _rules(place: Place, manner: Manner) -> list[Sequence[str]]:
    target = ("-j", *_TARGETS[manner])
    rules: list[Sequence[str]] = [
        ("-p", "tcp", "-m", "connmark", "--mark", f"{place.mark}/{place.mark}", *target)
    ]
    if place.ports:  # also the first packet of a connection, which carries no mark yet
        ports = ",".join(map(str, place.ports))
        rules.append(("-p", "tcp", "-m", "multiport", "--dports", ports, *target))
    return rules


def _iptables(*arguments: str) -> None:
    subprocess.run(["iptables", "--wait", *arguments], check=True)
