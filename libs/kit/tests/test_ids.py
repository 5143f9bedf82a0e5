"""Identifiers sort by the time they were made."""

from uuid import UUID

from feedgate_kit.ids import new_id, new_run


def test_ids_are_version_7_sorted_and_never_the_same() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert all(UUID(made).version == 7 and made == str(UUID(made)) for made in ids)


def test_runs_are_the_same_as_bytes() -> None:
    runs = [new_run() for _ in range(1000)]
    assert runs == sorted(set(runs))
    assert all(len(run) == 16 and UUID(bytes=run).version == 7 for run in runs)
