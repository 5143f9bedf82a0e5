import pytest

from bench.viewers.crowd import late_pictures
from bench.viewers.viewer import Stop, Viewer


@pytest.mark.parametrize(
    ("end", "sent_us", "late"),
    [(999, 499, 0), (1000, 499, 0), (1001, 499, 1), (999, 500, 1), (1001, 500, 1)],
)
async def test_late_came_after_the_notice_or_was_sent_later(end: int, sent_us: int, late: int) -> None:
    viewer = Viewer()
    viewer.stop = Stop(received_ns=1, media_bytes=1000, said_before_us=500)
    viewer.ends.append(end)
    viewer.sent_us.append(sent_us)
    assert late_pictures(viewer) == late
