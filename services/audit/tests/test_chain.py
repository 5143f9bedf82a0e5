from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from feedgate_audit.chain import GENESIS, ChainEntry, first_break, link


def chain_of(values: list[bytes]) -> list[ChainEntry]:
    entries: list[ChainEntry] = []
    previous = GENESIS
    for position, value in enumerate(values, start=1):
        entry = link(previous, position, 1_000 + position, "feedgate.audit.v1.AuditRecord", value)
        entries.append(entry)
        previous = entry.hash
    return entries


@given(st.lists(st.binary(max_size=30)))
def test_a_chain_as_it_was_written_is_unbroken(values: list[bytes]) -> None:
    assert first_break(chain_of(values)) is None


@given(st.lists(st.binary(max_size=30), min_size=1), st.data())
def test_an_edited_value_breaks_the_chain_where_it_was_edited(
    values: list[bytes], data: st.DataObject
) -> None:
    entries = chain_of(values)
    edited = data.draw(st.integers(0, len(entries) - 1))
    entries[edited] = replace(entries[edited], value=entries[edited].value + b"!")
    assert first_break(entries) == edited + 1


@given(st.lists(st.binary(max_size=30), min_size=2), st.data())
def test_an_entry_taken_out_breaks_the_chain_where_it_was(values: list[bytes], data: st.DataObject) -> None:
    entries = chain_of(values)
    taken = data.draw(st.integers(0, len(entries) - 2))
    del entries[taken]
    assert first_break(entries) == taken + 1


def test_an_edit_with_its_own_hash_made_anew_breaks_the_chain_after_it() -> None:
    entries = chain_of([b"a", b"b", b"c"])
    edited = entries[1]
    entries[1] = link(
        edited.previous_hash, edited.position, edited.recorded_at_us, edited.type, b"nothing happened"
    )
    assert first_break(entries) == 3


def test_the_same_bytes_under_another_type_are_another_entry() -> None:
    assert link(GENESIS, 1, 0, "a", b"bc").hash != link(GENESIS, 1, 0, "ab", b"c").hash
