"""`python -m feedgate_tools.simulator`."""

import asyncio
import sys

from feedgate_tools.simulator.app import run
from feedgate_tools.simulator.settings import Settings

if __name__ == "__main__":
    settings = Settings.from_arguments(None)
    try:
        asyncio.run(run(settings))
    except OSError as error:
        sys.exit(f"cannot listen (settings host, port, control-port): {error}")
