"""Who asked, what was decided, and who looks?"""

from typing import Final

from deploy.grafana.board import COUNT, Board, Panel, Query

BOARD: Final = Board(
    uid="feedgate-rights",
    title="Rights",
    description="From a request to a view, and why not.",
    panels=(
        Panel(
            title="What became of requests?",
            unit=COUNT,
            description="Since access-policy started. `expired` rising against `approved`: supervisors are "
            "too few or are not told.",
            queries=(Query("sum by (state) (access_policy_requests_total)", "{{state}}"),),
        ),
        Panel(
            title="Requests that wait for a second person",
            unit=COUNT,
            description="Growing: call the agency's supervisors. Each dies when its window ends.",
            queries=(Query("max(access_policy_requests_pending)", "waiting"),),
            across=6,
            as_number=True,
        ),
        Panel(
            title="Grants in force",
            unit=COUNT,
            description="Compare with open views: grants are for looking.",
            queries=(Query("max(access_policy_grants_open)", "open"),),
            across=6,
            as_number=True,
        ),
        Panel(
            title="What was decided?",
            unit=COUNT,
            description="Answers of the decision point since it started. Denials rising: see the reasons "
            "beside.",
            queries=(
                Query("sum by (action, result) (access_policy_decisions_total)", "{{action}}: {{result}}"),
            ),
        ),
        Panel(
            title="Why were requests and tickets denied?",
            unit=COUNT,
            description="First reason of each denial. `policy_error`: a rule is broken, runbook "
            "PolicyError. `state_not_fresh`: registry or the bus is behind. An owner's stop is a right "
            "at work.",
            queries=(Query('sum by (reason) (access_policy_decisions_total{result="deny"})', "{{reason}}"),),
        ),
        Panel(
            title="How many look now?",
            unit=COUNT,
            description="Near MAXIMUM_VIEWS of a relay: add one. Falling to 0 at once: a relay or the "
            "gateway restarted.",
            queries=(Query("sum(relay_views_open)", "open views"),),
        ),
        Panel(
            title="Tickets signed",
            unit=COUNT,
            description="Since access-policy started. Far above views: viewers come again and again, see "
            "why views ended.",
            queries=(Query("sum(access_policy_tickets_total)", "tickets"),),
            across=6,
            as_number=True,
        ),
        Panel(
            title="Pages that said they are dark",
            unit=COUNT,
            description="The owner's proof at the screen. Far fewer than views made dark by a stop: pages "
            "are old or cut off.",
            queries=(Query("sum(relay_dark_acknowledged_total)", "acknowledged"),),
            across=6,
            as_number=True,
        ),
        Panel(
            title="Who was refused at the door, and why?",
            unit=COUNT,
            description="Sockets since the relays started. `ticket_used` rising: somebody replays tickets, "
            "runbook TicketsRefused. `too_many_views`: runbook ViewsTurnedAway.",
            queries=(Query("sum by (reason) (relay_views_refused_total)", "{{reason}}"),),
        ),
        Panel(
            title="Why did views end?",
            unit=COUNT,
            description="Since the relays started. `connection_lost` or `viewer_stalled` in bursts: lines "
            "or the gateway.",
            queries=(Query("sum by (reason) (relay_views_ended_total)", "{{reason}}"),),
        ),
        Panel(
            title="What were viewers told?",
            unit=COUNT,
            description="Notices by code since the relays started. Many `not_fresh` or `camera_lost`: "
            "people see nothing.",
            queries=(Query("sum by (code) (relay_notices_total)", "{{code}}"),),
        ),
        Panel(
            title="Why were grants closed?",
            unit=COUNT,
            description="Since access-policy started. `authorisation_withdrawn` is an owner's right at work.",
            queries=(Query("sum by (reason) (access_policy_grants_closed_total)", "{{reason}}"),),
        ),
    ),
)
