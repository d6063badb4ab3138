"""Who may see the console: the claims of BROKER_CONSOLE_CLAIMS, of the same form as in a policy file."""

from __future__ import annotations

from broker import strict_json
from broker.errors import ConfigurationError, Problem
from broker.policy import parsing
from broker.policy.admission import Admission, admission_by_claims

_VARIABLE, _FIELD = "BROKER_CONSOLE_CLAIMS", "principals.claims"


def viewers(text: str) -> Admission:
    """Who may see it, of the JSON of `principals.claims`; `{}` is everybody. Raises ConfigurationError."""
    try:
        claims = strict_json.loads(text.encode())
    except strict_json.StrictJsonError as error:
        raise _refused([f"is not valid JSON: {error}"]) from None
    if claims == {}:
        return admission_by_claims("the console", {})
    document, problems, _ = parsing.parse({"principals": {"claims": claims}})
    flaws = [
        f"{field.removeprefix(_FIELD).removeprefix('.')} {message}".strip()
        for field, message in problems
        if field.startswith("principals")
    ]
    if document.principals is None:  # what is unsound is left out
        raise _refused(flaws)
    return admission_by_claims("the console", document.principals.claims)


def _refused(messages: list[str]) -> ConfigurationError:
    return ConfigurationError([Problem("environment", _VARIABLE, message) for message in messages])
