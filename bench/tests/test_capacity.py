import pytest

from bench.capacity import (
    BUSY,
    CONSTANTS,
    Assumed,
    ConstantMissingError,
    deployments,
    fetched,
    most_registered,
    most_watched,
    needs,
    read_constants,
    relay_percent,
    runs_of_constants,
    share_of,
    views_of_a_relay,
)
from bench.capacity_page import FILE, capacity_page, own_numbers
from bench.results import FILE as RESULTS

SIMPLE = dict.fromkeys((constant.name for constant in CONSTANTS), 1.0) | {
    "relay_idle": 2.0,
    "relay_cpu": 1.0,
    "foreign_cpu": 0.1,
    "media_bytes": 1e9 / 8,  # 1 Gb/s
    "relay_empty_ms": 1_000.0,
    "relay_full_ms": 2_000.0,
}


def results_of(values: dict[str, float]) -> str:
    rows = [
        f"| `{each.command} --x 1` | `{each.figure}` | {values[each.name]:g} |  |  |" for each in CONSTANTS
    ]
    runs = [
        f"## `{command}`\n\nWhat.\n\n- spread: some\n- run: {run_of(command)}\n"
        for command in dict.fromkeys(f"{each.command} --x 1" for each in CONSTANTS)
    ]
    head = ["- machine: some", "- last run: commit `last`", "| bench | figure | value | target | met |"]
    return "\n".join([*head, *rows, "", *runs])


def run_of(command: str) -> str:
    return f"commit `of {command.split(maxsplit=1)[0]}`, 2026-01-02 03:04 UTC, load 0.1 before and 2.5 at the end"


def test_the_committed_page_is_what_the_committed_results_make() -> None:
    page = capacity_page(RESULTS.read_text(encoding="utf-8"))
    assert FILE.read_text(encoding="utf-8") == page, "`python -m bench capacity` writes it"


def test_constants_are_read_where_benches_wrote_them() -> None:
    assert read_constants(results_of(SIMPLE)) == SIMPLE


def test_of_ingest_the_run_into_kafka_counts_whichever_was_last() -> None:
    rows = results_of(SIMPLE)
    kafka = "| `ingest --bus kafka` | `rss_mib_per_camera` | 9 |  |  |"
    embedded = "| `ingest --bus embedded` | `rss_mib_per_camera` | 7 |  |  |"
    assert read_constants("\n".join([rows, kafka, embedded]))["ingest_mib"] == 9


def test_a_bench_that_was_not_run_is_named() -> None:
    page = "\n".join(line for line in results_of(SIMPLE).splitlines() if "`load" not in line)
    with pytest.raises(ConstantMissingError, match=r"of `load` is not in bench/RESULTS\.md"):
        read_constants(page)


def test_the_page_says_of_each_bench_when_it_was_run_and_nothing_of_the_last_one() -> None:
    runs = runs_of_constants(results_of(SIMPLE))
    assert list(runs) == [
        "load --x 1",
        "ingest --bus kafka --x 1",
        "agencies --x 1",
        "fanout --x 1",
        "start --x 1",
        "rows --x 1",
    ]
    page = capacity_page(results_of(SIMPLE))
    for command in runs:
        assert f"- `{command}`: {run_of(command)}" in page
    assert "`last`" not in page


def test_a_bench_that_does_not_say_when_it_was_run_is_named() -> None:
    page = results_of(SIMPLE).replace("## `rows --x 1`", "## `rows --x 2`")
    with pytest.raises(ConstantMissingError, match="does not say when `rows --x 1` was run"):
        runs_of_constants(page)


def test_a_relay_reads_its_own_cameras_and_those_of_others_in_the_same_partitions() -> None:
    assert fetched(8, 16) == 8, "all are its own"
    assert fetched(25, 1) == pytest.approx(1 + 24 / 24)
    assert fetched(87, 50) == pytest.approx(50 + 37 * 0.88093, abs=0.001)  # (23/24)^50 is 0.11907
    assert fetched(1_000, 500) == pytest.approx(1_000, rel=1e-6)


def test_a_relay_uses_what_it_does_when_idle_and_for_its_views_and_for_others_cameras() -> None:
    assert relay_percent(SIMPLE, 25, 1) == pytest.approx(2 + 1 + 0.1)
    assert relay_percent(SIMPLE, 8, 16) == pytest.approx(2 + 16), "none is another's"


