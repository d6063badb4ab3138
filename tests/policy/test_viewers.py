"""Who may see the console: claims of the same form as in a policy file, and every mistake in them told."""

from __future__ import annotations

import pytest

from broker.errors import ConfigurationError, Forbidden, Unauthenticated
from broker.identity.principals import ANONYMOUS, Principal
from broker.policy.viewers import viewers

OPERATORS = '{"role": {"enum": ["operator", "owner"]}, "scope": {"contains": "console"}}'


def test_claims():
    """Whoever satisfies every rule is let in; one that is missed keeps out, and is named."""
    seen_by = viewers(OPERATORS)
    seen_by.admit(Principal({"role": "owner", "scope": "a console b"}))
    with pytest.raises(Forbidden) as refused:
        seen_by.admit(Principal({"role": "guest", "scope": "console"}))
    assert [one.field for one in refused.value.errors] == ["claims.role"]
    with pytest.raises(Unauthenticated):
        seen_by.admit(ANONYMOUS)


def test_everybody():
    """No rule at all, said out loud, is everybody."""
    viewers("{}").admit(ANONYMOUS)
    viewers(" {} ").admit(Principal({}))


def test_key_of_some_routes():
    """An API key that is for some routes alone is not for the console, whatever it is called."""
    with pytest.raises(Forbidden, match="not the console"):
        viewers("{}").admit(Principal({}, key_id="k", routes=frozenset({"console"})))
    viewers("{}").admit(Principal({}, key_id="k"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("operator", "is not valid JSON"),
        ("[]", "must be an object, got a list"),
        ('{"role": "operator"}', "role must be an object"),
        ('{"role": {}}', "role must hold exactly one of const, enum, contains, pattern"),
        ('{"role": {"cons": "x"}}', "did you mean const?"),
        ('{"role": null}', "role must not be null"),
        ('{"a b": {"const": 1}}', "must be a claim name"),
        ('{"role": {"pattern": "("}}', "role.pattern"),
        ('{"role": {"const": 1}, "role": {"const": 2}}', "is not valid JSON"),
    ],
)
def test_mistake(text, told):
    """Each mistake is the variable's, and says where in it."""
    with pytest.raises(ConfigurationError) as refused:
        viewers(text)
    assert {one.field for one in refused.value.problems} == {"BROKER_CONSOLE_CLAIMS"}
    assert told in str(refused.value)
