"""How the demo speaks: who does what, when, in lines that wrap under themselves."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Part = str | tuple[str, str]
"""Words, or words with a style."""

WHO_COLOURS = {
    "owner": "green",
    "operator": "blue",
    "supervisor": "magenta",
    "developer": "cyan",
    "camera": "yellow",
    "feedgate": "bold",
}


def strong(words: str) -> Part:
    """Words a reader's eye should find: a figure, a name."""
    return words, "bold"


class Teller:
    """Tells the story on standard output, and nothing but the story: no URL of a camera ever."""

    def __init__(self, began_s: float) -> None:
        """Begin to count.

        Args:
            began_s: when the command was given, by `time.monotonic`.
        """
        self.began_s = began_s
        self._console = Console(highlight=False, markup=False)

    def begin(self, *, own_camera: bool) -> None:
        """The first word, before anything takes its time."""
        self._console.print(Text("\nFeedgate: one camera, shared for as long as its owner wants.\n", "bold"))
        camera = "takes your camera, and starts " if own_camera else "starts a camera, "
        self.say("feedgate", camera, "an identity provider and all services")

    def end(self) -> None:
        """The last word of a demo that was interrupted."""
        self.say("feedgate", "has ended, and nothing is left behind")

    def say(self, who: str, *parts: Part) -> None:
        """One step, as `who` would tell it."""
        line = Table.grid(padding=(0, 2))
        line.add_column(width=7, justify="right", style="dim", no_wrap=True)
        line.add_column(width=10, no_wrap=True, style=WHO_COLOURS.get(who, ""))
        line.add_column(ratio=1, overflow="fold")
        line.add_row(f"{self.elapsed_s():.1f} s", who, Text.assemble(*parts))
        self._console.print(line)

    def show_figures(self, title: str, figures: Sequence[tuple[str, str, str]]) -> None:
        """Where the time went: a name, a figure and a word about it in each row."""
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", style="bold", no_wrap=True)
        table.add_column(style="dim", overflow="fold")
        for row in figures:
            table.add_row(*row)
        self._console.print(Text(f"\n{title}", "bold"))
        self._console.print(Padding(table, (0, 0, 0, 2)))

    def show_link(self, url: str, *, gives_more: bool) -> None:
        """The one thing to open; never broken over lines.

        Args:
            url: opens once.
            gives_more: whether Enter is heard, and gives another.
        """
        self._console.print(Text(f"\n    {url}\n", "bold underline"), soft_wrap=True)
        self._console.print(
            "The link opens once, on this machine only: the live picture, the notices, the owner's stop button."
        )
        if gives_more:
            self._console.print("Enter gives another link: a page that was closed or reloaded needs one.")
        self._console.print(Text("Ctrl-C ends everything and leaves nothing behind.\n", "dim"))

    def elapsed_s(self) -> float:
        return time.monotonic() - self.began_s
