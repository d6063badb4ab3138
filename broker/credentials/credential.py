"""Credential: three secrets and the instant they stop working."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.cos.signing import Signer


@dataclass(frozen=True, slots=True)
class Credential:
    """One temporary credential. Instants are Unix seconds; `request_id` is STS's, for its support.

    `fingerprint` is the scope's that it was made for, where it is known.
    """

    secret_id: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    issued_at: int
    expires_at: int
    request_id: str
    fingerprint: str = field(default="", compare=False, kw_only=True)
    signer: Signer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signer", Signer(self.secret_id, self.secret_key, self.session_token))
