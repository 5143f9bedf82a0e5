"""`python -m feedgate_tools.simulator`."""

import asyncio

from feedgate_tools.simulator.app import run
from feedgate_tools.simulator.settings import Settings

if __name__ == "__main__":
    asyncio.run(run(Settings.from_arguments(None)))
