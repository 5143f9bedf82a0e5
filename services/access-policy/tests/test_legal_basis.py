from typing import Any

import pytest

from feedgate_access_policy.legal_basis import LegalBasis

HOUR_US = 3_600_000_000
ROW: dict[str, Any] = {
    "jurisdiction": "XX",
    "basis_code": "XX.1",
    "side": "acquire",
    "use_when": "-",
    "required_evidence": ["case_ref"],
    "approver": "-",
    "max_live": "-",
    "retention": "-",
    "owner_notice": "-",
    "reporting": "-",
    "verified": "-",
    "sources": [],
}


@pytest.mark.parametrize(
    ("fields", "hours"),
    [
        pytest.param({}, 0, id="no modes and no live_initial: no live"),
        pytest.param({"live_initial": "PT30M"}, 0.5, id="no modes: live for live_initial"),
        pytest.param({"live_initial": "P1D"}, 1, id="never longer than the packs' own limit"),
        pytest.param({"allow_modes": ["recorded"], "live_initial": "PT1H"}, 0, id="recorded only"),
        pytest.param({"allow_modes": [], "live_initial": "PT1H"}, 0, id="no mode at all"),
        pytest.param({"allow_modes": ["live"]}, 1, id="live by name: the packs' own limit"),
        pytest.param({"allow_modes": ["live"], "live_cap": "PT0S"}, 0, id="capped to nothing"),
        pytest.param({"live_initial": "PT1H", "live_cap": "PT15M"}, 0.25, id="capped"),
        pytest.param({"live_initial": "PT1H", "live_law": "PT10M"}, 1 / 6, id="the law's own time"),
        pytest.param({"side": "safeguard", "live_initial": "PT1H"}, 0, id="a duty is no basis"),
        pytest.param({"side": "forbid", "live_initial": "PT1H"}, 0, id="a prohibition is no basis"),
    ],
)
def test_live_is_allowed_for_as_long_as_the_row_says(fields: dict[str, Any], hours: float) -> None:
    assert LegalBasis.model_validate(ROW | fields).live_us(HOUR_US) == hours * HOUR_US