def test_a_relay_is_filled_by_its_views_and_by_what_it_reads_for_nobody() -> None:
    alone, beside_others = views_of_a_relay(SIMPLE, 10), views_of_a_relay(SIMPLE, 350)
    assert alone == 68  # at 1 % each, 70 % busy, 2 % of it idle
    assert beside_others < alone
    assert (
        relay_percent(SIMPLE, 350, beside_others)
        <= 100 * BUSY
        < relay_percent(SIMPLE, 350, beside_others + 1)
    )


def test_where_others_cameras_take_half_of_a_relay_the_cameras_are_divided() -> None:
    assert most_watched(SIMPLE) == 340  # half of 68 % at 0.1 % each
    assert deployments(SIMPLE, Assumed(34_000)) == 1
    assert deployments(SIMPLE, Assumed(34_001)) == 2
    assert share_of(Assumed(1_000_000), 30).watched <= 340


def test_what_is_extrapolated_lies_on_the_line_through_what_was_measured() -> None:
    one, ten = (needs(SIMPLE, Assumed(cameras)).ready_ms["relay"] for cameras in (100_000, 1_000_000))
    assert (one, ten) == (2_000, 11_000)
    assert most_registered(SIMPLE) == 200_000


def test_a_camera_that_is_watched_costs_each_broker_its_pictures_and_the_relays_a_copy_each() -> None:
    need = needs(SIMPLE, Assumed(800, watched_share=0.01, viewers_per_camera=1))
    assert need.media_gbit_s == need.broker_in_gbit_s == pytest.approx(8)
    assert need.relay_in_gbit_s == pytest.approx(8)
    assert need.relays == 2, "one and a spare one"
    assert need.broker_out_gbit_s == pytest.approx((2 * 8 + 2 * 8) / 3)


def test_brokers_need_cores_when_nobody_looks_too() -> None:
    constants = SIMPLE | {"brokers_idle": 27.0, "brokers_cpu": 4.0}
    assert needs(constants, Assumed(10_000)).broker_cores == pytest.approx((27 + 100 * 4) / 70)


def test_of_what_two_benches_measured_of_ingest_the_worse_counts_and_idle_is_not_there_for_cameras() -> None:
    constants = SIMPLE | {"ingest_idle": 10.0}
    for ingest in ({"ingest_cpu": 3.0}, {"ingest_cpu_of_more": 3.0}):
        assert needs(constants | ingest, Assumed(10_000)).ingest_workers == 5 + 1  # 300 % over 60 %


def test_each_relay_that_shows_a_camera_writes_its_own_frame_events() -> None:
    bytes_of_one = (
        0.25 * 100 * (259_200 + 3_600 + 10)
    )  # a byte a second of 100 cameras, 72 h and 1 h and a check
    for viewers, writers in ((1, 1), (2, 2), (3, 3)):
        need = needs(SIMPLE | {"agency_bytes": 2.0**30}, Assumed(10_000, viewers_per_camera=viewers))
        assert need.relays >= writers
        assert need.agency_gib == pytest.approx(writers * bytes_of_one)
    need = needs(SIMPLE | {"agency_bytes": 2.0**30}, Assumed(800, viewers_per_camera=5))
    assert need.relays == 2
    assert need.agency_gib == pytest.approx(2 * 0.25 * 8 * 262_810), "no more relays than there are"


def test_audit_records_lie_in_their_topics_for_two_weeks_and_a_day() -> None:
    constants = SIMPLE | {"audit_records": 10.0, "audit_topic_record": 2.0**30, "audit_row": 2.0**30}
    need = needs(constants, Assumed(800, viewers_per_camera=2))
    # 48 grants with two views each, and a record every 10 s of four views
    a_day = 48 * (10 + 2 * 2 + 2) + 16 * 0.25 * 8_640
    assert need.audit_topics_gib == pytest.approx(a_day * (15 + 10 / 86_400))
    assert need.audit_gib == pytest.approx(a_day * 365)


def test_a_small_deployment_is_looked_at_whole() -> None:
    assert Assumed(5).watched == 5
    assert Assumed(100).watched == 8
    assert Assumed(10_000).watched == 100


def test_own_numbers_are_the_pages_arithmetic() -> None:
    lines = own_numbers(results_of(SIMPLE), Assumed(10_000))
    assert lines["deployments"] == "1"
    assert lines["asked of each deployment: looked at at once"] == "100"
