"""What an agency installs: frame events, notices and live pictures.

Watch under a grant, until its owner says stop:

    async def watch(origin: str, token: Token, grant_id: str) -> str:
        async with FeedgateClient(origin, token) as client, client.open_view(grant_id) as view:
            async for item in view:
                match item:
                    case Picture():
                        show(item.init_segment, item.fragment)
                    case Notice(code="stopped" | "lost"):
                        return item.reason
                    case Notice():
                        print(item.code, item.detail)
        return "ended"

Receive what one's agency was shown, beside it or elsewhere:

    async def record(origin: str, token: Token, keep: Callable[[FrameEvent], None]) -> None:
        async with FeedgateClient(origin, token) as client:
            async for event in client.frame_events():
                keep(event)
"""

from feedgate_client.client import FeedgateClient
from feedgate_client.errors import ClientError, RefusedError
from feedgate_client.events import EventSource, Token, kafka_frame_events
from feedgate_client.pictures import Picture, matches
from feedgate_client.view import Notice, View

__all__ = [
    "ClientError",
    "EventSource",
    "FeedgateClient",
    "Notice",
    "Picture",
    "RefusedError",
    "Token",
    "View",
    "kafka_frame_events",
    "matches",
]
