"""Every dashboard, in the order to look at them, and the file each is in."""

from pathlib import Path
from typing import Final

from deploy.grafana import machines, obeyed, pictures, rights
from deploy.grafana.board import Board, drawn

BOARDS: Final[tuple[Board, ...]] = (obeyed.BOARD, pictures.BOARD, rights.BOARD, machines.BOARD)
FOLDER: Final = Path(__file__).with_name("dashboards")


def files() -> dict[Path, str]:
    """What every file holds."""
    return {FOLDER / f"{board.uid.removeprefix('feedgate-')}.json": drawn(board) for board in BOARDS}
