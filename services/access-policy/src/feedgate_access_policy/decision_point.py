"""Where questions get their facts and, where several authorisations could answer, the best one."""

from collections.abc import Sequence
from dataclasses import dataclass

from feedgate_access_policy.camera import Camera, Terms
from feedgate_access_policy.cameras import Cameras
from feedgate_access_policy.decision import Decision, decide
from feedgate_access_policy.geography import distance_m, public_place
from feedgate_access_policy.grant import Grant
from feedgate_access_policy.jurisdiction import Law
from feedgate_access_policy.question import (
    NOBODY_SIGNED_IN,
    AccessRequest,
    Action,
    Login,
    Person,
    Question,
)
from feedgate_kit.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A decision, with what it was about. Not yet recorded."""

    decision_id: str
    action: Action
    person: Person
    request_id: str
    camera_id: str
    camera: Camera | None
    terms: Terms | None  # that the decision rests on
    login: Login
    decision: Decision  # the truth, for the record
    told: Decision  # what the asker's agency may know of it
    decided_at_us: int

    @property
    def authorisation_id(self) -> str:
        """What the decision rests on; empty where nothing is authorised."""
        return "" if self.terms is None else self.terms.authorisation_id


class DecisionPoint:
    """Asks `decide` about the cameras as they are known here now."""

    def __init__(self, law: Law, cameras: Cameras) -> None:
        self.law = law
        self.cameras = cameras

    def ask(
        self,
        action: Action,
        person: Person,
        camera_id: str,
        asked: AccessRequest,
        *,
        now_us: int,
        grant: Grant | None = None,
        login: Login = NOBODY_SIGNED_IN,
    ) -> Answer:
        """The answer about one camera of a request.

        A grant rests on its own authorisation for ever. Before there is one,
        that authorisation is taken which lets the grant last longest, and a
        camera that is not shared with the asker's agency is told of as one that
        does not exist: what an owner shares with others is not the agency's to
        know.
        """
        camera = self.cameras.get(camera_id)
        fresh = self.cameras.is_fresh()

        def judge(camera: Camera | None, terms: Terms | None) -> Decision:
            question = Question(
                action=action,
                person=person,
                camera_id=camera_id,
                camera=camera,
                terms=terms,
                request=asked,
                grant=None if grant is None else grant.in_force(),
                distance_m=_distance_m(camera, asked),
                cameras_fresh=fresh,
                now_us=now_us,
                login=login,
            )
            return decide(question, self.law)

        answers = [(terms, judge(camera, terms)) for terms in _candidates(camera, person.agency, grant)]
        terms, decision = min(answers, key=_preference)
        told = decision
        if grant is None and not _is_shared(camera, person.agency, now_us):
            # Also where it does not exist, so that one takes as long as the other.
            told = judge(None, None)
        return Answer(
            decision_id=new_id(),
            action=action,
            person=person,
            request_id=asked.request_id,
            camera_id=camera_id,
            camera=camera,
            terms=terms,
            login=login,
            decision=decision,
            told=told,
            decided_at_us=now_us,
        )


def _is_shared(camera: Camera | None, agency: str, now_us: int) -> bool:
    """Whether the agency's search for cameras would find it."""
    return camera is not None and bool(camera.terms_for(agency, now_us))


def _candidates(camera: Camera | None, agency: str, grant: Grant | None) -> Sequence[Terms | None]:
    if camera is None:
        return [None]
    if grant is not None:
        return [camera.terms_of(grant.authorisation_id)]
    # Terms of others cannot permit; one of them still says what is wrong.
    return [terms for terms in camera.terms if agency in terms.agencies] or camera.terms[:1] or [None]


def _preference(answer: tuple[Terms | None, Decision]) -> tuple[bool, int, int, str]:
    """Permits first, then the longest; of denials, that with the least against it."""
    terms, decision = answer
    return (
        not decision.permitted,
        len(decision.reasons),
        -decision.not_after_us,
        "" if terms is None else terms.authorisation_id,
    )


def _distance_m(camera: Camera | None, asked: AccessRequest) -> int:
    """From the incident to the place that anybody of the agency may know."""
    if camera is None:
        return 0
    incident = (asked.longitude, asked.latitude)
    return round(distance_m(incident, public_place((camera.longitude, camera.latitude))))
