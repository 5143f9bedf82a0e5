"""This service's metrics. No label names a camera, grant, person, agency, case or address."""

import math
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from feedgate_access_policy.cameras import Cameras
from feedgate_access_policy.decision_point import Answer
from feedgate_kit.clock import MICROSECONDS


class AccessPolicyMetrics:
    """Counters of this process; where several run, add them up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.decisions = Counter(
            "access_policy_decisions_total",
            "Answers of the decision point by action, result and first reason (none for a permit). "
            "`policy_error` above 0: a rule or a schedule is broken, read the decision's errors. "
            "`state_not_fresh` rising: registry's publisher or the bus is behind.",
            ["action", "result", "reason"],
            registry=registry,
        )
        self.requests = Counter(
            "access_policy_requests_total",
            "Requests that entered a state: pending_approval, denied, approved, refused, expired. "
            "Expired rising against approved: supervisors are too few or are not told.",
            ["state"],
            registry=registry,
        )
        self.requests_pending = Gauge(
            "access_policy_requests_pending",
            "Requests that wait for a second person, counted in the database every second. Growing: supervisors are "
            "too few or are not told.",
            registry=registry,
        )
        self.grants_open = Gauge(
            "access_policy_grants_open",
            "Grants not closed, counted in the database every second. Compare with relay_views_open: grants are for "
            "looking.",
            registry=registry,
        )
        self.grants_closed = Counter(
            "access_policy_grants_closed_total",
            "Grants closed, by reason code. `authorisation_withdrawn` is an owner's right at work.",
            ["reason"],
            registry=registry,
        )
        self.stops_owed = Gauge(
            "access_policy_stops_owed",
            "Ends of grants that are not on record and that this process tries again. Above 0: nothing is "
            "vouched for, every picture is dark until they are on record; look at the database, its disk first.",
            registry=registry,
        )
        self.tickets = Counter(
            "access_policy_tickets_total",
            "Tickets signed. Far above views: viewers reconnect, look at the relay.",
            registry=registry,
        )
        self.unreadable = Gauge(
            "access_policy_camera_records_unreadable",
            "Records of the camera topic that did not parse since the copy was begun. "
            "Above 0: that camera is denied until its next version; look for a version mismatch.",
            registry=registry,
        )
        self.camera_heartbeat_at = Gauge(
            "access_policy_camera_heartbeat_timestamp_seconds",
            "`as_of` of the newest heartbeat read from the camera topic; 0 before the first. "
            "`time() -` this above 4: everything is denied; look at registry's publisher and the bus.",
            registry=registry,
        )
        self.camera_heartbeat_offset = Gauge(
            "access_policy_camera_heartbeat_offset_seconds",
            "This host's clock less the `as_of` of the newest camera heartbeat, at its reading: its way here and the"
            " clocks' difference; NaN before the first. Its least of some minutes above 0.25 or below -0.1: clocks"
            " differ, look at NTP on both hosts.",
            registry=registry,
        )
        self.heartbeat_at = Gauge(
            "access_policy_heartbeat_timestamp_seconds",
            "`as_of` of the last heartbeat acknowledged. `time() -` this above 2: pictures go dark at 4.",
            registry=registry,
        )
        self.publisher_active = Gauge(
            "access_policy_publisher_active",
            "1 in the process that publishes, 0 in one that stands by. Their sum is 1 but for moments; 0:"
            " no right is vouched for, pictures go dark within 5 s.",
            registry=registry,
        )
        self.publisher_terms = Counter(
            "access_policy_publisher_terms_total",
            "Times this process became the publisher. Rising without a restart: its database session or the bus"
            " fails again and again, read its log.",
            registry=registry,
        )
        self.records_waiting = Gauge(
            "access_policy_events_waiting",
            "Committed audit records and decisions that the bus has not taken yet, counted up to 200 and those that"
            " cannot be sent. Above 0 for long: the bus is away; nothing is lost, but the ledger is behind.",
            registry=registry,
        )
        self.records_published = Counter(
            "access_policy_state_records_published_total",
            "Grant records sent. `again` is true for those that had been acknowledged and are sent anew "
            "because the topic held an older one: any after start-up is a second publisher that wrote late.",
            ["again"],
            registry=registry,
        )

    def decided(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            reasons = answer.decision.reasons
            self.decisions.labels(
                answer.action,
                "permit" if answer.decision.permitted else "deny",
                reasons[0] if reasons else "",
            ).inc()

    def request_settled(self, state: str) -> None:
        self.requests.labels(state).inc()

    def publishing(self, active: bool) -> None:
        """This process begins or ends to publish."""
        self.publisher_active.set(active)
        if active:
            self.publisher_terms.inc()

    def events_waiting(self, count: int) -> None:
        self.records_waiting.set(count)

    def heartbeat_sent(self, as_of_us: int) -> None:
        self.heartbeat_at.set(as_of_us / MICROSECONDS)

    def records_sent(self, count: int, *, again: bool) -> None:
        self.records_published.labels(str(again).lower()).inc(count)

    def watch(self, cameras: Cameras) -> None:
        """Read the state of the camera copy whenever somebody asks."""
        self.camera_heartbeat_at.set_function(lambda: (cameras.as_of_us or 0) / MICROSECONDS)
        self.camera_heartbeat_offset.set_function(
            lambda: math.nan if cameras.offset_us is None else cameras.offset_us / MICROSECONDS
        )
        self.unreadable.set_function(lambda: float(cameras.unreadable))
