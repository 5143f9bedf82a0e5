"""The last word on every stream reaches the log, in order and in a version that wins."""

import asyncio
from functools import partial

import pytest

from feedgate_ingest.adapters.wire import state_record, state_version, taken_back
from feedgate_ingest.feed_state import FeedState, idle
from feedgate_ingest.reasons import Phase, Reason
from feedgate_kit.bus.record import VERSION_HEADER, Record
from feedgate_kit.errors import BusError
from services.ingest.tests.yard import STREAM, Part, Yard


def word(yard: Yard, phase: Phase, stream: str = STREAM) -> FeedState:
    return FeedState(stream, phase, yard.clock.now_us())


async def test_what_says_nothing_new_is_not_repeated(yard: Yard) -> None:
    yard.board.say(word(yard, Phase.CONNECTING))
    await yard.board.send()
    yard.clock.advance(1)
    yard.board.say(word(yard, Phase.CONNECTING))
    await yard.board.send()
    assert len(yard.states.records) == 1


async def test_while_the_bus_is_away_only_the_last_word_is_kept(yard: Yard) -> None:
    yard.states.failure = BusError("away")
    yard.board.say(word(yard, Phase.CONNECTING))
    with pytest.raises(BusError):
        await yard.board.send()
    yard.board.say(word(yard, Phase.LIVE))
    yard.states.failure = None
    await yard.board.send()
    assert yard.last_words == [("live", "")]


async def test_what_failed_is_sent_by_the_next_run(yard: Yard) -> None:
    yard.states.failure = BusError("away")
    yard.board.say(word(yard, Phase.LIVE))
    with pytest.raises(BusError):
        await yard.board.run()
    yard.states.failure = None
    again = asyncio.create_task(yard.board.run())
    while not yard.states.records:  # noqa: ASYNC110 - the log tells nobody
        await asyncio.sleep(0)
    again.cancel()
    assert yard.last_words == [("live", "")]


async def test_versions_grow_though_the_clock_is_set_back(yard: Yard) -> None:
    for phase in (Phase.CONNECTING, Phase.LIVE, Phase.IDLE):
        yard.board.say(word(yard, phase))
        await yard.board.send()
        yard.clock.step(-3600)
    versions = [state_version(record) for record in yard.states.records]
    assert versions == sorted(set(versions))


async def test_what_was_said_of_its_streams_before_it_had_them_is_taken_back_and_no_more(yard: Yard) -> None:
    def said(stream: str, phase: Phase, worker_id: str, version: int) -> Record:
        return state_record(word(yard, phase, stream), version=version, worker_id=worker_id, clock=yard.clock)

    for camera in ("mine", "resting", "theirs"):
        yard.share(camera)
    yard.share("lake", ingest_pool="lake")
    yard.worker.share = Part(without={"theirs"})
    ahead = yard.clock.now_us() + 10**12
    yard.states.records = [
        said("mine/original", Phase.LIVE, "worker before this one", ahead),
        said("resting/original", Phase.IDLE, "worker", 2),
        said("theirs/original", Phase.LIVE, "other", 3),
        said("lake/original", Phase.LIVE, "other", 3),
        said("unknown/original", Phase.LIVE, "worker", 3),
        Record("torn/original", b"\xff", {VERSION_HEADER: "4"}),
    ]
    await yard.board.recall(partial(taken_back, is_ours=yard.worker.owns, clock=yard.clock), state_version)
    await yard.board.send()
    (record,) = yard.states.records[6:]
    assert record.key == "mine/original"
    assert yard.states.said("mine/original")[-1].reason == "worker_ended"
    assert state_version(record) > ahead, "readers keep the highest, whatever our clock says"


async def test_a_word_said_before_the_recall_stands(yard: Yard) -> None:
    yard.share()
    yard.states.records = [
        state_record(word(yard, Phase.LIVE), version=1, worker_id="worker", clock=yard.clock)
    ]
    yard.board.say(word(yard, Phase.CONNECTING))
    await yard.board.recall(partial(taken_back, is_ours=yard.worker.owns, clock=yard.clock), state_version)
    await yard.board.send()
    assert yard.last_words[1:] == [("connecting", "")]


def test_an_idle_word_has_its_sentence(yard: Yard) -> None:
    assert idle(STREAM, Reason.NOT_DEMANDED, 0).detail == "Nobody is looking."
