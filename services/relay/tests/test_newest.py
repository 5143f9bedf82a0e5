"""Of two workers that send pictures of one camera, the newer is listened to."""

from hypothesis import given
from hypothesis import strategies as st

from feedgate_relay.newest import FORGOTTEN_AFTER_S, NewestSource

RUN_A, RUN_B = b"a" * 16, b"b" * 16


def test_a_pool_version_outweighs_any_generation() -> None:
    newest = NewestSource()
    moved = newest.observe((2, 1), RUN_A, 0.0)
    assert newest.observe((1, 99), RUN_B, 0.1) is None
    assert newest.source is moved
    assert newest.observe((2, 2), RUN_A, 0.2) is not None


def test_a_later_run_of_the_same_worker_replaces_an_earlier_one() -> None:
    newest = NewestSource()
    first = newest.observe((1, 1), RUN_A, 0.0)
    second = newest.observe((1, 1), RUN_B, 0.1)
    assert second is not None
    assert second is not first
    assert newest.observe((1, 1), RUN_A, 0.2) is None
    assert newest.observe((1, 1), RUN_B, 0.3) is second


def test_a_silent_source_is_forgotten_after_ten_seconds() -> None:
    newest = NewestSource()
    newest.observe((2, 1), RUN_B, 0.0)
    assert newest.observe((1, 1), RUN_A, FORGOTTEN_AFTER_S - 0.001) is None
    assert newest.observe((1, 1), RUN_A, FORGOTTEN_AFTER_S) is not None


@given(
    st.lists(
        st.tuples(
            st.tuples(st.integers(0, 3), st.integers(0, 3)), st.sampled_from([RUN_A, RUN_B]), st.floats(0, 3)
        )
    )
)
def test_what_is_listened_to_never_goes_back_while_it_speaks(
    units: list[tuple[tuple[int, int], bytes, float]],
) -> None:
    newest, now_s, heard_s = NewestSource(), 0.0, 0.0
    best: tuple[tuple[int, int], bytes] | None = None
    for epoch, run, pause_s in units:
        now_s += pause_s
        if best is not None and now_s - heard_s >= FORGOTTEN_AFTER_S:
            best = None
        taken = newest.observe(epoch, run, now_s)
        assert (taken is not None) == (best is None or (epoch, run) >= best)
        if taken is not None:
            best, heard_s = (epoch, run), now_s
            assert newest.source is taken
            assert (taken.epoch, taken.run) == best
