"""A result as people read it in a terminal."""

from rich.console import Console
from rich.table import Table

from bench.figures import Result
from bench.machine import load_before, this_machine


def show(result: Result, console: Console) -> None:
    """A table, and a line each on what was measured, where, and how far it lies apart."""
    table = Table(title=result.command, title_justify="left")
    for column, justify in (("figure", "left"), ("value", "right"), ("target", "right"), ("met", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]  # rich's own literals
    for name, value in result.figures.items():
        table.add_row(name, f"{value:g}", str(result.targets.get(name, "")), result.verdict(name).strip("*"))
    console.print(table)
    console.print(f"{result.measured}.", soft_wrap=True)
    for name, value in result.conditions.items():
        console.print(f"{name.replace('_', ' ')}: {value}", soft_wrap=True)
    console.print(f"spread: {result.spread}", soft_wrap=True)
    console.print(f"machine: {this_machine()}; load {load_before()}", soft_wrap=True)
