"""This service's metrics. No label names a camera, grant, person, agency, case or address."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

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
            "Requests that wait for a second person, counted in the database every second.",
            registry=registry,
        )
        self.grants_open = Gauge(
            "access_policy_grants_open",
            "Grants not closed, counted in the database every second.",
            registry=registry,
        )
        self.grants_closed = Counter(
            "access_policy_grants_closed_total",
            "Grants closed, by reason code. `authorisation_withdrawn` is an owner's right at work.",
            ["reason"],
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
        self.camera_age = Gauge(
            "access_policy_camera_state_age_seconds",
            "Age of the newest heartbeat of the camera topic; -1 before the first. "
            "From 4 s on everything is denied: look at registry's publisher and the bus.",
            registry=registry,
        )
        self.heartbeat_age = Gauge(
            "access_policy_heartbeat_age_seconds",
            "Age of the newest heartbeat this process sent on the grant topic; -1 where it sends none. "
            "Above 4 s on every process: relays show nothing.",
            registry=registry,
        )
        self.records_sent = Counter(
            "access_policy_records_sent_total",
            "Grant records sent, by whether they had to be sent again after a reading back.",
            ["again"],
            registry=registry,
        )
        self._last_heartbeat_us: int | None = None

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

    # What the publisher tells (feedgate_kit.publisher.PublisherMetrics).

    def heartbeat_sent(self, as_of_us: int) -> None:
        self._last_heartbeat_us = as_of_us

    def records_sent_count(self, count: int, *, again: bool) -> None:
        self.records_sent.labels("yes" if again else "no").inc(count)

    def watch_ages(
        self, now_us: Callable[[], int], camera_age_us: Callable[[], int | None], unreadable: Callable[[], int]
    ) -> None:
        """Read ages at the moment of asking."""

        def seconds(age_us: int | None) -> float:
            return -1.0 if age_us is None else age_us / MICROSECONDS

        def heartbeat_age() -> float:
            last_us = self._last_heartbeat_us
            return seconds(None if last_us is None else now_us() - last_us)

        self.camera_age.set_function(lambda: seconds(camera_age_us()))
        self.heartbeat_age.set_function(heartbeat_age)
        self.unreadable.set_function(lambda: float(unreadable()))
