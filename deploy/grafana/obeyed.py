"""Is everybody's will obeyed?"""

from typing import Final

from deploy.grafana.board import COUNT, PER_SECOND, SECONDS, Board, Panel, Query, quantile

BOARD: Final = Board(
    uid="feedgate-obeyed",
    title="Is everybody's will obeyed?",
    description="What owners are promised: dark within 5 s of their stop, nothing shown unvouched, "
    "all on record.",
    panels=(
        Panel(
            title="How old is the newest heartbeat?",
            unit=SECONDS,
            description="Up to 0.7 is usual. Above 2: registry, access-policy or the bus is behind, see "
            "their logs; at 4 every picture is dark. Runbook HeartbeatOld.",
            queries=(Query("max by (topic) (relay_heartbeat_age_seconds)", "{{topic}}"),),
        ),
        Panel(
            title="How long from an owner's stop to dark?",
            unit=SECONDS,
            description="From the commit of a stop to a view's last byte. Above 0.25: look at registry's "
            "database, the bus and the relay's CPU; above 5 the promise is broken. Runbook "
            "WithdrawalToDarkSlow.",
            queries=(
                Query(
                    quantile(0.5, "relay_withdrawal_to_dark_seconds"),
                    "half of them",
                ),
                Query(
                    quantile(0.99, "relay_withdrawal_to_dark_seconds"),
                    "99 of 100",
                ),
            ),
        ),
        Panel(
            title="Views made dark by a stop",
            unit=COUNT,
            description="Since the relays started. Compare with owners' acts: every stop of a watched "
            "camera counts once for each view.",
            queries=(Query("sum(relay_withdrawal_to_dark_seconds_count)", "views"),),
            across=6,
            as_number=True,
        ),
        Panel(
            title="Who publishes?",
            unit=COUNT,
            description="1 for each service. 0 for more than moments: nothing is vouched for, see its log. "
            "Runbook NoPublisher.",
            queries=(
                Query("sum by (service) (registry_publisher_active)", "{{service}}"),
                Query("sum by (service) (access_policy_publisher_active)", "{{service}}"),
            ),
            across=6,
        ),
        Panel(
            title="What did owners do?",
            unit=COUNT,
            description="Acts on record since registry started. A burst of `withdraw` or `pause`: ask what "
            "owners were told.",
            queries=(Query("sum by (act) (registry_owner_acts_total)", "{{act}}"),),
        ),
        Panel(
            title="Which pictures were refused, and why?",
            unit=PER_SECOND,
            description="Each by the rule of admission. `not_fresh`: see the heartbeat's age. `too_old`: "
            "ingest or the bus lags. `before_window` just after a right opens and `window_closed` at a "
            "stop are usual.",
            queries=(
                Query("sum by (reason) (rate(relay_pictures_refused_total[$__rate_interval]))", "{{reason}}"),
            ),
        ),
        Panel(
            title="Which open views are dark, and why?",
            unit=COUNT,
            description="`paused`, `out_of_hours` and `not_yet_open` are owners' wills. Any other: "
            "operators see nothing though nobody stopped them. Runbook ViewsDark.",
            queries=(Query("sum by (reason) (relay_views_dark)", "{{reason}}"),),
        ),
        Panel(
            title="How far is the ledger behind?",
            unit=SECONDS,
            description="Age of the oldest fact not yet in the chain. Above 60: look at audit's database; "
            "nothing is lost while the bus keeps it. Runbook AuditLag.",
            queries=(Query("max(audit_lag_seconds)", "oldest fact"),),
        ),
        Panel(
            title="How far do clocks differ?",
            unit=SECONDS,
            description="A heartbeat's way and the clocks' difference together. Steadily above 0.25 or "
            "below -0.1: look at NTP on that host and on the publisher's. Runbook ClockSkew.",
            queries=(
                Query("max by (service, topic) (relay_heartbeat_offset_seconds)", "{{service}} {{topic}}"),
                Query("max by (service) (access_policy_camera_heartbeat_offset_seconds)", "{{service}}"),
                Query("max by (service) (ingest_camera_state_offset_seconds)", "{{service}}"),
            ),
        ),
        Panel(
            title="How long until a stop is on record?",
            unit=SECONDS,
            description="From an owner's call to its commit, 99 of 100. Above 0.5: look at registry's "
            "database. Runbook StopSlowToCommit.",
            queries=(
                Query(
                    quantile(0.99, "registry_stop_duration_seconds"),
                    "99 of 100",
                ),
            ),
        ),
        Panel(
            title="Terms of publishers",
            unit=COUNT,
            description="How often a process became the publisher since it started. Rising without "
            "restarts: its database session or the bus fails. Runbook PublisherChangesOften.",
            queries=(
                Query("sum by (service) (registry_publisher_terms_total)", "{{service}}"),
                Query("sum by (service) (access_policy_publisher_terms_total)", "{{service}}"),
            ),
        ),
    ),
)
