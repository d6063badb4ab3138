"""What a credential is kept under."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.credentials.scope import Scope

DOCUMENT = '{"statement":[{"action":["name/cos:GetObject"],"effect":"allow","resource":["目录/*"]}],"version":"2.0"}'
ROLE = "qcs::cam::uin/1:roleName/r"


def test_fingerprint():
    """SHA-256 of canonical JSON, as a literal: a change of it empties every fleet's cache."""
    found = Scope(DOCUMENT, 1800).fingerprint("AKIDEXAMPLE", "https://sts.tencentcloudapi.com")
    assert found == "4e56fdfcc018e992a866451be1c3e062c1be8334ded9ce80501091c1f94f315c"
    found = Scope(DOCUMENT, 3600, ROLE, "abc").fingerprint("temporary", "http://127.0.0.1:9000")
    assert found == "8100425c9fcf00a2b2064e3d4192e8ac157e6172ae47c6d60b0b53b7cc5f796a"


TERMS = [
    (DOCUMENT, 1800, None, None, "AKID", "https://a.test"),
    (DOCUMENT.replace("GetObject", "HeadObject"), 1800, None, None, "AKID", "https://a.test"),
    (DOCUMENT.replace("/*", "/u1/*"), 1800, None, None, "AKID", "https://a.test"),
    (DOCUMENT, 1801, None, None, "AKID", "https://a.test"),
    (DOCUMENT, 1800, ROLE, None, "AKID", "https://a.test"),
    (DOCUMENT, 1800, ROLE, "abc", "AKID", "https://a.test"),
    (DOCUMENT, 1800, ROLE, "abd", "AKID", "https://a.test"),
    (DOCUMENT, 1800, ROLE + "2", None, "AKID", "https://a.test"),
    (DOCUMENT, 1800, None, None, "AKID2", "https://a.test"),
    (DOCUMENT, 1800, None, None, "temporary", "https://a.test"),
    (DOCUMENT, 1800, None, None, "AKID", "https://b.test"),
    (DOCUMENT, 1800, None, None, "AKID", "http://a.test"),
]


def fingerprint(document, duration, role, external, source, endpoint):
    """The fingerprint of all six terms."""
    return Scope(document, duration, role, external).fingerprint(source, endpoint)


def test_every_term_counts():
    """Two scopes that differ in one term, source and endpoint included, share nothing."""
    assert len({fingerprint(*terms) for terms in TERMS}) == len(TERMS)
    assert [fingerprint(*terms) for terms in TERMS] == [fingerprint(*terms) for terms in TERMS]


def test_equal_scopes():
    """Scopes are values: equal terms are one scope and one fingerprint."""
    one, other = Scope(DOCUMENT, 1800), Scope(DOCUMENT, 1800, None, None)
    assert (one, hash(one)) == (other, hash(other))
    assert one.fingerprint("s", "e") == other.fingerprint("s", "e")
    assert one != Scope(DOCUMENT, 1801)


@pytest.mark.parametrize(("role", "action"), [(None, "GetFederationToken"), (ROLE, "AssumeRole")])
def test_action(role, action):
    """A role is assumed; without one a federation token is asked for."""
    assert Scope(DOCUMENT, 1800, role).action == action


def test_nothing_else_counts():
    """A fingerprint is a function of its arguments: no time, no chance, no process."""
    assert len({Scope(DOCUMENT, 1800).fingerprint("s", "e") for _ in range(3)}) == 1
    assert set(Scope._fields) == {"document", "duration_seconds", "role_arn", "external_id"}


TEXT = st.text("ab\":,{}'目 ", max_size=4)
SCOPES = st.tuples(
    TEXT.map(lambda text: '{"a":"' + text.replace('"', '\\"') + '"}'),
    st.integers(1, 3),
    st.none() | TEXT,
    st.none() | TEXT,
    TEXT,
    TEXT,
)


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(st.lists(SCOPES, min_size=2, max_size=8))
def test_sharing_means_equality(many):
    """Two scopes share a fingerprint only if every term is equal: no term leaks into its neighbour."""
    for one, other in itertools.combinations(many, 2):
        assert (fingerprint(*one) == fingerprint(*other)) == (one == other)
