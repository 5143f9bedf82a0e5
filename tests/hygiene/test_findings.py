"""The search for what must not be committed finds it, and nothing else."""

from pathlib import Path, PurePosixPath

import pytest

from tests.hygiene.findings import findings_in

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"

# Written in two parts, or this file would be found itself.
FORBIDDEN = [
    pytest.param("README.md", "see https://py" + "pi.org/project/av", id="a registry"),
    pytest.param("Dockerfile", "RUN pip install --extra-" + "index-url=$URL av", id="a choice of registry"),
    pytest.param("requirements/dev.txt", "av @ https" + "://example.test/av.whl", id="an address in a lock"),
    pytest.param("tests/test_it.py", 'open("/' + 'root/notes")', id="a machine path"),
    pytest.param("deploy/key.pem", "-----BEGIN " + "PRIVATE KEY-----", id="a private key"),
    pytest.param("deploy/key.pem", "-----BEGIN RSA " + "PRIVATE KEY-----", id="an RSA key"),
    pytest.param("key.json", '{"kty": "OKP", "d": "' + "A" * 43 + '"}', id="a private JWK"),
]


@pytest.mark.parametrize(("path", "line"), FORBIDDEN)
def test_a_forbidden_line_is_found_with_its_place(path: str, line: str) -> None:
    (found,) = findings_in(PurePosixPath(path), f"first\n{line}\n")
    assert str(found).startswith(f"{path}:2: ")
    assert line not in str(found)


@pytest.mark.parametrize(
    "line",
    [
        "https://www.apache.org/licenses/LICENSE-2.0",
        "rtsp://127.0.0.1:8554/work/live",
        '@app.get("/registry/v1/cameras")',
        "-----BEGIN PUBLIC KEY-----",
        '{"kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}',
    ],
)
def test_an_ordinary_line_is_not(line: str) -> None:
    assert list(findings_in(PurePosixPath("README.md"), line)) == []


def test_what_the_demo_runs_is_what_the_tests_ran() -> None:
    runtime, dev = (
        {line.split(" ")[0] for line in Path(REQUIREMENTS, name).read_text().splitlines() if "==" in line}
        for name in ("runtime.txt", "dev.txt")
    )
    assert runtime <= dev
