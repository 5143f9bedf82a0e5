"""After a restore a grant is closed if it was closed, under a version that relays take."""

from dataclasses import replace

import pytest

from feedgate_access_policy.grant import Grant
from feedgate_access_policy.restored import GrantPublished, closed, event_of, restored
from feedgate_contracts.grant.v1 import grant_pb2
from feedgate_kit.published import LOST_IN_RESTORE, Published

NOW_US = 1_000_000
GRANT = Grant(
    grant_id="grant-1",
    version=1,
    request_id="request-1",
    camera_id="camera-1",
    authorisation_id="auth-1",
    agency="policia-sur",
    operators=("op-1",),
    approver="op-2",
    rendition="original",
    conditions=(),
    purpose="investigate",
    basis_codes=("AR.25326.23-2",),
    owner="owner-hash",
    opens_at_us=1,
    not_after_us=9_000_000,
    created_at_us=1,
)
CLOSED = GRANT.closed("authorisation_withdrawn", 5)


def published(grant: Grant) -> GrantPublished:
    return Published(4, replace(grant, version=4).to_state())


@pytest.mark.parametrize(
    ("backup", "said", "after", "event"),
    [
        pytest.param(
            GRANT,
            published(CLOSED),
            replace(CLOSED, version=5, closed_at_us=NOW_US),
            "grant.closed",
            id="closed since, with its reason",
        ),
        pytest.param(
            GRANT,
            published(replace(GRANT, not_after_us=3_000_000)),
            replace(GRANT, version=5, not_after_us=3_000_000),
            "grant.tightened",
            id="tightened since",
        ),
        pytest.param(
            GRANT,
            published(replace(GRANT, not_after_us=9_999_999)),
            replace(GRANT, version=5),
            "grant.restored",
            id="never longer",
        ),
        pytest.param(
            CLOSED, published(GRANT), replace(CLOSED, version=5), "grant.restored", id="never reopened"
        ),
        pytest.param(
            GRANT,
            Published(4, None),
            replace(GRANT, version=5, closed_reason=LOST_IN_RESTORE, closed_at_us=NOW_US),
            "grant.closed",
            id="unreadable shows nothing",
        ),
        pytest.param(
            GRANT,
            Published(4, grant_pb2.GrantState()),
            replace(GRANT, version=5, closed_reason=LOST_IN_RESTORE, closed_at_us=NOW_US),
            "grant.closed",
            id="a phase of nobody's",
        ),
    ],
)
def test_the_topic_wins_where_it_shows_less(
    backup: Grant, said: GrantPublished, after: Grant, event: str
) -> None:
    assert restored(backup, said, NOW_US) == after
    assert event_of(backup, after) == event


def test_a_grant_the_database_never_heard_of_is_closed() -> None:
    state = closed(GRANT.grant_id, published(GRANT))
    assert state == replace(GRANT, version=5, closed_reason=LOST_IN_RESTORE).to_state()
    assert closed(GRANT.grant_id, published(CLOSED)) is None
    unread = closed("key", Published(4, None))
    assert unread is not None
    assert (unread.grant_id, unread.version, unread.phase) == ("key", 5, grant_pb2.GRANT_PHASE_CLOSED)
