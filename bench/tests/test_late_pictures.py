import pytest

from bench.viewers.crowd import late_pictures
from bench.viewers.viewer import Stop, Viewer


@pytest.mark.parametrize(
    ("poll_s", "sent_us", "late"),
    [(0.9, 499, 0), (1.0, 499, 0), (1.1, 499, 1), (0.9, 500, 1), (1.1, 500, 1)],
)
async def test_late_came_after_the_notice_or_was_sent_later(poll_s: float, sent_us: int, late: int) -> None:
    viewer = Viewer()
    viewer.stop = Stop(received_ns=1000, poll_s=1.0, said_before_us=500)
    viewer.poll_s.append(poll_s)
    viewer.sent_us.append(sent_us)
    assert late_pictures(viewer) == late
