"""Protobuf's times and ours."""

from google.protobuf.timestamp_pb2 import Timestamp

from feedgate_kit.clock import MICROSECONDS


def timestamp(at_us: int) -> Timestamp:
    """The protobuf time of `at_us` microseconds since the Unix epoch."""
    seconds, micros = divmod(at_us, MICROSECONDS)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)
