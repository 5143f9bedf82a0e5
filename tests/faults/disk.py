"""A file system small enough to be filled."""

import subprocess
from pathlib import Path
from typing import Final

BALLAST: Final = "ballast"
CHUNK_BYTES: Final = 1 << 20


class SmallDisk:
    """Memory mounted over a folder; gone with the run's mount namespace."""

    def __init__(self, folder: Path, size_mib: int, owner: int = 0) -> None:
        """Mount it.

        Args:
            folder: is there already; what it holds is covered.
            size_mib: of all files in it.
            owner: user and group id of the folder.
        """
        self._folder = folder
        self._ballast = folder / BALLAST
        options = f"size={size_mib}m,mode=0700,uid={owner},gid={owner}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "faults", folder], check=True)

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab", buffering=0) as file:
            size = CHUNK_BYTES
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """At once for whoever looks, and in fact when the last process that uses it has ended."""
        subprocess.run(["umount", "--lazy", self._folder], check=True)
