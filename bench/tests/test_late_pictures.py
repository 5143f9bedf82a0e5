import pytest

from bench.viewers.crowd import late_pictures
from bench.viewers.viewer import Stop, Viewer


@pytest.mark.parametrize(
    ("received_ns", "sent_us", "late"),
    [(999, 499, 0), (1000, 499, 0), (1001, 499, 1), (999, 500, 1), (1001, 500, 1)],
)
async def test_late_is_read_after_the_notice_or_sent_later(received_ns: int, sent_us: int, late: int) -> None:
    viewer = Viewer()
    viewer.stop = Stop(received_ns=1000, said_before_us=500)
    viewer.received_ns.append(received_ns)
    viewer.sent_us.append(sent_us)
    assert late_pictures(viewer) == late
