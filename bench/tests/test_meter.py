import os

from bench.meter import Reading, cpu_seconds, rss_mib


def test_user_and_system_time_are_added() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    stat = f"12 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 {3 * ticks} {2 * ticks} 0 0 20 0"
    assert cpu_seconds(stat) == 5.0


def test_percent_is_of_one_core() -> None:
    assert Reading(12.0, 4.0).percent_since(Reading(10.0, 1.0)) == 150.0


def test_this_process_can_be_read() -> None:
    assert Reading.of(os.getpid()).cpu_s > 0
    assert rss_mib(os.getpid()) > 1
