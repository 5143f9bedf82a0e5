"""What a soak adds up: memory, and pictures sent against pictures received."""

from array import array

import pytest

from tests.faults.recording import Told, ViewRecord
from tests.faults.soak import Accounts, Growth, Soaked, growth_of


def view(received: int, *last_words: str) -> ViewRecord:
    told = [Told(9.0, code, "") for code in last_words]
    return ViewRecord(
        0, "grant", "view-1", 0.0, pictures_s=array("d", range(received)), told=told, closed_s=10.0
    )


def test_growth_is_from_the_second_third_to_the_last_whatever_the_first_was() -> None:
    samples = [1.0, 2.0, 3.0, 100.0, 100.0, 400.0, 104.0, 106.0, 105.0]
    assert growth_of(samples) == Growth(second_mib=100.0, last_mib=105.0)
    assert growth_of(samples).ratio == pytest.approx(1.05)


def test_a_process_that_grows_by_more_than_a_twentieth_is_found() -> None:
    memory_mib = {"relay": [90.0, 100.0, 106.0], "audit": [90.0, 100.0, 104.9]}
    soaked = Soaked([], memory_mib, Accounts())
    assert soaked.findings == ["relay grew from 100 to 106 MiB"]


def test_what_was_sent_into_a_broken_connection_is_counted() -> None:
    accounts = Accounts()
    accounts.add(view(10, "stopped"), sent=10, relay_struck=True)
    accounts.add(view(7), sent=10, relay_struck=True)
    assert str(accounts) == (
        "20 pictures sent, 17 received, 3 in connections that a fault had broken, 0 cut off with their view;"
        " 0 views unexplained"
    )
    assert accounts.unexplained == []


def test_what_was_taken_back_from_a_socket_at_a_stop_is_counted() -> None:
    accounts = Accounts()
    stopped = view(8, "stopped")
    stopped.cut_off = True
    accounts.add(stopped, sent=10, relay_struck=True)
    assert (accounts.cut_off, accounts.unexplained) == (2, [])
    accounts.add(stopped, sent=20, relay_struck=False)
    assert accounts.unexplained == ["view view-1: 20 pictures sent, 8 received"]


@pytest.mark.parametrize(
    ("received", "words", "struck"),
    [(9, ["stopped"], True), (9, [], False), (11, [], True), (11, ["stopped"], True)],
)
def test_a_picture_too_few_in_a_view_that_ended_well_or_one_too_many_is_found(
    received: int, words: list[str], struck: bool
) -> None:
    accounts = Accounts()
    accounts.add(view(received, *words), sent=10, relay_struck=struck)
    assert accounts.unexplained == [f"view view-1: 10 pictures sent, {received} received"]
