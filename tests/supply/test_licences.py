"""Nothing is installed under a licence that is unknown or that we cannot pass on."""

import json
import subprocess
import sys
import tomllib
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest

from tests.supply.licences import IMAGES, ROOT, UnknownLicenceError, licence_of, page, parts, refused


@pytest.mark.parametrize("image", IMAGES)
def test_every_package_of_an_image_is_under_an_allowed_licence(image: str) -> None:
    found = list(parts(image))
    assert len(found) > 20
    assert {part.name: refused(part.licence) for part in found if refused(part.licence)} == {}


def test_the_page_is_as_it_would_be_made_now() -> None:
    assert (ROOT / "docs/ref/licences.md").read_text(encoding="utf-8") == page(), "make licences"


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("MIT", []),
        ("MIT AND PSF-2.0", []),
        ("Apache-2.0 OR GPL-3.0-only", []),
        ("GPL-3.0-only", ["GPL-3.0-only"]),
        ("MIT AND AGPL-3.0-only", ["AGPL-3.0-only"]),
    ],
)
def test_of_alternatives_one_that_is_allowed_is_enough(expression: str, wrong: list[str]) -> None:
    assert refused(expression) == wrong


class Described:
    """A distribution that says only this of itself."""

    name = "some-package"

    def __init__(self, **headers: str) -> None:
        self.metadata = Message()
        for name, value in headers.items():
            self.metadata[name.replace("_", "-")] = value


@pytest.mark.parametrize(
    ("described", "licence"),
    [
        (Described(License_Expression="MIT OR Apache-2.0"), "MIT OR Apache-2.0"),
        (Described(License="3-Clause BSD License"), "BSD-3-Clause"),
        (Described(Classifier="License :: OSI Approved :: MIT License"), "MIT"),
    ],
)
def test_a_licence_is_told_from_what_metadata_say(described: Described, licence: str) -> None:
    assert licence_of(cast("Any", described)) == licence


@pytest.mark.parametrize(
    "described", [Described(), Described(License="see LICENSE"), Described(Classifier="Topic :: Video")]
)
def test_silence_is_no_licence(described: Described) -> None:
    with pytest.raises(UnknownLicenceError):
        licence_of(cast("Any", described))


PYPROJECTS = {"feedgate": ROOT / "apps/feedgate/pyproject.toml", "tools": ROOT / "tools/pyproject.toml"}
"""Of the images that are no service's."""


@pytest.mark.parametrize("image", IMAGES)
def test_a_bill_of_materials_names_every_locked_package_with_its_hashes(tmp_path: Path, image: str) -> None:
    file = tmp_path / f"{image}.cdx.json"
    pyproject = PYPROJECTS.get(image, ROOT / f"services/{image}/pyproject.toml")
    subprocess.run(
        [
            *(
                Path(sys.executable).parent / "cyclonedx-py",
                "requirements",
                ROOT / f"requirements/{image}.txt",
            ),
            *("--pyproject", pyproject, "--mc-type", "application"),
            *("--output-reproducible", "--output-format", "JSON", "--output-file", file),
        ],
        check=True,
        capture_output=True,
    )
    bill = json.loads(file.read_text(encoding="utf-8"))
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    assert bill["metadata"]["component"]["name"] == project["name"]
    listed = {(component["name"], component["version"]) for component in bill["components"]}
    assert {(part.name, part.version) for part in parts(image)} <= listed
    for component in bill["components"]:
        hashes = [
            hash_ for reference in component["externalReferences"] for hash_ in reference.get("hashes", [])
        ]
        assert hashes, component["name"]
