"""One door, tried: the ask inside, then everything foreign. What is made is removed, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from broker.errors import ConfigurationError, Problem
from broker.policy.routes import Route
from broker.policy.templates import ProvenClaims
from broker.probing import form, multipart, pictures, signed, verdicts
from broker.probing.attempts import foreign
from broker.probing.cloud import Cloud
from broker.probing.doors import Door
from broker.probing.foreign import Foreign
from broker.probing.hands import CLEANING, FINDING, Hands, begins
from broker.probing.verdicts import REFUSED
from broker.probing.work import Tell, Work

_ROOMS = {"form": form.attempt, "multipart": multipart.attempt}


def visit(route: Route, claims: ProvenClaims, door: Door, cloud: Cloud, tell: Tell) -> None:
    """Try a door; every attempt is told as it happens. Raises ConfigurationError or UpstreamError, with nothing made.

    Every credential is there before the first request that could make anything.
    """
    tries = foreign(route, claims, door)
    risky = _risky(route, door, cloud, tries)
    tries = [one for one in tries if one not in risky]
    picture = pictures.key_of(door.token)
    made = {one.request.key for one in tries if one.writes} | ({door.key, picture} if door.writes else set())
    hands = Hands(cloud, route, made or {picture}, CLEANING, _begun(door, tries))
    credential = cloud.issue(door.order.demand.scope)
    work = Work(route, claims, door, cloud, tell, hands, credential)
    try:
        _ROOMS.get(door.vend, signed.attempt)(work)
        for one in tries:
            work.refused(one)
        for one in risky:
            work.tell(verdicts.untold(one.name, REFUSED, f"not tried: {door.key} exists and is not risked"))
    finally:
        work.clean()


def _risky(route: Route, door: Door, cloud: Cloud, tries: Sequence[Foreign]) -> list[Foreign]:
    """The attempts that could harm what exists. Raises ConfigurationError if the door itself could."""
    touching = [one for one in tries if one.writes and one.request.key == door.key]
    if not touching and not door.writes:
        return []
    uploads = _begun(door, tries) & {door.key}
    hands = Hands(cloud, route, [door.key], FINDING, uploads)
    exists, said = hands.find(door.key)
    if exists is None:
        raise _unfit(f"cannot make sure that {door.key} does not exist, so nothing was tried: HEAD got {said}")
    if exists and door.writes:
        raise _unfit(f"{door.key} exists and is not risked: name a key that does not exist, with --key or --input")
    if uploads:
        _refuse_uploads(hands, door.key)
    return touching if exists else []


def _refuse_uploads(hands: Hands, key: str) -> None:
    """Whoever aborts all uploads of a key that he began must not meet somebody else's."""
    found, said = hands.find_uploads(key)
    if found is None:
        raise _unfit(f"cannot make sure that nobody uploads {key}, so nothing was tried: GET ?uploads got {said}")
    if found:
        raise _unfit(f"{key} has an unfinished upload, which is not risked: name another key, with --key or --input")


def _begun(door: Door, tries: Iterable[Foreign]) -> set[str]:
    """The keys of uploads that may be begun."""
    requests = [*door.permitted.values(), *(one.request for one in tries)]
    return {request.key for request in requests if begins(request)}


def _unfit(message: str) -> ConfigurationError:
    return ConfigurationError([Problem("probe", "key", message)])
