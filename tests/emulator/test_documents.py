"""Which session policies STS takes."""

import json
from urllib.parse import quote

import pytest

from broker.emulator import documents

RESOURCE = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/dir/*"
STATEMENT = {"effect": "allow", "action": ["name/cos:PutObject"], "resource": [RESOURCE]}


def refusal(document):
    """STS's code for a document, or "ok"."""
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        documents.parse(quote(text))
    except documents.InvalidDocument as error:
        return error.code
    return "ok"


def test_encoding():
    """The policy arrives percent-encoded; its resources may hold what the encoding escapes."""
    document = {"version": "2.0", "statement": [STATEMENT | {"resource": [RESOURCE.replace("dir", "目录 a+b%20")]}]}
    assert documents.parse(quote(json.dumps(document))) == document
    assert documents.parse(quote(json.dumps(document), safe="")) == document


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"version": "2.0", "statement": [STATEMENT]}, "ok"),
        ({"version": "3.0", "statement": [STATEMENT]}, "StrategyFormatError"),
        ({"version": "2.0", "statement": []}, "StrategyFormatError"),
        ({"version": "2.0", "statement": STATEMENT}, "StrategyFormatError"),
        ({"version": "2.0", "statement": ["allow"]}, "StrategyFormatError"),
        ({"version": "2.0", "statement": [STATEMENT], "Id": "x"}, "StrategyFormatError"),
        ({"version": "2.0", "statement": [STATEMENT], "principal": {"qcs": "*"}}, "StrategyInvalid"),
        ("[1, 2]", "StrategyFormatError"),
        ("not json", "StrategyFormatError"),
        ('{"version": "2.0", "version": "2.0", "statement": []}', "StrategyFormatError"),
        ("[" * 100_000, "StrategyFormatError"),
    ],
)
def test_document(document, expected):
    """Each refused document differs from a taken one in one thing."""
    assert refusal(document).removeprefix("InvalidParameter.") == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"action": "name/cos:PutObject", "resource": "*"}, "ok"),
        ({"action": "cos:Get*"}, "ok"),
        ({"action": "*"}, "ok"),
        ({"action": "PutObject"}, "StrategyInvalid"),
        ({"action": []}, "StrategyFormatError"),
        ({"action": [1]}, "StrategyFormatError"),
        ({"effect": "Allow"}, "StrategyFormatError"),
        ({"effect": "deny"}, "ok"),
        ({"resource": "examplebucket-1250000000/dir/*"}, "ResouceError"),
        ({"resource": []}, "StrategyFormatError"),
        ({"principal": {"qcs": ["*"]}}, "StrategyInvalid"),
        ({"notResource": ["*"]}, "StrategyFormatError"),
        ({"condition": {}}, "ok"),
        ({"condition": {"ip_equal": {"qcs:ip": ["203.0.113.0/24", "::1"]}}}, "ok"),
        ({"condition": {"ip_equal": {"qcs:ip": "203.0.113.0/99"}}}, "StrategyFormatError"),
        ({"condition": {"numeric_less_than_equal": {"cos:content-length": 5}}}, "ok"),
        ({"condition": {"numeric_less_than_equal": {"cos:content-length": "five"}}}, "StrategyFormatError"),
        ({"condition": {"string_equal": {"cos:content-type": {"a": "b"}}}}, "StrategyFormatError"),
        ({"condition": {"string_like": {"cos:content-type": 7}}}, "StrategyFormatError"),
        ({"condition": {"string_not_equal": {"cos:content-type": []}}}, "StrategyFormatError"),
        ({"condition": {"string_equal": "cos:content-type"}}, "StrategyFormatError"),
        ({"condition": {"string_equals": {"cos:content-type": "a"}}}, "StrategyInvalid"),
        ({"condition": {"for_any_value:string_equal": {"cos:content-type": "a"}}}, "StrategyInvalid"),
        ({"condition": {"string_equal": {"cos:content_type": "a"}}}, "StrategyInvalid"),
        ({"effect": "deny", "condition": {"string_equal": {"cos:nonsense": "a"}}}, "StrategyInvalid"),
    ],
)
def test_statement(change, expected):
    """Each refused statement differs from a taken one in one thing; unknown conditions are errors, never passes."""
    document = {"version": "2.0", "statement": [STATEMENT, STATEMENT | change]}
    assert refusal(document).removeprefix("InvalidParameter.") == expected


def test_buckets():
    """Only resources that name bucket and region in full tell of a bucket."""
    listed = ["*", RESOURCE, "qcs::cos:*:uid/1250000000:other-1250000000/*", "qcs::cos:ap-beijing:uid/1250000000:*"]
    document = {"version": "2.0", "statement": [STATEMENT | {"resource": listed}]}
    assert list(documents.buckets(document)) == [("examplebucket-1250000000", "ap-guangzhou")]
