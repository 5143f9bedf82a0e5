"""The police agencies a deployment knows: a data file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feedgate_kit.errors import ONE_BOX_PAGE, OperatorError
from feedgate_kit.wrong_values import wrong_entry

AgencyId = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$")]
"""Lower-case letters, digits and hyphens, at most 48: it ends the name of the agency's topic."""


Acr = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,120}$")]
"""A value of the claim `acr`: printable ASCII without spaces, `"` and `\\`, so that it can stand in a challenge."""


class AgenciesError(OperatorError):
    """The list of agencies cannot be used."""

    page = ONE_BOX_PAGE


class Agency(BaseModel):
    """One agency."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    id: AgencyId
    name: str = Field(min_length=1, max_length=120)
    """As owners read it when they decide whom to let look."""
    jurisdiction: str = Field(pattern=r"^[A-Z]{2}(?:-[A-Z0-9]{1,8})*$")
    """The legal pack it acts under, e.g. `AR-B`."""
    issuer: str = Field(min_length=1)
    """The OIDC issuer of its people."""
    acr: tuple[Acr, ...] = ()
    """How its people must have signed in to approve or to watch: one of these `acr` values of that issuer
    (OIDC Core §2), e.g. `[mfa]`. Left out: any way it signs them in."""


def load_agencies(path: Path) -> Mapping[str, Agency]:
    """The agencies in a YAML file that holds a list of them, by id, in the file's order.

    Raises:
        AgenciesError: the file cannot be read or an entry is not an agency; names the file and the entry.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        cause = " ".join(str(error).split())
        raise AgenciesError(
            f"agencies file `{path}` cannot be read: {cause}; allowed: a YAML list of agencies"
        ) from error
    if not isinstance(entries, list) or not entries:
        raise AgenciesError(f"agencies file `{path}` holds none; allowed: a list of one or more agencies")
    agencies: dict[str, Agency] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            agency = Agency.model_validate(entry)
        except ValidationError as error:
            wrong = wrong_entry(error, Agency.model_fields)
            raise AgenciesError(f"agencies file `{path}`, entry {number}{wrong}") from error
        if agency.id in agencies:
            raise AgenciesError(
                f"agencies file `{path}`, entry {number}: `{agency.id}` is named twice; allowed: once"
            )
        agencies[agency.id] = agency
    return agencies
