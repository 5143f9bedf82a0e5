"""Asks the stack's Prometheus, inside the stack's network, until it says what is waited for.

`watched.py up PROMETHEUS` prints the instances that are scraped once all of them are up;
`watched.py live PROMETHEUS` the one instance that has had a camera for some time, once it is the only one.
"""

import json
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

WITHIN_S = 120.0
LOOK_S = 0.5


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def all_up(prometheus: str) -> list[str] | None:
    targets = ask(f"{prometheus}/api/v1/targets?state=active")["data"]["activeTargets"]
    if not targets or any(target["health"] != "up" for target in targets):
        return None
    return sorted(target["labels"]["instance"] for target in targets)


def live(prometheus: str) -> str | None:
    asked = urlencode({"query": 'min_over_time(ingest_cameras{phase="live"}[6s]) > 0'})
    found = ask(f"{prometheus}/api/v1/query?{asked}")["data"]["result"]
    return str(found[0]["metric"]["instance"]) if len(found) == 1 else None


def until(ask_again: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        try:
            said = ask_again()
        except (OSError, ValueError) as error:
            said, trouble = None, repr(error)
        else:
            trouble = "not yet"
        if said is not None:
            return said
        if time.monotonic() > deadline_s:
            sys.exit(f"not within {WITHIN_S:g} s: {trouble}")
        time.sleep(LOOK_S)


ASKED: Mapping[str, Callable[..., Any]] = {"up": all_up, "live": live}

if __name__ == "__main__":
    what, *where = sys.argv[1:]
    sys.stdout.write(json.dumps(until(lambda: ASKED[what](*where))) + "\n")
