"""A camera as its owner registered it. Its source's text is not here, sealed or otherwise."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Place:
    """Where a camera stands and what it faces. WGS 84 (RFC 7946 §4)."""

    longitude: float
    latitude: float
    bearing_degrees: float  # of the optical axis, clockwise from true north
    field_of_view_degrees: float  # horizontal opening angle


@dataclass(frozen=True, slots=True)
class Camera:
    """One row of the record. `version` grows by one with every act that changes it or its authorisations."""

    camera_id: str
    owner: str  # keyed hash of the owner's OIDC issuer and subject
    version: int
    name: str
    place: Place
    jurisdiction: str
    ingest_pool: str
    pool_version: int  # `version` that first named this pool and this source
    source_version: int  # bound into the sealed source
    source_key_id: str
    source_set_at_us: int
    created_at_us: int
    resumed_at_us: int  # the making, if it was never paused
    paused_at_us: int | None = None
    removed_at_us: int | None = None

    def advanced(self) -> "Camera":
        """The next version, otherwise the same."""
        return replace(self, version=self.version + 1)

    def paused(self, now_us: int) -> "Camera":
        return replace(self.advanced(), paused_at_us=now_us)

    def resumed(self, now_us: int) -> "Camera":
        # A clock that stepped back must not open what was paused.
        return replace(
            self.advanced(), paused_at_us=None, resumed_at_us=max(now_us, self.paused_at_us or now_us)
        )

    def removed(self, now_us: int) -> "Camera":
        return replace(self.advanced(), removed_at_us=now_us)

    def moved_to_source(self, pool: str, key_id: str, now_us: int) -> "Camera":
        """The next version, with a new source sealed to a pool's key.

        A new source is a new epoch too: pictures of the old one, still on their
        way, must not be shown as this camera's.
        """
        return replace(
            self,
            version=self.version + 1,
            ingest_pool=pool,
            pool_version=self.version + 1,
            source_version=self.source_version + 1,
            source_key_id=key_id,
            source_set_at_us=now_us,
        )
