"""Docker's compose plugin, by the older command: `plugin.py PROJECT-OPTION… -- compose COMMAND …`.

What the guides use and docker-compose 1.29 lacks is done here.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence

METADATA = {"SchemaVersion": "0.1.0", "Vendor": "Feedgate's tests", "Version": "1"}
HEALTHY_WITHIN_S = 120.0
LOOK_S = 0.3


def main(project: Sequence[str], arguments: Sequence[str]) -> int:
    """Status of the command."""
    if arguments[0] == "docker-cli-plugin-metadata":
        sys.stdout.write(json.dumps(METADATA))
        return 0
    _, command, *given = arguments
    passed = [each for each in given if each != "--wait"]
    if command in {"exec", "run"} and "-T" not in passed:
        passed.insert(0, "-T")  # the plugin sees by itself that there is no terminal
    status = subprocess.run(["docker-compose", *project, command, *passed], check=False).returncode
    if status == 0 and "--wait" in given:
        for service in passed:
            if not service.startswith("-") and not becomes_healthy(service):
                sys.stderr.write(f"{service} is not healthy within {HEALTHY_WITHIN_S:g} s\n")
                return 1
    return status


def becomes_healthy(service: str) -> bool:
    deadline_s = time.monotonic() + HEALTHY_WITHIN_S
    filters = (f"label=com.docker.compose.service={service}", "health=healthy")
    asked = ["docker", "ps", "--quiet", *(part for each in filters for part in ("--filter", each))]
    while not subprocess.run(asked, capture_output=True, check=True).stdout:
        if time.monotonic() > deadline_s:
            return False
        time.sleep(LOOK_S)
    return True


if __name__ == "__main__":
    options = sys.argv[1:]
    end = options.index("--")
    sys.exit(main(options[:end], options[end + 1 :]))
