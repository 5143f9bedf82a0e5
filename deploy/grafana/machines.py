"""Do the processes run, and have they room?"""

from typing import Final

from deploy.grafana.board import (
    BYTES,
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    Board,
    Panel,
    Query,
    quantile,
)

ASKED: Final = 'route!~"/readyz|/healthz|/metrics"'
"""What people and services ask, not what watches them."""

BOARD: Final = Board(
    uid="feedgate-machines",
    title="Machines",
    description="Each process: does it answer, is it late, has it room?",
    panels=(
        Panel(
            title="Who answers?",
            unit=COUNT,
            description="Processes of each service that answer. Fewer than there should be: start them "
            "again. Runbook ServiceDown.",
            queries=(Query("sum by (job) (up)", "{{job}}"),),
        ),
        Panel(
            title="CPU",
            unit=SHARE,
            description="Of one core. Near 70 %: add an instance; a service uses one core and no more.",
            queries=(Query("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}} {{instance}}"),),
        ),
        Panel(
            title="How late is the event loop?",
            unit=SECONDS,
            description="99 of 100 looks. Above 0.1: short of CPU, or something blocks; pictures and stops "
            "wait as long. Runbook EventLoopLate.",
            queries=(
                Query(
                    quantile(0.99, "event_loop_delay_seconds", by="job, instance"),
                    "{{job}} {{instance}}",
                ),
            ),
        ),
        Panel(
            title="Memory",
            unit=BYTES,
            description="Resident. Growing for hours at the same load: a leak; keep the figures, restart "
            "the process.",
            queries=(Query("process_resident_memory_bytes", "{{job}} {{instance}}"),),
        ),
        Panel(
            title="Open files, of those allowed",
            unit=SHARE,
            description="Two for each view, one for each connection. Above 80 %: raise the limit. Runbook "
            "FilesRunOut.",
            queries=(Query("process_open_fds / process_max_fds", "{{job}} {{instance}}"),),
        ),
        Panel(
            title="WebSockets",
            unit=COUNT,
            description="Two for each view. Falling to 0 at once: the relay or the gateway restarted.",
            queries=(Query("sum by (route) (websockets_open)", "{{route}}"),),
        ),
        Panel(
            title="HTTP requests",
            unit=PER_SECOND,
            description="By service and status. 5xx: read that service's log by request id. Runbook "
            "HttpErrors.",
            queries=(
                Query(
                    f"sum by (service, status) (rate(http_requests_total{{{ASKED}}}[$__rate_interval]))",
                    "{{service}} {{status}}",
                ),
            ),
        ),
        Panel(
            title="How long do answers take?",
            unit=SECONDS,
            description="99 of 100, by service. Rising: look at its database first.",
            queries=(
                Query(
                    quantile(0.99, "http_request_duration_seconds", by="service", where=ASKED),
                    "{{service}}",
                ),
            ),
        ),
    ),
)
