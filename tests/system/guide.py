"""The examples in the guides, as something a test can run."""

import argparse
import asyncio
import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

import httpx

from tests.servers.machine import REPOSITORY

ELLIPSIS = "…"
"""In an answer: something is here that the page leaves out."""

SETTLED_WITHIN_S = 20.0
"""Services tell each other over the bus, in their own time."""

_FENCE = re.compile(r"^```(?P<language>\w+)?(?P<words>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
_HERE_DOCUMENT = re.compile(r"^(?P<command>.*) <<END\n(?P<body>.*)\nEND$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    words: str  # what follows the language on its line
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """A command of the page, the answer shown below it, and what the page keeps of it."""

    command: str
    answer: Any  # None where the page shows none
    keeps: Mapping[str, str]  # variable to path in the answer


def page(name: str) -> str:
    """The text of a page in docs/guide."""
    return (REPOSITORY / "docs" / "guide" / name).read_text(encoding="utf-8")


def sections(name: str) -> dict[str, str]:
    """The text below each heading of a page in docs/guide."""
    parts = _SECTION.split(page(name))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a text."""
    return [
        Block(match["language"] or "", match["words"].strip(), match["text"].rstrip("\n"))
        for match in _FENCE.finditer(text)
    ]


def examples(text: str) -> Iterator[Example]:
    """The `curl` commands of a text."""
    found = blocks(text)
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language != "sh" or not block.text.startswith("curl "):
            continue
        answer, keeps = None, {}
        if following is not None and following.language == "json":
            answer = json.loads(following.text)
            keeps = dict(pair.split("=", 1) for pair in following.words.split())
        yield Example(block.text, answer, keeps)


async def run(example: Example, variables: dict[str, str], http: httpx.AsyncClient) -> None:
    """Do what the command says, compare the answer with the one shown, keep what the page keeps.

    Raises:
        AssertionError: the answer is another one.
    """
    request = request_of(example.command, variables)
    until_s = time.monotonic() + SETTLED_WITHIN_S
    while True:
        answer = await http.request(**request)
        body = answer.json() if answer.content else None
        differs = difference(example.answer, body, answer)
        if differs is None:
            break
        # Only reading may be repeated: what was asked for is on its way.
        if request["method"] != "GET" or time.monotonic() > until_s:
            raise AssertionError(f"{example.command}\n{differs}\nanswer: {answer.text}")
        await asyncio.sleep(0.05)
    for variable, path in example.keeps.items():
        variables[variable] = str(_at(body, path))


def request_of(command: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """What `curl` would send: the options the guides use, with the variables filled in as a shell does."""
    here = _HERE_DOCUMENT.match(command)
    line, body = (here["command"], here["body"]) if here else (command, None)
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("--json")
    parser.add_argument("url")
    given = parser.parse_args(shlex.split(Template(line).substitute(variables))[1:])
    if given.json == "@-":
        assert body is not None, command
        given.json = Template(body).substitute(variables)
    headers = dict(header.split(": ", 1) for header in given.headers)
    if given.json is not None:
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    return {
        "method": given.method or ("GET" if given.json is None else "POST"),
        "url": given.url,
        "headers": headers,
        "content": given.json,
    }


def difference(shown: Any, seen: Any, answer: httpx.Response) -> str | None:
    """Where the answer is not as shown; None if it is, or if none is shown and it is no refusal."""
    if shown is None:
        return f"status {answer.status_code}" if answer.is_error else None
    if answer.is_error and not (isinstance(shown, dict) and shown.get("status") == answer.status_code):
        return f"status {answer.status_code}"
    return _difference(shown, seen, "")


def _difference(shown: Any, seen: Any, path: str) -> str | None:
    """Shown is a part of seen: of an object some members, of a list the entries that are in it, in order."""
    if isinstance(shown, dict) and isinstance(seen, dict):
        return _first(
            f"`{path}.{name}` is not there"
            if name not in seen
            else _difference(value, seen[name], f"{path}.{name}")
            for name, value in shown.items()
        )
    if isinstance(shown, list) and isinstance(seen, list):
        left = iter(seen)
        return _first(
            None
            if any(_difference(value, candidate, "") is None for candidate in left)
            else f"`{path}.{number}` is not there"
            for number, value in enumerate(shown)
        )
    is_as_shown = shown == seen or (isinstance(shown, str) and ELLIPSIS in shown)
    return None if is_as_shown else f"`{path}` is {seen!r}; shown {shown!r}"


def _first(found: Iterator[str | None]) -> str | None:
    return next((difference for difference in found if difference is not None), None)


def _at(body: Any, path: str) -> Any:
    for step in path.split("."):
        body = body[int(step) if isinstance(body, list) else step]
    return body
