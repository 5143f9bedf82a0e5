"""Do pictures come, and what is said about them?"""

from typing import Final

from deploy.grafana.board import BYTES_PER_SECOND, COUNT, PER_SECOND, SECONDS, Board, Panel, Query, quantile

BOARD: Final = Board(
    uid="feedgate-pictures",
    title="Pictures",
    description="The way of a picture: camera, ingest, bus, relay, viewer. Where it is lost, and what waits.",
    panels=(
        Panel(
            title="How are the cameras that somebody looks at?",
            unit=COUNT,
            description="`retrying` for many at once: the pool's network. `refused`: only their owners can "
            "act, and are told. Runbook CamerasUnreachable.",
            queries=(Query("sum by (phase) (ingest_cameras)", "{{phase}}"),),
        ),
        Panel(
            title="Why did connections to cameras end?",
            unit=COUNT,
            description="Since ingest started. Many of one reason at once: the network, a firewall, a name "
            "server; not the cameras.",
            queries=(Query("sum by (reason) (ingest_runs_ended_total)", "{{reason}}"),),
        ),
        Panel(
            title="How many pictures come in and go out?",
            unit=PER_SECOND,
            description="Published by ingest, taken by relays, handed to viewers. A step that falls behind "
            "the one before: look there. All fall: look at the cameras.",
            queries=(
                Query("sum(rate(ingest_access_units_published_total[$__rate_interval]))", "published"),
                Query("sum(rate(relay_pictures_in_total[$__rate_interval]))", "taken by relays"),
                Query("sum(rate(relay_pictures_out_total[$__rate_interval]))", "to viewers"),
            ),
        ),
        Panel(
            title="How much goes out to viewers?",
            unit=BYTES_PER_SECOND,
            description="Near the line's rate viewers become slow: add a relay elsewhere.",
            queries=(Query("sum(rate(relay_bytes_out_total[$__rate_interval]))", "to viewers"),),
        ),
        Panel(
            title="How late are pictures?",
            unit=SECONDS,
            description="From ingest to the viewer's socket. Rising: the bus, or the CPU of ingest or "
            "relay; at 3 they are dropped. Runbook MediaLate.",
            queries=(
                Query(
                    quantile(0.5, "relay_delivery_latency_seconds"),
                    "half of them",
                ),
                Query(
                    quantile(0.99, "relay_delivery_latency_seconds"),
                    "99 of 100",
                ),
            ),
        ),
        Panel(
            title="What is dropped before the bus?",
            unit=PER_SECOND,
            description="`feed_full`: the bus takes too little, see the brokers. `before_keyframe` and "
            "`hung_up` are in the nature of things. Runbook PicturesDroppedAtIngest.",
            queries=(
                Query(
                    "sum by (reason) (rate(ingest_access_units_dropped_total[$__rate_interval]))",
                    "{{reason}}",
                ),
            ),
        ),
        Panel(
            title="What is dropped after the bus?",
            unit=PER_SECOND,
            description="`unreadable`: ingest and relay are of versions that do not fit. `lost`: the bus or "
            "ingest lost some. Too slow a viewer loses pictures alone: its line.",
            queries=(
                Query("sum by (reason) (rate(relay_units_dropped_total[$__rate_interval]))", "{{reason}}"),
                Query("sum(rate(relay_pictures_skipped_total[$__rate_interval]))", "too slow a viewer"),
            ),
        ),
        Panel(
            title="How old is the owners' will that ingest knows?",
            unit=SECONDS,
            description="At 4 ingest hangs up every camera. Look at registry and at ingest's way to the "
            "bus. Runbook IngestCameraStateOld.",
            queries=(Query("max(ingest_camera_state_age_seconds)", "oldest of the workers"),),
        ),
        Panel(
            title="What waits for the bus?",
            unit=COUNT,
            description="Audit records, decisions, notices and frame events not yet acknowledged. Growing: "
            "the brokers, see leaders and in-sync replicas. Runbook BusBacklog.",
            queries=(
                Query("sum by (service) (relay_events_waiting)", "{{service}}"),
                Query("sum by (service) (registry_events_waiting)", "{{service}}"),
                Query("sum by (service) (access_policy_events_waiting)", "{{service}}"),
            ),
        ),
        Panel(
            title="What could not be read, or was given up?",
            unit=COUNT,
            description="Since each process started; any at all wants a look. Runbooks UnreadableRecords, "
            "DeadLetters, RecordsLost.",
            queries=(
                Query("sum(relay_records_unreadable_total)", "unreadable to relays"),
                Query("sum(ingest_unreadable_camera_states)", "unreadable to ingest"),
                Query("sum(access_policy_camera_records_unreadable)", "unreadable to access-policy"),
                Query("sum(registry_feed_records_unreadable_total)", "unreadable to registry"),
                Query("sum(audit_dead_letters_total)", "set aside by audit"),
                Query("sum(ingest_dead_letters_total)", "set aside by ingest"),
                Query("sum by (kind) (relay_events_lost_total)", "lost by relays: {{kind}}"),
            ),
        ),
    ),
)
