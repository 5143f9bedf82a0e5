"""What the agency's topic is told."""

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, SHARING_PAUSED
from feedgate_contracts.digest import picture_digest
from feedgate_contracts.frame.v1.frame_pb2 import (
    NOTICE_CODE_PAUSED_BY_OWNER,
    NOTICE_CODE_RESUMED,
    NOTICE_CODE_STARTED,
    NOTICE_CODE_STOPPED,
    FrameEvent,
)
from feedgate_kit.ids import new_run
from feedgate_relay.admission import Source
from feedgate_relay.frame_events import GrantEvents
from feedgate_relay.picture import Picture
from services.relay.tests.scene import GRANT_ID, STREAM, Lens, SteppedClock, grant_state, samples
from services.relay.tests.stage import Stage


def groups(events: list[FrameEvent]) -> list[list[int]]:
    """The sequences in each record of pictures."""
    return [
        [picture.sequence for picture in event.group_of_pictures.pictures]
        for event in events
        if event.WhichOneof("event") == "group_of_pictures"
    ]


async def test_one_record_for_each_group_and_grant_holds_what_any_view_was_shown(stage: Stage) -> None:
    await stage.watch()
    await stage.watch()
    await stage.film(25)
    events = list(await stage.frame_events())
    assert groups(events) == [list(range(10)), list(range(10, 20))]
    assert {(event.grant_id, event.stream) for event in events} == {(GRANT_ID, STREAM)}
    await stage.withdraw()
    assert groups(list(await stage.frame_events())) == [list(range(20, 25))]


async def test_the_digests_of_what_was_shown_verify(stage: Stage) -> None:
    await stage.watch()
    units = list(stage.lens.units(10))
    stage.show(*units)
    await stage.withdraw()
    (group,) = [
        event.group_of_pictures
        for event in await stage.frame_events()
        if event.WhichOneof("event") == "group_of_pictures"
    ]
    previous = group.previous_digest
    for picture, sample in zip(group.pictures, samples(units), strict=True):
        assert picture.size_bytes == len(sample)
        previous = picture_digest(
            previous=previous,
            stream=STREAM,
            run=group.run,
            sequence=picture.sequence,
            dts=picture.dts,
            received_at_us=picture.received_at_us,
            mask_version=group.mask_version,
            sample=sample,
        )
        assert picture.digest == previous


async def test_pictures_nobody_was_handed_are_not_in_it(stage: Stage) -> None:
    watching = await stage.watch()
    await stage.film(3)
    watching.media.block()
    await stage.film(17)
    await stage.withdraw()
    assert groups(list(await stage.frame_events())) == [[0, 1, 2]]


async def test_a_picture_handed_over_late_comes_in_a_further_record(stage: Stage) -> None:
    slow = await stage.watch()
    await stage.film(8)
    slow.media.block()
    await stage.film(3)
    quick = await stage.watch()  # begins with the group that holds picture 10
    slow.media.unblock()
    assert quick.pictures == [10]
    assert slow.pictures == list(range(11))
    await stage.withdraw()
    assert groups(list(await stage.frame_events())) == [list(range(8)), [8, 9], [10]]


def test_late_pictures_come_by_group_and_none_comes_twice() -> None:
    clock, sent = SteppedClock(), list[FrameEvent]()
    events = GrantEvents(grant_state(clock.now_us()), STREAM, clock, sent.append)

    def picture(source: Source, gop: int, sequence: int) -> Picture:
        made = Picture(Lens(clock, sequence=sequence).unit(), source, 3_000_000)
        made.gop = gop
        return made

    before, after = Source((1, 1), new_run()), Source((1, 1), new_run())
    first, second = [picture(before, 1, number) for number in (1, 2)], picture(before, 2, 51)
    third = picture(after, 3, 1)
    for quick in (first[0], picture(before, 2, 50), third):
        events.delivered(quick)
    for slow in (*first, second, third):
        events.delivered(slow)
    events.flush()
    events.delivered(third)
    events.flush()
    assert groups(sent) == [[1], [50], [2], [51], [1]]
    assert [event.group_of_pictures.run for event in sent] == [before.run] * 4 + [after.run]


async def test_what_concerns_the_whole_grant_is_told_once(stage: Stage) -> None:
    first, second = await stage.watch(), await stage.watch()
    await stage.film(2)
    await stage.change_camera(sharing=SHARING_PAUSED)
    await stage.withdraw()
    notices = [event.notice for event in await stage.frame_events() if event.WhichOneof("event") == "notice"]
    told = [(notice.code, notice.view_id) for notice in notices]
    assert told.count((NOTICE_CODE_PAUSED_BY_OWNER, "")) == 1
    assert told.count((NOTICE_CODE_STOPPED, "")) == 1
    started = {view_id for code, view_id in told if code == NOTICE_CODE_STARTED}
    assert started == {first.view.view_id, second.view.view_id}


async def test_a_view_that_is_hidden_holds_nothing_back(stage: Stage) -> None:
    watching = await stage.watch()
    await stage.film(3)
    watching.view.hear('{"type": "hidden"}')
    await stage.settle()
    assert groups(list(await stage.frame_events())) == [[0, 1, 2]]


async def test_pictures_that_come_again_are_told_of_the_view_they_come_in(stage: Stage) -> None:
    first, second = await stage.watch(), await stage.watch()
    await stage.film(2)
    for message in ('{"type": "hidden"}', '{"type": "visible"}'):
        first.view.hear(message)
    for sharing in (SHARING_PAUSED, SHARING_ON, SHARING_PAUSED):
        await stage.change_camera(sharing=sharing, resumed_at_us=stage.clock.now_us())
        await stage.film(50)
    notices = [event.notice for event in await stage.frame_events() if event.WhichOneof("event") == "notice"]
    told = [(notice.code, notice.view_id) for notice in notices]
    both = [first.view.view_id, second.view.view_id]
    resumed = [view_id for code, view_id in told if code == NOTICE_CODE_RESUMED]
    assert resumed == [both[0], *both]  # the tab that came back, then both after the pause
    assert told.count((NOTICE_CODE_PAUSED_BY_OWNER, "")) == 2
