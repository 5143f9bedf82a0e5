"""Settings of one box."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from feedgate.effective_settings import KINDS
from feedgate.settings import UpSettings
from feedgate.settings_reference import settings_reference
from feedgate.up import UnbelievedAgencyError, refuse_unbelieved
from feedgate_kit.agencies import Agency
from feedgate_kit.identity import IssuerConfig
from feedgate_kit.settings import SettingsError, load_settings

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FEEDGATE_UP_KAFKA_BOOTSTRAP", "127.0.0.1:9093"),
        ("FEEDGATE_UP_DATABASE_URL", "postgresql+asyncpg://u:p@127.0.0.1/x"),
    ],
)
def test_what_one_box_would_ignore_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        SettingsError,
        match=rf"^{variable}: saw .*one box keeps everything in its data folder \(docs/ref/settings\.md\)$",
    ):
        load_settings(UpSettings)


def test_a_network_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDGATE_UP_ALLOWED_NETWORKS", '["192.168.7.0/33"]')
    with pytest.raises(SettingsError, match=r"^FEEDGATE_UP_ALLOWED_NETWORKS: saw .*192\.168\.7\.0/33"):
        load_settings(UpSettings)


def test_the_origin_is_where_the_box_listens_unless_another_is_set() -> None:
    assert UpSettings().seen_at("http://127.0.0.1:9000").public_origin == "http://127.0.0.1:9000"
    behind_a_gateway = UpSettings(public_origin="https://feedgate.example.org")
    assert behind_a_gateway.seen_at("http://127.0.0.1:9000").public_origin == "https://feedgate.example.org"


ISSUER = "https://id.example.org/realms/metro"
METRO = Agency(id="metro-police", name="Metro Police", jurisdiction="AR", issuer=ISSUER)


@pytest.mark.parametrize(
    ("issuers", "seen"),
    [
        pytest.param([], "none", id="no issuer"),
        pytest.param(
            [("https://id.example.org/other", "metro-police")], "https://id.example.org/other", id="other"
        ),
        pytest.param([(ISSUER, "harbour-police")], "none", id="of another agency"),
    ],
)
def test_an_agency_whose_people_nobody_vouches_for_is_refused(
    issuers: list[tuple[str, str]], seen: str
) -> None:
    configs = [IssuerConfig(issuer=issuer, realm="agency", agency=agency) for issuer, agency in issuers]
    with pytest.raises(UnbelievedAgencyError, match=rf"agency `metro-police` .*`{re.escape(seen)}` for it"):
        refuse_unbelieved({METRO.id: METRO}, configs)


def test_an_agency_with_its_issuer_is_believed() -> None:
    refuse_unbelieved({METRO.id: METRO}, [IssuerConfig(issuer=ISSUER, realm="agency", agency=METRO.id)])


def test_the_page_of_settings_is_current() -> None:
    page = (REPOSITORY / "docs/ref/settings.md").read_text(encoding="utf-8")
    assert page == settings_reference(), "python -m feedgate.settings_reference > docs/ref/settings.md"


def test_every_quantity_says_its_unit() -> None:
    quantities = {
        name
        for kind in KINDS.values()
        for name, field in kind.model_fields.items()
        if field.annotation in {int, float}
    }
    counts = {"most_authorisations", "maximum_views"}
    assert {name for name in quantities if not name.endswith("_s")} - counts == {
        "public_port",
        "internal_port",
    }
    assert "| `SKEW_S` | `0.5` s |" in settings_reference()


def test_every_setting_in_the_guides_is_one() -> None:
    known = {kind.setting_name(field) for kind in KINDS.values() for field in kind.model_fields}
    prefixes = "|".join(kind.setting_name("") for kind in KINDS.values())
    guides = [*(REPOSITORY / "docs/guide").glob("*.md"), REPOSITORY / "README.md"]
    named = {
        match[0]
        for guide in guides
        for match in re.finditer(rf"\b(?:{prefixes})[A-Z_]+", guide.read_text(encoding="utf-8"))
    }
    assert named - known == set()
    assert len(named) >= 35


def test_the_command_says_help_without_importing_a_service() -> None:
    code = (
        "import sys, feedgate.cli, feedgate_tools.demo.cli;"
        "print([name for name in sys.modules if name in {'sqlalchemy', 'fastapi', 'av', 'aiokafka'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
