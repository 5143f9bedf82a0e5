"""Names that hide who somebody is, the same way everywhere."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from feedgate_kit.identity import REALM_ROLES, operator_pseudonym, owner_key

SECRET = b"a secret of the deployment, 32 b."


def test_an_owners_key_is_the_same_wherever_it_is_computed() -> None:
    # Fixed: services of different versions must agree on it.
    assert owner_key(SECRET, "https://login.example/owners", "ana") == (
        "a0f308642151853ff3b6a3278696e2ba3d234b34265965a5d8d40a1e74458ac7"
    )
    assert operator_pseudonym(SECRET, "https://login.example/metro", "officer-7") == "op-185472f41785793b"


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), unique=True, max_size=8))
def test_two_people_never_share_a_name(people: list[tuple[str, str]]) -> None:
    keys = {owner_key(SECRET, issuer, subject) for issuer, subject in people}
    assert len(keys) == len(people)


def test_another_secret_gives_another_name_and_owner_and_operator_differ() -> None:
    assert owner_key(SECRET, "i", "s") != owner_key(SECRET + b"!", "i", "s")
    assert operator_pseudonym(SECRET, "i", "s")[3:] != owner_key(SECRET, "i", "s")[:16]


def test_no_role_is_in_two_realms() -> None:
    for one, other in combinations(REALM_ROLES.values(), 2):
        assert one.isdisjoint(other)
