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
    partitions_of,
    read_constants,
    relay_percent,
    share_of,
    views_of_a_relay,
)
from bench.capacity_page import FILE, capacity_page, own_numbers
from bench.results import FILE as RESULTS
from feedgate_kit.topics import ACCESS_UNITS

SIMPLE = dict.fromkeys((constant.name for constant in CONSTANTS), 1.0) | {
    "relay_cpu": 1.0,
    "foreign_cpu": 0.1,
    "media_bytes": 1e9 / 8,  # 1 Gb/s
    "relay_empty_ms": 1_000.0,
    "relay_full_ms": 2_000.0,
}


def results_of(values: dict[str, float]) -> str:
    rows = [f"| `{each.bench} --x 1` | `{each.figure}` | {values[each.name]:g} |  |  |" for each in CONSTANTS]
    return "\n".join(["- machine: some", "| bench | figure | value | target | met |", *rows])


def test_the_committed_page_is_what_the_committed_results_make() -> None:
    page = capacity_page(RESULTS.read_text(encoding="utf-8"))
    assert FILE.read_text(encoding="utf-8") == page, "`python -m bench capacity` writes it"


def test_constants_are_read_where_benches_wrote_them() -> None:
    assert read_constants(results_of(SIMPLE)) == SIMPLE


def test_of_ingest_the_last_run_counts_which_is_the_one_into_kafka() -> None:
    rows = results_of(SIMPLE)
    embedded = "| `ingest --bus embedded` | `rss_mib_per_camera` | 7 |  |  |"
    kafka = "| `ingest --bus kafka` | `rss_mib_per_camera` | 9 |  |  |"
    assert read_constants("\n".join([rows, embedded, kafka]))["ingest_mib"] == 9


def test_a_bench_that_was_not_run_is_named() -> None:
    page = "\n".join(line for line in results_of(SIMPLE).splitlines() if "`load" not in line)
    with pytest.raises(ConstantMissingError, match=r"of `load` is not in bench/RESULTS\.md"):
        read_constants(page)


def test_a_relay_with_many_views_reads_every_watched_camera() -> None:
    assert fetched(1_000, 1) == pytest.approx(1_000 / partitions_of(ACCESS_UNITS))
    assert fetched(1_000, 500) == pytest.approx(1_000, rel=1e-6)


def test_a_relay_is_filled_by_its_views_and_by_what_it_reads_for_nobody() -> None:
    alone, beside_others = views_of_a_relay(SIMPLE, 10), views_of_a_relay(SIMPLE, 350)
    assert alone == 70  # at 1 % each, 70 % busy
    assert beside_others < alone
    assert (
        relay_percent(SIMPLE, 350, beside_others)
        <= 100 * BUSY
        < relay_percent(SIMPLE, 350, beside_others + 1)
    )


def test_where_others_cameras_take_half_of_a_relay_the_cameras_are_divided() -> None:
    assert most_watched(SIMPLE) == 350
    assert deployments(SIMPLE, Assumed(35_000)) == 1
    assert deployments(SIMPLE, Assumed(35_001)) == 2
    assert share_of(Assumed(1_000_000), 29).watched <= 350


def test_what_is_extrapolated_lies_on_the_line_through_what_was_measured() -> None:
    one, ten = (needs(SIMPLE, Assumed(cameras)).ready_ms["relay"] for cameras in (100_000, 1_000_000))
    assert (one, ten) == (2_000, 11_000)
    assert most_registered(SIMPLE) == 200_000


def test_a_camera_that_is_watched_costs_each_broker_its_pictures_and_the_relays_a_copy_each() -> None:
    need = needs(SIMPLE, Assumed(800, watched_share=0.01, viewers_per_camera=1))
    assert need.media_gbit_s == need.broker_in_gbit_s == pytest.approx(8)
    assert need.relay_in_gbit_s == pytest.approx(fetched(8, 8))
    assert need.broker_out_gbit_s == pytest.approx((2 * 8 + need.relays * need.relay_in_gbit_s) / 3)
    assert need.relays == 2, "one and a spare one"


def test_a_small_deployment_is_looked_at_whole() -> None:
    assert Assumed(5).watched == 5
    assert Assumed(100).watched == 8
    assert Assumed(10_000).watched == 100


def test_own_numbers_are_the_pages_arithmetic() -> None:
    lines = own_numbers(results_of(SIMPLE), Assumed(10_000))
    assert lines["deployments"] == "1"
    assert lines["asked of each deployment: looked at at once"] == "100"
