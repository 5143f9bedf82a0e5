"""The kernel's cuts, on a server and a client of their own in a network of their own."""

import subprocess
import sys

import pytest

from tests.faults.isolation import UNSHARE
from tests.servers.machine import REPOSITORY

pytestmark = pytest.mark.needs("isolation")

ECHO = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
"""
CHECK = f"""
import socket, subprocess, sys, time
from pathlib import Path
from tests.faults.isolation import furnish
from tests.faults.network import FIRST_GID, Network, Place
from tests.servers.process import ServerProcess

furnish()
place = Place(3, FIRST_GID + 3, (4711,))
network = Network()
network.mark(place)
server = ServerProcess("echo", [sys.executable, "-c", {ECHO!r}, "4711"], Path("/dev/shm/log"))
server.gid = place.gid
server.start()
address = ("127.0.0.1", 4711)

def reachable():
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0

def says(connection):
    try:
        connection.sendall(b"word")
        return connection.recv(4) == b"word"
    except TimeoutError:
        return "silent"
    except ConnectionError:
        return "reset"

server.wait_until(reachable)
open_before = [socket.create_connection(address, timeout=1) for _ in range(2)]
assert all(says(one) is True for one in open_before), "nothing is cut yet"

network.cut(place, "silence")
assert says(open_before[0]) == "silent"
try:
    socket.create_connection(address, timeout=1)
    raise AssertionError("a connection to a silent place")
except TimeoutError:
    pass
network.mend(place, "silence")
open_before[0].settimeout(20)  # what was sent meanwhile is sent again by TCP in its own time
assert open_before[0].recv(4) == b"word", "it went on where it had stopped"

network.cut(place, "reset")
assert says(open_before[1]) == "reset"
assert not reachable(), "refused"
network.mend(place, "reset")
assert reachable()
with socket.create_connection(address, timeout=5) as again:
    assert says(again) is True
print("all as it should be")
server.kill()
"""


def test_a_silent_place_says_nothing_and_goes_on_and_a_reset_one_is_gone_until_it_is_mended() -> None:
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", CHECK],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.endswith("all as it should be\n"), done.stderr
