"""What an agency installs: frame events, notices and live pictures.

client = FeedgateClient("https://feedgate.example", token)
async for event in client.frame_events():
...
async with client.open_view(grant_id) as view:
async for item in view:
...
"""

from feedgate_client.client import FeedgateClient
from feedgate_client.errors import ClientError, RefusedError
from feedgate_client.events import EventSource, kafka_frame_events
from feedgate_client.pictures import Picture, matches
from feedgate_client.view import Notice, View

__all__ = [
    "ClientError",
    "EventSource",
    "FeedgateClient",
    "Notice",
    "Picture",
    "RefusedError",
    "View",
    "kafka_frame_events",
    "matches",
]
