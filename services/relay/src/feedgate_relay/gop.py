"""The current group of pictures of a stream, kept so that a viewer can begin at once."""

from feedgate_relay.picture import Picture


class GopCache:
    """Everything since the last keyframe, or nothing: never more than one GOP and never beyond a size."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.pictures: list[Picture] = []
        self._bytes = 0

    def push(self, picture: Picture) -> None:
        """Take the next picture. One that does not fit empties the cache until the next keyframe."""
        if picture.is_random_access_point:
            self.clear()
        elif not self.pictures:
            return
        self._bytes += len(picture.body)
        self.pictures.append(picture)
        if self._bytes > self.limit_bytes:
            self.clear()

    def clear(self) -> None:
        self.pictures = []
        self._bytes = 0
