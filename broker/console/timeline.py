"""The life of a credential as a line: issued, renewed from here on, too short from there on, dead."""

from __future__ import annotations

from dataclasses import dataclass

from broker.console.listing import duration
from broker.policy.routes import MARGIN_SECONDS

WIDTH = 1000  # units of the picture


@dataclass(frozen=True, slots=True)
class Life:
    """Instants are Unix seconds. `renewal_at` is `exact` or the middle of a span; `renews`: an ask then renews it.

    `need_seconds`: what the longest ask needs it to live still. `links`: what is signed with it ends a margin before it
    does; otherwise it is handed out whole.
    """

    issued_at: int
    expires_at: int
    now: int
    renewal_at: int
    exact: bool
    renews: bool
    need_seconds: int
    links: bool

    @property
    def last_at(self) -> int:
        """The last instant at which it does for the longest ask."""
        return max(self.expires_at - self.need_seconds, self.issued_at)

    @property
    def longest_seconds(self) -> int:
        """How long what is signed with it lives at most."""
        return self.need_seconds - MARGIN_SECONDS if self.links else 0

    def x(self, instant: int) -> int:
        """Where an instant is on the line, 0 to WIDTH."""
        life = max(self.expires_at - self.issued_at, 1)
        return min(max(round((instant - self.issued_at) * WIDTH / life), 0), WIDTH)

    @property
    def margin_x(self) -> int:
        """Where nothing that is signed reaches any more."""
        return self.x(self.expires_at - MARGIN_SECONDS)

    @property
    def renewal_x(self) -> int:
        """Where renewal begins; where it is too short if it is never renewed ahead."""
        return min(self.x(self.renewal_at), self.x(self.last_at)) if self.renews else self.x(self.last_at)

    @property
    def link_x(self) -> int:
        """Where the longest link ends that is signed now."""
        return min(self.x(self.now + self.longest_seconds), WIDTH)

    @property
    def state(self) -> str:
        """How it stands now, in a word."""
        if self.now >= self.expires_at:
            return "dead"
        if self.now > self.last_at:
            return "ending"
        return "due" if self.renews and self.now >= self.renewal_at else "fresh"

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """(what, when) of each instant, counted from now."""
        about = "" if self.exact else "about "
        told = [("issued", _when(self.issued_at, self.now))]
        if self.renews:
            told.append(("due for renewal", f"{about}{_when(self.renewal_at, self.now)}"))
        told.append(("too short for the longest ask", _when(self.last_at, self.now)))
        return (*told, ("dies", _when(self.expires_at, self.now)))

    @property
    def summary(self) -> str:
        """The picture in one sentence."""
        return "; ".join(f"{what} {when}" for what, when in self.words)


def _when(instant: int, now: int) -> str:
    if instant == now:
        return "now"
    return f"in {duration(instant - now)}" if instant > now else f"{duration(now - instant)} ago"
