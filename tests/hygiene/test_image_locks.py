"""What each image installs: of the runtime set, and no more than its own packages ask for."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
ROOT = REQUIREMENTS.parent
SERVICES = ("registry", "access-policy", "audit", "ingest", "relay")
IMAGES = (*SERVICES, "feedgate", "tools")
STAGE = re.compile(r"^FROM \S+ AS (\S+)$", re.MULTILINE)
INSTALLED = re.compile(
    r"^RUN deploy/install locked (\S+)\nCOPY --from=ours /wheels /wheels\nRUN deploy/install ours (.+)$",
    re.MULTILINE,
)
FOREIGN = {"cv2": "opencv-python-headless", "av": "av"}


def locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """A lock's lines by package and marker: version, hashes."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for entry in re.split(r"\n(?=[a-z])", (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").strip()):
        match = re.match(r"([a-z0-9.-]+)(?:\[[^]]*\])?==(\S+)(?: ; (.*?))? \\\n", entry)
        assert match, entry.splitlines()[0]
        found[f"{match[1]} {match[3] or ''}".strip()] = (
            match[2],
            frozenset(re.findall(r"sha256:\w+", entry)),
        )
    return found


def packages(name: str) -> set[str]:
    return {entry.partition(" ")[0] for entry in locked(name)}


def asked_by(package: str) -> Iterator[str]:
    """What one of our packages asks for, ours included, normalised."""
    for pyproject in (
        ROOT / "proto/pyproject.toml",
        ROOT / "tools/pyproject.toml",
        *ROOT.glob("[a-z]*/*/pyproject.toml"),
    ):
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        if project["name"] == package:
            for requirement in project["dependencies"]:
                match = re.match(r"[A-Za-z0-9._-]+", requirement)
                assert match
                yield match[0].lower().replace("_", "-")


@pytest.mark.parametrize("image", [*IMAGES, "build"])
def test_a_lock_holds_lines_of_the_runtime_set_to_the_letter(image: str) -> None:
    runtime = {name: (version, hashes) for (name, (version, hashes)) in locked("runtime").items()}
    versions = {(name.partition(" ")[0], version): hashes for name, (version, hashes) in runtime.items()}
    assert locked(image), "empty"
    for name, (version, hashes) in locked(image).items():
        assert versions.get((name.partition(" ")[0], version)) == hashes, (
            f"{name}=={version}: `make lock-images`"
        )


@pytest.mark.parametrize("image", IMAGES)
def test_a_lock_has_what_the_packages_of_its_image_ask_for(image: str) -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    ours = {name.replace("_", "-") for name in dict(INSTALLED.findall(dockerfile))[image].split()}
    asked = {requirement for package in ours for requirement in asked_by(package)}
    assert {name for name in asked if name.startswith("feedgate")} <= ours
    assert {name for name in asked if not name.startswith("feedgate")} <= packages(image)


def test_every_image_is_a_target() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert set(IMAGES) <= set(STAGE.findall(dockerfile))


def test_only_the_tools_look_at_pixels_and_only_those_who_may_know_video() -> None:
    assert [image for image in IMAGES if FOREIGN["cv2"] in packages(image)] == ["tools"]
    assert [image for image in IMAGES if FOREIGN["av"] in packages(image)] == [
        "ingest",
        "relay",
        "feedgate",
        "tools",
    ]


@pytest.mark.parametrize("image", SERVICES)
def test_no_service_has_the_means_to_build_or_to_install(image: str) -> None:
    assert not packages(image) & {"pip", "uv", "hatchling", "setuptools", "wheel", "editables"}
