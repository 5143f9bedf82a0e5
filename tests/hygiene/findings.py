"""What must never be committed: where packages come from, machine paths, private keys."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that a committed line must not hold."""

    says: str
    pattern: re.Pattern[str]
    only_in: re.Pattern[str] = re.compile("")


LOCKS = re.compile(r"(^|/)(requirements/.*\.(in|txt)|package-lock\.json|uv\.lock|go\.sum|Cargo\.lock)$")

RULES = (
    Rule(
        "a package registry's host: whoever installs chooses their own",
        re.compile(
            r"pythonhosted\.org|\bpypi\.org|npmjs\.(org|com)|repo\d*\.maven\.(org|apache\.org)"
            r"|proxy\.golang\.org|static\.crates\.io|index\.crates\.io"
        ),
    ),
    Rule(
        "a choice of package registry: it belongs to the machine",
        re.compile(
            r"--(extra-)?index-url\b|--(find)-links\b|--(trusted)-host\b|\b(PIP|UV)_(DEFAULT_)?INDEX(_URL)?\b"
        ),
    ),
    Rule("a download address in a lock", re.compile(r"\bhttps?://|\bgit\+"), only_in=LOCKS),
    Rule("a path of one machine", re.compile(r"(?<![\w.$}/-])/(root|home|Users|work|workspace)/\w")),
    Rule("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    Rule("a private key", re.compile(r"""["']kty["'].*["']d["']\s*:\s*["'][\w-]{20}""")),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line that must not be committed. It does not repeat the line, which may be secret."""

    path: PurePosixPath
    line: int
    says: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.says}"


def findings(root: Path, paths: Iterator[PurePosixPath]) -> Iterator[Finding]:
    """What the text files among `paths`, relative to `root`, hold against the rules."""
    for path in paths:
        content = (root / path).read_bytes()
        if b"\0" not in content:
            yield from findings_in(path, content.decode("utf-8", errors="replace"))


def findings_in(path: PurePosixPath, text: str) -> Iterator[Finding]:
    rules = [rule for rule in RULES if rule.only_in.search(str(path))]
    for number, line in enumerate(text.splitlines(), start=1):
        for rule in rules:
            if rule.pattern.search(line):
                yield Finding(path, number, rule.says)
