"""Whoever follows the guides on the stack: each block of commands marked `sh containers`, as it stands there."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.compose.one_loopback import at_its_port
from tests.compose.stack import Stack
from tests.system.guide import blocks, page, sections

PLUGIN: Final = Path(__file__).parent / "plugin.py"
COMMANDS_WITHIN_S: Final = 420.0


class Operations:
    """Runs commands where `docker compose` means the stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        plugins = stack.folder / "docker" / "cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(PLUGIN), *stack.project, "--"]
        plugin = plugins / "docker-compose"
        plugin.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n', encoding="utf-8")
        plugin.chmod(0o755)
        self.environment = {
            **stack.engine.environment,
            **stack.environment,
            "DOCKER_CONFIG": str(plugins.parent),
        }

    def run(self, commands: str, **variables: str) -> str:
        """What they print, in the folder whose `deploy/alertmanager` the stack has.

        Raises:
            AssertionError: one failed.
        """
        done = subprocess.run(
            ["bash", "-euc", at_its_port(commands)],
            cwd=self.stack.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMANDS_WITHIN_S,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr[-3000:]}"
        return done.stdout


def commands_of(name: str, section: str | None = None) -> list[str]:
    """The blocks for the stack of a page, or of one of its sections."""
    text = page(name) if section is None else sections(name)[section]
    return [block.text for block in blocks(text) if (block.language, block.words) == ("sh", "containers")]
