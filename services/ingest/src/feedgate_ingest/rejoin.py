"""What a feed that pushes back costs: the rest of a group of pictures (design §4, fan-out)."""


class Rejoin:
    """Drops from the first refused picture on, and rejoins at the next keyframe."""

    def __init__(self) -> None:
        self.waiting_for_keyframe = False

    def admits(self, *, is_random_access_point: bool) -> bool:
        """Whether the next picture is worth offering."""
        return is_random_access_point or not self.waiting_for_keyframe

    def offered(self, *, accepted: bool) -> None:
        """What the feed said to a picture that was offered."""
        self.waiting_for_keyframe = not accepted
