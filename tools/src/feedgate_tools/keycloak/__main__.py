"""Writes the realms' files: `python -m feedgate_tools.keycloak deploy/keycloak`."""

from pathlib import Path
from typing import Annotated

import typer

from feedgate_tools.keycloak.realms import plans, realm_file


def write(
    folder: Annotated[Path, typer.Argument(help="Gets `realms/`, and `demo/` with users for a demo.")],
    agency: Annotated[
        str, typer.Option(help="Id of the agency, as the agencies file has it.")
    ] = "metro-police",
) -> None:
    """Write a file per realm, for Keycloak's import."""
    for name, demo in (("realms", False), ("demo", True)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for plan in plans(agency):
            (folder / name / f"{plan.name}.json").write_text(realm_file(plan, demo=demo), encoding="utf-8")


if __name__ == "__main__":
    typer.run(write)
