"""What a policy file is refused for; beside each mistake the sound policy that differs in it alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from broker.policy import parsing
from broker.policy.limits import Limits

META = "x-cos-meta-"


class Mistake(NamedTuple):
    """One refusal: the changes to a sound policy, where it is reported, with which words, and the sound twin."""

    base: str
    bad: dict[str, Any]
    field: str
    words: str
    twin: dict[str, Any]


def header(name: str, **rule: Any) -> dict[str, Any]:
    """A policy's `headers` with one rule."""
    return {"headers": {name: rule}}


def param(name: str, **rule: Any) -> dict[str, Any]:
    """A policy's `params` with one rule."""
    return {"params": {name: rule}}


SHAPES = [
    Mistake("read", {"vends": ...}, "vends", "required", {}),
    Mistake("read", {"bucket": ...}, "bucket", "required", {}),
    Mistake("read", {"region": ...}, "region", "required", {}),
    Mistake("read", {"key": ...}, "key", "required", {}),
    Mistake("read", {"colour": "red"}, "colour", "legal here: $schema, description", {"description": "red"}),
    Mistake("read", {"Vends": ["url"]}, "Vends", "is no field", {}),
    Mistake("read", {"schema_": "x"}, "schema_", "is no field", {"$schema": "x"}),
    Mistake("read", {"expires": {"seconds": 5}}, "expires.seconds", "default_seconds, max_seconds", {}),
    Mistake("read", {"credential": {"role": "x"}}, "credential.role", "role_arn", {}),
    Mistake("read", {"credential": {"rate": "x"}}, "credential.rate", "is no field", {}),
    Mistake(
        "read", {"inputs.name": {"regex": "a"}}, "inputs.name.regex", "is no field", {"inputs.name": {"pattern": "a"}}
    ),
    Mistake("read", {"description": 5}, "description", "string", {"description": "5"}),
    Mistake("read", {"description": None}, "description", "null", {"description": ""}),
    Mistake("read", {"description": "x" * 501}, "description", "500", {"description": "x" * 500}),
    Mistake("read", {"$schema": 1}, "$schema", "string", {"$schema": "./policy.schema.json"}),
    Mistake("read", {"vends": []}, "vends", "must not be empty", {}),
    Mistake("read", {"vends": "url"}, "vends", "list", {}),
    Mistake("read", {"vends": ["upload"]}, "vends[0]", "'download-url'", {}),
    Mistake("read", {"vends": ["url", "url"]}, "vends", "'url' twice", {"vends": ["url", "signature"]}),
    Mistake("read", {"vends": [["form"]]}, "vends[0]", "got a list", {}),
    Mistake("read", {"vends": [{"url": True}]}, "vends[0]", "got an object", {}),
    Mistake("read", {"vends": [None]}, "vends[0]", "null", {}),
    Mistake("read", {"methods": ["get"]}, "methods[0]", "'GET'", {}),
    Mistake("read", {"methods": ["PATCH"]}, "methods[0]", "'PATCH'", {}),
    Mistake("read", {"methods": ["GET", "GET"]}, "methods", "twice", {"methods": ["GET", "HEAD"]}),
    Mistake("read", {"methods": []}, "methods", "must not be empty", {}),
    Mistake("read", {"bucket": "*-1250000000"}, "bucket", "without wildcards", {}),
    Mistake("read", {"bucket": "examplebucket*"}, "bucket", "name-appid", {}),
    Mistake("read", {"bucket": "examplebucket"}, "bucket", "name-appid", {}),
    Mistake("read", {"bucket": "Example-1250000000"}, "bucket", "name-appid", {"bucket": "example-1250000000"}),
    Mistake("read", {"bucket": "a.b-1250000000"}, "bucket", "name-appid", {"bucket": "a-b-1250000000"}),
    Mistake("read", {"bucket": "a/b-1250000000"}, "bucket", "name-appid", {}),
    Mistake("read", {"bucket": "a-1250000000\n"}, "bucket", "name-appid", {"bucket": "a-1250000000"}),
    Mistake("read", {"region": "*"}, "region", "ap-guangzhou", {}),
    Mistake("read", {"region": "ap-guangzhou.evil.test"}, "region", "ap-guangzhou", {}),
    Mistake("read", {"region": "ap-guangzhou/"}, "region", "ap-guangzhou", {"region": "eu-frankfurt"}),
    Mistake(
        "read", {"expires": {"default_seconds": 0}}, "expires.default_seconds", "1", {"expires": {"default_seconds": 1}}
    ),
    Mistake("read", {"expires": {"default_seconds": 901}}, "expires", "1..900", {"expires": {"default_seconds": 900}}),
    Mistake("read", {"expires": {"max_seconds": 299}}, "expires", "got 300", {"expires": {"max_seconds": 300}}),
    Mistake(
        "read", {"expires": {"max_seconds": 600.5}}, "expires.max_seconds", "integer", {"expires": {"max_seconds": 600}}
    ),
    Mistake("read", {"expires": {"max_seconds": True}}, "expires.max_seconds", "integer", {}),
    Mistake("read", {"expires": {"max_seconds": "600"}}, "expires.max_seconds", "integer", {}),
    Mistake("read", {"expires": None}, "expires", "null", {"expires": {}}),
    Mistake("upload", {"content": {}}, "content", "types or max_bytes", {"content": {"max_bytes": 1}}),
    Mistake("upload", {"content.max_bytes": 0}, "content.max_bytes", "1", {"content.max_bytes": 1}),
    Mistake(
        "upload",
        {"content.max_bytes": 5 * 2**30 + 1},
        "content.max_bytes",
        str(5 * 2**30),
        {"content.max_bytes": 5 * 2**30},
    ),
    Mistake("upload", {"content.types": []}, "content.types", "must not be empty", {}),
    Mistake("upload", {"content.types": ["png"]}, "content.types[0]", "type/subtype", {}),
    Mistake("upload", {"content.types": ["*/*"]}, "content.types[0]", "type/*", {"content.types": ["audio/*"]}),
    Mistake("upload", {"content.types": ["image/p*"]}, "content.types[0]", "type/*", {"content.types": ["audio/*"]}),
    Mistake(
        "upload",
        {"content.types": ["text/plain; charset=utf-8"]},
        "content.types[0]",
        "without parameters",
        {"content.types": ["text/plain"]},
    ),
    Mistake("upload", {"content.types": ["image/png", "image/png"]}, "content.types", "twice", {}),
    Mistake(
        "read", {"inputs.name": {"enum": []}}, "inputs.name.enum", "must not be empty", {"inputs.name": {"enum": ["a"]}}
    ),
    Mistake(
        "read",
        {"inputs.name": {"enum": ["a", "a"]}},
        "inputs.name.enum",
        "twice",
        {"inputs.name": {"enum": ["a", "b"]}},
    ),
    Mistake(
        "read",
        {"inputs.name": {"enum": ["a"], "max_length": 5}},
        "inputs.name",
        "max_length",
        {"inputs.name": {"max_length": 5}},
    ),
    Mistake(
        "read",
        {"inputs.name": {"enum": ["a"], "type": "path"}},
        "inputs.name",
        "enum",
        {"inputs.name": {"type": "path"}},
    ),
    Mistake("read", {"inputs.name": {"type": "file"}}, "inputs.name.type", "'path'", {"inputs.name": {"type": "path"}}),
    Mistake(
        "read", {"inputs.name": {"max_length": 0}}, "inputs.name.max_length", "1", {"inputs.name": {"max_length": 1}}
    ),
    Mistake(
        "read",
        {"inputs.name": {"max_length": 257}},
        "inputs.name.max_length",
        "256",
        {"inputs.name": {"max_length": 256}},
    ),
    Mistake(
        "read",
        {"inputs.name": {"pattern": "["}},
        "inputs.name.pattern",
        "regular expression",
        {"inputs.name": {"pattern": "[a]"}},
    ),
    Mistake("read", {"inputs": {"Name": {}}}, "inputs.Name", "a-z 0-9 _", {}),
    Mistake("read", {"principals": {}}, "principals", "leave it out", {"principals": ...}),
    Mistake(
        "download",
        {"principals": {"anonymous": False}},
        "principals",
        "leave it out",
        {"principals": {"anonymous": True}},
    ),
    Mistake(
        "download",
        {"principals": {"anonymous": True, "claims": {"a": {"const": 1}}}},
        "principals",
        "both",
        {"principals": {"claims": {"a": {"const": 1}}}},
    ),
    Mistake(
        "read",
        {"principals": {"claims": {"a": {}}}},
        "principals.claims.a",
        "exactly one",
        {"principals": {"claims": {"a": {"const": "x"}}}},
    ),
    Mistake(
        "read",
        {"principals": {"claims": {"a": {"const": "x", "pattern": "x"}}}},
        "principals.claims.a",
        "const and pattern",
        {"principals": {"claims": {"a": {"pattern": "x"}}}},
    ),
    Mistake(
        "read",
        {"principals": {"claims": {"a": {"const": 1.5}}}},
        "principals.claims.a.const",
        "integer",
        {"principals": {"claims": {"a": {"const": 1}}}},
    ),
    Mistake(
        "read",
        {"principals": {"claims": {"a": {"enum": []}}}},
        "principals.claims.a.enum",
        "must not be empty",
        {"principals": {"claims": {"a": {"enum": [True]}}}},
    ),
    Mistake(
        "read",
        {"principals": {"claims": {"a": {"pattern": "("}}}},
        "principals.claims.a.pattern",
        "regular expression",
        {"principals": {"claims": {"a": {"pattern": "()"}}}},
    ),
    Mistake(
        "read",
        {"principals": {"claims": {"a b": {"const": 1}}}},
        "principals.claims.a b",
        "claim name",
        {"principals": {"claims": {"https://x.test/role": {"const": 1}}}},
    ),
    Mistake(
        "upload",
        header("Cache-Control", const="a", enum=["b"]),
        "headers.Cache-Control",
        "exactly one",
        header("Cache-Control", const="a"),
    ),
    Mistake(
        "upload",
        header("Cache-Control", required=True),
        "headers.Cache-Control",
        "exactly one",
        header("Cache-Control", enum=["a"], required=True),
    ),
    Mistake(
        "upload",
        header("Cache-Control", const="a", required=True),
        "headers.Cache-Control",
        "always there",
        header("Cache-Control", const="a"),
    ),
    Mistake(
        "upload",
        header("Cache-Control", pattern="*"),
        "headers.Cache-Control.pattern",
        "regular expression",
        header("Cache-Control", pattern=".*"),
    ),
    Mistake(
        "read",
        {"credential": {"scope": "user"}},
        "credential.scope",
        "'principal'",
        {"credential": {"scope": "principal"}},
    ),
    Mistake(
        "read",
        {"credential": {"duration_seconds": 129_601}},
        "credential.duration_seconds",
        "129600",
        {"credential": {"duration_seconds": 129_600}},
    ),
    Mistake(
        "read",
        {"credential": {"role_arn": "admin"}},
        "credential.role_arn",
        "roleName/NAME",
        {"credential": {"role_arn": "qcs::cam::uin/1:roleName/r"}},
    ),
    Mistake(
        "read",
        {"credential": {"role_arn": "qcs::cam::uin/1:roleName/角"}},
        "credential.role_arn",
        "roleName/NAME",
        {"credential": {"role_arn": "qcs::cam::uin/1:role/2"}},
    ),
]

SHAPES += [
    Mistake(
        "read",
        {"principals": {"claims": {"a": {"contains": word}}}},
        "principals.claims.a.contains",
        "one word",
        {"principals": {"claims": {"a": {"contains": "ab"}}}},
    )
    for word in ("", "a b", " a")
]

RATES = [
    Mistake("read", {"rate": rate}, "rate", f"10 per 2 hours: 1 to 1,000,000, in 1 second to 1 day, got {rate!r}", twin)
    for rate, twin in [
        ("0/minute", {"rate": "1/minute"}),
        ("5/0 minutes", {"rate": "5/1 minutes"}),
        ("60/minute; 5/second", {"rate": "60/minute"}),
        ("60", {"rate": "60 per second"}),
        ("60/fortnight", {"rate": "60/day"}),
        ("-5/minute", {"rate": " 5 / minute "}),
        ("1.5/minute", {"rate": "3 per 2 minutes"}),
        ("1000001/minute", {"rate": "1000000/minute"}),
        ("5/25 hours", {"rate": "5/24 hours"}),
        ("5/month", {"rate": "5/1day"}),
        ("", {}),
    ]
]
RATES += [Mistake("read", {"rate": 60}, "rate", "must be a string, got 60", {"rate": "60/minute"})]

ASKED = {"as": {"sub": "u1"}, "ask": {"vend": "url", "inputs": {"name": "a"}}, "expect": "granted"}


def condition(operator: str, key: str, value: Any) -> dict[str, Any]:
    """A policy's `condition` with one key."""
    return {"condition": {operator: {key: value}}}


def window(seconds: int, **expires: int) -> dict[str, Any]:
    """A policy's `expires` with a window."""
    return {"expires": {"window_seconds": seconds, **expires}}


PREFIX = {"prefix": {"const": "files/{principal.sub}/"}}
LISTING = {"key": "/", "inputs": ..., "params": PREFIX}

FIELDS = [
    Mistake("read", {"endpoint": "http://cdn.test"}, "endpoint", "https", {"endpoint": "https://cdn.test"}),
    Mistake("read", {"endpoint": "https://cdn.test/a"}, "endpoint", "host alone", {"endpoint": "https://cdn.test/"}),
    Mistake("read", {"endpoint": "https://{zone}.test"}, "endpoint", "{bucket}", {"endpoint": "https://{bucket}.test"}),
    Mistake("read", {"endpoint": "cdn.test"}, "endpoint", "https", {"endpoint": "http://127.0.0.1:9000"}),
    Mistake("read", {"condition": {"ip_equal": {}}}, "condition.ip_equal", "qcs:ip", {"condition": {}}),
    Mistake("read", {"condition": {"ip_equal": "x"}}, "condition.ip_equal", "object", {"condition": {}}),
    *(
        Mistake(base, condition(operator, key, value), f"condition.{operator}.{key}{place}", words, twin)
        for base, operator, key, value, place, words, twin in [
            ("read", "string_equal", "cos:prefix", "a/", "", "qcs:ip (ip_equal", {}),
            ("read", "string_equal", "cos:content-type", "a/b", "", "no condition key to add", {}),
            (
                "read",
                "ip_equal_if_exist",
                "qcs:ip",
                "1.2.3.4",
                "",
                "got ip_equal_if_exist",
                condition("ip_equal", "qcs:ip", "1.2.3.4"),
            ),
            (
                "read",
                "ip_equal",
                "qcs:ip",
                [],
                "",
                "not be empty",
                condition("ip_equal", "qcs:ip", ["203.0.113.0/24", "2001:db8::/32"]),
            ),
            (
                "read",
                "ip_equal",
                "qcs:ip",
                "203.0.113.1/24",
                "",
                "203.0.113.0/24",
                condition("ip_not_equal", "qcs:ip", "203.0.113.0/24"),
            ),
            (
                "read",
                "ip_equal",
                "qcs:ip",
                ["1.2.3.4", "*"],
                "[1]",
                "'*'",
                condition("ip_equal", "qcs:ip", ["1.2.3.4"]),
            ),
            ("read", "ip_equal", "qcs:ip", "fe80::1%eth0", "", "network", condition("ip_equal", "qcs:ip", "fe80::1")),
            (
                "read",
                "bool_equal",
                "cos:secure-transport",
                "yes",
                "",
                '"true"',
                condition("bool_equal", "cos:secure-transport", "true"),
            ),
            (
                "read",
                "numeric_greater_than_equal",
                "cos:tls-version",
                "2",
                "",
                "1.3",
                condition("numeric_greater_than_equal", "cos:tls-version", 1.2),
            ),
            (
                "read",
                "string_equal",
                "vpc:requester_vpc",
                "any",
                "",
                "vpc-",
                condition("string_equal", "vpc:requester_vpc", "vpc-1a2b3c4d"),
            ),
            ("read", "string_equal", "cos:x-cos-storage-class", "STANDARD", "", "uploads alone", {}),
            (
                "upload",
                "string_equal_if_exist",
                "cos:x-cos-storage-class",
                "any",
                "",
                "STANDARD",
                condition("string_equal_if_exist", "cos:x-cos-storage-class", "STANDARD"),
            ),
        ]
    ),
    Mistake("download", window(-1), "expires.window_seconds", "0", window(0)),
    Mistake("download", window(601), "expires", "300 + 601", window(600)),
    Mistake("download", window(60, max_seconds=300), "expires", "(300)", window(60, max_seconds=360)),
    Mistake("upload", window(60), "expires.window_seconds", "got PUT", window(0)),
    Mistake(
        "read",
        {**window(60), "methods": ["GET", "DELETE"]},
        "expires.window_seconds",
        "GET, DELETE",
        {**window(60), "methods": ["GET", "HEAD"]},
    ),
    Mistake(
        "read",
        {**window(60), "key": "files/{principal.sub}/{uuid}.{name}"},
        "expires.window_seconds",
        "an input in their place",
        window(60),
    ),
    Mistake(
        "keys",
        {**window(60), "methods": ["GET"]},
        "expires.window_seconds",
        "signed requests",
        {**window(60), "methods": ["GET"], "vends": ["url", "credentials"]},
    ),
    Mistake(
        "download",
        {**window(60), "params": {"response-cache-control": {"const": "no-store"}}},
        "params.response-cache-control",
        "window_seconds",
        {"params": {"response-cache-control": {"const": "x"}}},
    ),
    Mistake(
        "upload",
        {**header("Content-Type", enum=["image/png"])},
        "headers.Content-Type",
        "content.types",
        {**header("Content-Type", enum=["image/png"]), "content": {"max_bytes": 5}},
    ),
    Mistake("upload", header("X-Cos-Acl", pattern=".*"), "headers.X-Cos-Acl", "const or enum", {}),
    Mistake(
        "read",
        {"params": {"pA": {"const": "a"}, "Pa": {"const": "a"}}},
        "params.pA",
        "stands twice",
        {"params": {"pA": {"const": "a"}, "Pb": {"const": "a"}}},
    ),
    Mistake(
        "read",
        {"methods": ["DELETE"], **header("X-A", const="a")},
        "headers.X-A",
        "nothing on this route takes it",
        {"methods": ["DELETE"], **header("If-Match", pattern="[a-z]+")},
    ),
    Mistake(
        "upload",
        {"content.part_bytes": 8388608},
        "content.part_bytes",
        "multipart",
        {"content.part_bytes": 8388608, "vends": ["url", "multipart"]},
    ),
    Mistake("upload", {"vends": ["form"]}, "methods", "leave it out", {"vends": ["form"], "methods": ...}),
    Mistake(
        "upload",
        {"vends": ["multipart"], "methods": ..., "key": "a/{uuid}.{ext}"},
        "key",
        "needs a claim",
        {"vends": ["multipart"], "methods": ...},
    ),
    Mistake(
        "upload",
        {"vends": ["multipart"], "methods": ..., "content.max_bytes": 10_001 * 2**20, "content.part_bytes": 2**20},
        "content",
        "part_bytes must be at least",
        {"vends": ["multipart"], "methods": ..., "content.max_bytes": 10_000 * 2**20, "content.part_bytes": 2**20},
    ),
    Mistake(
        "upload",
        {"vends": ["url", "multipart"], "content.max_bytes": 6 * 2**30},
        "content.max_bytes",
        "PUT and forms",
        {"vends": ["multipart"], "methods": ..., "content.max_bytes": 6 * 2**30},
    ),
    Mistake(
        "upload",
        {"vends": ["form"], "methods": ..., "params": {"a": {"const": "b"}}},
        "params.a",
        "no parameters",
        {"vends": ["form"], "methods": ...},
    ),
    Mistake(
        "read",
        {"vends": ["confirm"], "methods": ..., "headers": {"Range": {"pattern": ".*"}}},
        "headers.Range",
        "nothing on this route takes it",
        {"vends": ["confirm"], "methods": ...},
    ),
    Mistake(
        "upload",
        {"vends": ["form"], "methods": ..., "headers": {"success_action_redirect": {"pattern": ".*"}}},
        "headers.success_action_redirect",
        "const https URL",
        {"vends": ["form"], "methods": ..., "headers": {"success_action_redirect": {"const": "https://a.test/done"}}},
    ),
    Mistake(
        "upload",
        header("success_action_redirect", const="https://a.test"),
        "headers.success_action_redirect",
        "a route of its own",
        {},
    ),
    Mistake("read", {"vends": ["url", "multipart"], **window(60)}, "expires.window_seconds", "multipart", window(60)),
    Mistake("upload", {"content": {"part_bytes": 8388608}}, "content", "types or max_bytes", {}),
    Mistake(
        "read", {"tests": [{**ASKED, "expect": "denied"}]}, "tests[0].expect", "'key_not_allowed'", {"tests": [ASKED]}
    ),
    Mistake("read", {"tests": [{"ask": {}}]}, "tests[0].expect", "required", {"tests": []}),
    Mistake("read", {"tests": [{**ASKED, "why": ""}]}, "tests[0].why", "legal here: as, ask, expect", {}),
    Mistake("read", {"inputs": {"name": {"patern": "x"}}}, "inputs.name.patern", "legal here: type, enum", {}),
    Mistake(
        "read",
        {"key": "files/{principal.sub}/{type}", "inputs": {"type": {"patern": "x"}}},
        "inputs.type.patern",
        "legal here: type, enum",
        {},
    ),
    Mistake("upload", {"headers": {"const": {"x": 1}}}, "headers.const.x", "legal here: const, enum", {}),
    Mistake(
        "read",
        {"principals": {"claims": {"pattern": {"x": 1}}}},
        "principals.claims.pattern.x",
        "legal here: const, enum",
        {},
    ),
    Mistake("read", {"tests": [{**ASKED, "as": "u1"}]}, "tests[0].as", "must be an object", {"tests": [ASKED]}),
    *(
        Mistake("read", {**LISTING, **bad}, field, words, {**LISTING, **twin})
        for bad, field, words, twin in [
            ({"params": {}}, "params.prefix", "is required to list", {"params": {}, "methods": ["HEAD"]}),
            ({"params": {"prefix": {"pattern": ".*"}}}, "params.prefix", "const", {}),
            ({"params": {"prefix": {"const": "files/{principal.sub}"}}}, "params.prefix.const", "must end in '/'", {}),
            ({"params": {"prefix": {"const": "/"}}}, "params.prefix.const", "empty", {"params": PREFIX}),
            ({"params": {"prefix": {"const": "a/x{principal.sub}/"}}}, "params.prefix.const", "whole segment", {}),
            ({"methods": ["PUT"]}, "methods[0]", "GET or HEAD", {"methods": ["GET", "HEAD"]}),
            ({"vends": ["url", "download-url"]}, "vends[1]", "url or signature", {"vends": ["url", "signature"]}),
            ({"credential": {"scope": "route"}}, "credential.scope", "nothing", {"credential": {"scope": "object"}}),
            (window(60), "expires.window_seconds", "listings change", window(0)),
            (
                {"params": {**PREFIX, "uploads": {"const": ""}}},
                "params.uploads",
                "another operation",
                {"params": {**PREFIX, "delimiter": {"const": "/"}, "max-keys": {"pattern": "[0-9]{1,3}"}}},
            ),
        ]
    ),
    Mistake("read", {"params": PREFIX}, "params.prefix", "another operation", {}),
]

KEYS = [
    Mistake("read", {"key": "files/{principal.sub}/{nmae}", "inputs": {}}, "key", "{nmae} is not declared", {}),
    Mistake("read", {"inputs.other": {}}, "inputs.other", "not used", {}),
    Mistake("read", {"key": "files/*", "inputs": {}}, "key", "'*'", {"key": "files/a", "inputs": {}}),
    Mistake("read", {"key": "files/../a", "inputs": {}}, "key", "'..'", {"key": "files/..a", "inputs": {}}),
    Mistake("read", {"key": "/files/{name}"}, "key", "begin", {"key": "files/{name}"}),
    Mistake("read", {"key": "files/u-{principal.sub}/{name}"}, "key", "whole segment", {}),
    Mistake(
        "read",
        {"key": "{principal.sub}/{name}"},
        "key",
        "literal first segment",
        {"key": "{principal.sub}/{name}", "credential": {"scope": "object"}},
    ),
    Mistake("read", {"key": "{name}"}, "key", "literal first segment", {"key": "files/{name}"}),
    Mistake("read", {"key": "file-{name}"}, "key", "literal first segment", {"key": "file/{name}"}),
    Mistake(
        "read",
        {"key": "f/{name}/{principal.sub}"},
        "key",
        "precedes a claim",
        {"key": "f/{name}/{principal.sub}", "credential": {"scope": "object"}},
    ),
    Mistake(
        "read",
        {"key": "f/{date:%Y/%m/%d}/{principal.sub}", "inputs": {}},
        "key",
        "precedes a claim",
        {"key": "f/{principal.sub}/{date:%Y/%m/%d}", "inputs": {}},
    ),
    Mistake(
        "read",
        {"key": "f/{path}/x", "inputs": {"path": {"type": "path"}}},
        "inputs.path",
        "at the end",
        {"key": "f/x/{path}", "inputs": {"path": {"type": "path"}}},
    ),
    Mistake(
        "read",
        {"key": "f/x-{path}", "inputs": {"path": {"type": "path"}}},
        "inputs.path",
        "whole segments",
        {"key": "f/x/{path}", "inputs": {"path": {"type": "path"}}},
    ),
    Mistake(
        "read",
        {"inputs.name": {"enum": ["a", "a/b"]}},
        "inputs.name.enum[1]",
        "'/'",
        {"inputs.name": {"enum": ["a", "a-b"]}},
    ),
    Mistake(
        "read", {"inputs.name": {"enum": [".."]}}, "inputs.name.enum[0]", "'..'", {"inputs.name": {"enum": ["..."]}}
    ),
    Mistake("read", {"inputs.name": {"enum": [""]}}, "inputs.name.enum[0]", "empty", {"inputs.name": {"enum": ["a"]}}),
    Mistake("read", {"inputs.name": {"enum": ["a*"]}}, "inputs.name.enum[0]", "'*'", {"inputs.name": {"enum": ["a"]}}),
    Mistake("read", {"inputs": {"name": {}, "uuid": {}}}, "inputs.uuid", "", {}),
    Mistake(
        "download",
        {"principals": {"anonymous": True}, "key": "p/{principal.sub}/{name}"},
        "key",
        "no claims",
        {"principals": {"anonymous": True}},
    ),
    Mistake(
        "upload",
        {
            "principals": {"anonymous": True},
            "key": "p/{uuid}",
            "inputs": {},
            "credential": {"shared_writes": True},
            **header("x-cos-meta-by", const="{principal.sub}"),
        },
        "headers.x-cos-meta-by",
        "no claims",
        {
            "principals": {"anonymous": True},
            "key": "p/{uuid}",
            "inputs": {},
            "credential": {"shared_writes": True},
            **header("x-cos-meta-by", const="all"),
        },
    ),
    Mistake(
        "download",
        {"principals": {"anonymous": True}, **param("by", const="{principal.sub}")},
        "params.by",
        "no claims",
        {"principals": {"anonymous": True}, **param("by", const="all")},
    ),
]

VENDS = [
    Mistake("read", {"methods": ...}, "methods", "required by url", {}),
    Mistake("download", {"methods": ["GET"]}, "methods", "leave it out", {}),
    Mistake(
        "download",
        {"methods": ["PUT"]},
        "methods",
        "leave it out",
        {"methods": ["PUT"], "vends": ["download-url", "url"], "credential": {"shared_writes": True}},
    ),
    Mistake("keys", {"methods": ["GET", "POST"]}, "methods", "POST", {"methods": ["GET", "DELETE"]}),
    Mistake(
        "keys",
        {"vends": ["url", "credentials"], "methods": ["GET", "POST"]},
        "methods",
        "POST",
        {"vends": ["url", "credentials"], "methods": ["GET", "PUT"]},
    ),
    Mistake(
        "read",
        {"content": {"max_bytes": 5}},
        "content",
        "PUT",
        {"content": {"max_bytes": 5}, "methods": ["GET", "PUT"]},
    ),
    Mistake("upload", {"methods": ["POST"]}, "content", "PUT", {"methods": ["POST", "PUT"]}),
    Mistake("keys", {"key": "users/{principal.sub}/{path}", "inputs": {"path": {}}}, "key", "one path input", {}),
    Mistake("keys", {"key": "users/{principal.sub}", "inputs": {}}, "key", "one path input", {}),
    Mistake("keys", {"inputs": {"path": {"type": "path", "pattern": "a.*"}}}, "key", "without pattern", {}),
    Mistake(
        "keys",
        {"key": "users/{principal.sub}/{x}/{path}", "inputs.x": {}},
        "key",
        "whole-segment claims",
        {"key": "users/{principal.sub}/x/{path}"},
    ),
    Mistake(
        "keys",
        {"key": "users/{principal.sub}/{uuid}/{path}"},
        "key",
        "whole-segment claims",
        {"key": "users/{principal.sub}/{principal.t}/{path}"},
    ),
    Mistake(
        "keys",
        {"credential": {"scope": "object"}},
        "credential.scope",
        "principal",
        {"credential": {"scope": "principal"}},
    ),
    Mistake(
        "keys",
        {"credential": {"scope": "route"}, "methods": ["GET"]},
        "credential.scope",
        "principal",
        {"key": "users/{path}", "credential": {"scope": "route"}, "methods": ["GET"]},
    ),
    Mistake("keys", param("a", const="b"), "params", "must be empty", {"params": {}}),
    Mistake(
        "keys",
        {"methods": ["GET"], "key": "shared/{path}", "credential": {"scope": "object"}},
        "credential.scope",
        "it is route",
        {"methods": ["GET"], "key": "shared/{path}", "credential": {"scope": "route"}},
    ),
    Mistake(
        "keys",
        header("X-Cos-Meta-A", enum=["private"]),
        "headers.X-Cos-Meta-A",
        "CAM",
        header("X-Cos-Acl", enum=["private"]),
    ),
    Mistake(
        "read",
        {"key": "files/{path}a", "inputs": {"path": {"type": "path"}}},
        "inputs.path",
        "whole segments",
        {"key": "{path}", "inputs": {"path": {"type": "path"}}, "credential": {"scope": "object"}},
    ),
    Mistake(
        "upload",
        {**condition("string_equal", "cos:x-cos-storage-class", "STANDARD"), "methods": ["PUT", "HEAD"]},
        "condition.string_equal.cos:x-cos-storage-class",
        "has HEAD, PUT",
        {**condition("string_equal", "cos:x-cos-storage-class", "STANDARD"), "methods": ["PUT", "POST"]},
    ),
    *(
        Mistake(
            "upload",
            {**condition("string_equal", "cos:x-cos-storage-class", "STANDARD"), "vends": vends, "methods": methods},
            "condition.string_equal.cos:x-cos-storage-class",
            words,
            {
                **condition("string_equal_if_exist", "cos:x-cos-storage-class", "STANDARD"),
                "vends": vends,
                "methods": methods,
            },
        )
        for vends, methods, words in (
            (["form"], ..., "of form never carry"),
            (["multipart"], ..., "of multipart never carry"),
            (["url", "form", "multipart"], ["PUT"], "of form and multipart never carry"),
        )
    ),
    Mistake(
        "keys",
        header("Cache-Control", const="a"),
        "headers.Cache-Control",
        "CAM cannot hold it",
        header("x-cos-acl", const="private"),
    ),
    Mistake(
        "keys",
        header("x-cos-acl", enum=["private"], required=True),
        "headers.x-cos-acl",
        "CAM",
        header("x-cos-acl", enum=["private"]),
    ),
    Mistake(
        "upload",
        {"key": "f/{uuid}", "inputs": {}},
        "credential.scope",
        "shared_writes",
        {"key": "f/{uuid}", "inputs": {}, "credential": {"shared_writes": True}},
    ),
    Mistake(
        "upload",
        {"credential": {"scope": "route"}},
        "credential.scope",
        "shared_writes",
        {"credential": {"scope": "principal"}},
    ),
    Mistake(
        "read",
        {"methods": ["DELETE"], "credential": {"scope": "route"}},
        "credential.scope",
        "DELETE",
        {"credential": {"scope": "route"}},
    ),
    Mistake(
        "read",
        {"key": "f/{name}", "credential": {"scope": "principal"}},
        "credential.scope",
        "{principal.CLAIM}",
        {"key": "f/{name}", "credential": {"scope": "route"}},
    ),
    Mistake(
        "upload",
        {"credential": {"shared_writes": True}},
        "credential.shared_writes",
        "scope route",
        {"credential": {"shared_writes": False}},
    ),
    Mistake(
        "read",
        {"credential": {"scope": "route", "shared_writes": True}},
        "credential.shared_writes",
        "writes",
        {"credential": {"scope": "route"}},
    ),
    Mistake(
        "read",
        {"credential": {"external_id": "abc"}},
        "credential.external_id",
        "role_arn",
        {"credential": {"external_id": "abc", "role_arn": "qcs::cam::uin/1:roleName/r"}},
    ),
    Mistake(
        "read",
        {"credential": {"role_arn": "qcs::cam::uin/1:roleName/r", "duration_seconds": 43_201}},
        "credential.duration_seconds",
        "43200",
        {"credential": {"role_arn": "qcs::cam::uin/1:roleName/r", "duration_seconds": 43_200}},
    ),
    Mistake(
        "read", {"credential": {"min_remaining_seconds": 600}}, "credential.min_remaining_seconds", "does not have", {}
    ),
    # need + 120 <= 0.75 * duration; need is max_seconds + 60, or min_remaining_seconds for keys
    Mistake(
        "read",
        {"credential": {"duration_seconds": 1439}},
        "expires.max_seconds",
        "at least 1440",
        {"credential": {"duration_seconds": 1440}},
    ),
    Mistake(
        "read",
        {"expires": {"max_seconds": 1171}},
        "expires.max_seconds",
        "got 1800",
        {"expires": {"max_seconds": 1170}},
    ),
    Mistake(
        "keys",
        {"credential": {"min_remaining_seconds": 1231}},
        "credential.min_remaining_seconds",
        "got 1800",
        {"credential": {"min_remaining_seconds": 1230}},
    ),
    Mistake(
        "keys",
        {"credential": {"duration_seconds": 959}},
        "credential.min_remaining_seconds",
        "at least 960",
        {"credential": {"duration_seconds": 960}},
    ),
    Mistake(
        "read",
        {"expires": {"max_seconds": 1000}, "credential": {"duration_seconds": 1573}},
        "expires.max_seconds",
        "at least 1574, got 1573",
        {"expires": {"max_seconds": 1000}, "credential": {"duration_seconds": 1574}},
    ),
    Mistake(
        "read",
        {"key": "files/{principal.sub}/{name}/{principal.tenant}", "credential": {"scope": "principal"}},
        "key",
        "precedes a claim",
        {"key": "files/{principal.sub}/{principal.tenant}/{name}", "credential": {"scope": "principal"}},
    ),
    Mistake(
        "read", {"expires": {"max_seconds": 10**400}}, "expires.max_seconds", "", {"expires": {"max_seconds": 1170}}
    ),
    Mistake("keys", {"credential": {"min_remaining_seconds": 10**400}}, "credential.min_remaining_seconds", "", {}),
]

RESERVED = (
    "Authorization HOST q-ak q-sign-time sign x-cos-security-token x-ci-process x-cos-copy-source x-cos-grant-read"
    " x-cos-copy-source-range x-cos-callback x-cos-callback-var Pic-Operations Transfer-Encoding connection Expect"
    " x-cos-server-side-encryption-customer-key"
).split()
SUB_RESOURCES = (
    "acl ACL tagging uploads uploadId partNumber append position delete restore select retention policy cors lifecycle"
    " versions prefix delimiter marker max-keys encoding-type"
).split()

VALUES = [
    Mistake(
        "upload",
        header("Cache Control", const="a"),
        "headers.Cache Control",
        "no header name",
        header("Cache-Control", const="a"),
    ),
    Mistake(
        "upload",
        header("Cache-Control\n", const="a"),
        "headers.Cache-Control\n",
        "no header name",
        header("Cache-Control", const="a"),
    ),
    Mistake("upload", header("X-*", pattern="a"), "headers.X-*", "x-cos-meta-*", header("X-A", pattern="a")),
    Mistake("upload", header("*", pattern="a"), "headers.*", "x-cos-meta-*", header("x-cos-meta-*", pattern="a")),
    Mistake(
        "upload",
        header(META + "a_b", const="a"),
        "headers.x-cos-meta-a_b",
        "a-z 0-9 -",
        header(META + "a-b", const="a"),
    ),
    Mistake("upload", header(META, const="a"), "headers.x-cos-meta-", "1 to 64", header(META + "a", const="a")),
    Mistake(
        "upload",
        header(META + "a" * 65, const="a"),
        f"headers.{META}{'a' * 65}",
        "1 to 64",
        header(META + "a" * 64, const="a"),
    ),
    Mistake(
        "upload",
        header(META + "*", const="a"),
        "headers.x-cos-meta-*",
        "enum or pattern",
        header(META + "*", enum=["a"]),
    ),
    Mistake(
        "upload",
        header(META + "*", pattern="a", required=True),
        "headers.x-cos-meta-*",
        "never required",
        header(META + "*", pattern="a"),
    ),
    Mistake(
        "upload",
        {"headers": {"Cache-Control": {"const": "a"}, "cache-control": {"const": "b"}}},
        "headers.cache-control",
        "twice",
        header("cache-control", const="b"),
    ),
    Mistake(
        "upload",
        header("content-TYPE", enum=["image/png"]),
        "headers.content-TYPE",
        "content.types",
        header("content-language", enum=["de"]),
    ),
    Mistake(
        "upload",
        header("Content-Length", enum=["5"]),
        "headers.Content-Length",
        "content.max_bytes",
        {**header("Content-Length", enum=["5"]), "content": {"types": ["image/png"]}},
    ),
    Mistake(
        "read",
        header("Cache-Control", const="a"),
        "headers.Cache-Control",
        "Range and If-*",
        header("Range", pattern="bytes=.*"),
    ),
    Mistake(
        "download",
        header("Cache-Control", const="a"),
        "headers.Cache-Control",
        "Range and If-*",
        header("If-Match", pattern=".*"),
    ),
    Mistake(
        "read",
        header("x-cos-meta-a", const="a"),
        "headers.x-cos-meta-a",
        "Range and If-*",
        {"methods": ["GET", "PUT"], **header("x-cos-meta-a", const="a")},
    ),
    Mistake("upload", header("X-A", const=""), "headers.X-A.const", "printable ASCII", header("X-A", const="a")),
    Mistake("upload", header("X-A", const=" a"), "headers.X-A.const", "spaces at its ends", header("X-A", const="a a")),
    Mistake(
        "upload",
        header("X-A", const="a\r\nX-B: c"),
        "headers.X-A.const",
        "printable ASCII",
        header("X-A", const="a X-B: c"),
    ),
    Mistake("upload", header("X-A", const="é"), "headers.X-A.const", "printable ASCII", header("X-A", const="e")),
    Mistake(
        "upload",
        header("X-A", enum=["a", "b\t"]),
        "headers.X-A.enum[1]",
        "printable ASCII",
        header("X-A", enum=["a", "b"]),
    ),
    Mistake(
        "upload",
        header("X-A", const="{ext}"),
        "headers.X-A.const",
        "{principal.CLAIM}",
        header("X-A", const="{principal.sub}"),
    ),
    Mistake(
        "upload",
        header("X-A", const="{uuid}"),
        "headers.X-A.const",
        "{principal.CLAIM}",
        header("X-A", const="id {principal.id}!"),
    ),
    Mistake(
        "upload", header("X-A", const='{"a":1}'), "headers.X-A.const", "a placeholder is", header("X-A", const='["a"]')
    ),
    Mistake(
        "upload",
        header("x-cos-acl", pattern=".*"),
        "headers.x-cos-acl",
        "const or enum",
        header("x-cos-acl", enum=["private"]),
    ),
    Mistake(
        "upload",
        header("X-Cos-Acl", const="{principal.acl}"),
        "headers.X-Cos-Acl.const",
        "literal",
        header("X-Cos-Acl", const="private"),
    ),
    Mistake("read", param("", const="a"), "params", "1 to 128", param("a", const="a")),
    Mistake("read", param("a\nb", const="a"), "params", "printable", param("a b", const="a")),
    Mistake("read", param("a" * 129, const="a"), "params", "1 to 128", param("a" * 128, const="a")),
    Mistake(
        "read", {"params": {"A": {"const": "1"}, "a": {"const": "2"}}}, "params.a", "lower case", param("a", const="2")
    ),
    Mistake("read", param("a", const="a\nb"), "params.a.const", "control", param("a", const="")),
    Mistake("read", param("a", enum=["é", "\x85"]), "params.a.enum[1]", "control", param("a", enum=["é", "", "a b"])),
    Mistake(
        "read", param("a", const="{name}"), "params.a.const", "{principal.CLAIM}", param("a", const="{principal.sub}")
    ),
    Mistake(
        "read",
        param("versionId", pattern=".*"),
        "params.versionId",
        "scope object",
        {**param("versionId", pattern=".*"), "credential": {"scope": "object"}},
    ),
    Mistake(
        "read",
        param("response-content-type", pattern=".*"),
        "params.response-content-type",
        "scope object",
        param("response-content-type", enum=["a/b"]),
    ),
    Mistake(
        "read",
        param("versionId", const="{principal.v}"),
        "params.versionId.const",
        "literal",
        param("versionId", const="v1"),
    ),
    Mistake("read", param("versionid", const="a"), "params.versionid", "versionId", param("versionId", const="a")),
    Mistake(
        "read",
        param("Response-Content-Type", const="a"),
        "params.Response-Content-Type",
        "response-content-type",
        param("response-content-type", const="a"),
    ),
    Mistake(
        "read",
        param("Response-Content-Disposition", const="a"),
        "params.Response-Content-Disposition",
        "response-content-disposition",
        param("response-content-disposition", const="a"),
    ),
    *(Mistake("upload", header(name, const="a"), f"headers.{name}", "reserved", {}) for name in RESERVED),
    *(Mistake("read", param(name, const="a"), f"params.{name}", "reserved", {}) for name in RESERVED),
    *(Mistake("read", param(name, const="a"), f"params.{name}", "another operation", {}) for name in SUB_RESOURCES),
]

ALL = [*SHAPES, *RATES, *FIELDS, *KEYS, *VENDS, *VALUES]


def name_of(mistake: Mistake) -> str:
    """A mistake as a test id."""
    return f"{mistake.field} {mistake.words}"[:60].encode("ascii", "replace").decode()


@pytest.mark.parametrize("mistake", ALL, ids=name_of)
def test_mistake(policy, problems, mistake):
    """A mistake is reported at its field in words that help; the twin loads."""
    found = problems(policy(mistake.base, mistake.bad))
    assert mistake.field in found
    assert mistake.words in found[mistake.field]
    assert problems(policy(mistake.base, mistake.twin)) == {}


@pytest.mark.parametrize("mistake", ALL, ids=name_of)
def test_one_mistake_is_one_problem(policy, problems, mistake):
    """A single mistake is not reported as many: at most one other field echoes it."""
    assert len(problems(policy(mistake.base, mistake.bad))) <= 2


@pytest.mark.parametrize("value", [None, [], "x", 5, True])
def test_file_that_is_no_object(problems, value):
    """A policy is an object."""
    assert "must be a JSON object" in problems(value)[""]


@pytest.mark.parametrize("base", ["upload", "read", "download", "keys"])
def test_sound_policy(policy, problems, base):
    """The policies that the tables change are themselves sound."""
    assert problems(policy(base, {})) == {}


class TestManyMistakes:
    """One run reports every mistake."""

    @pytest.mark.parametrize(
        ("bad", "fields"),
        [
            pytest.param(
                {
                    "key": "files/{principal.sub}/{nope}",
                    "inputs": {},
                    "methods": ["PUT"],
                    "content": {"types": ["text/html"]},
                },
                {"key", "content.types[0]"},
                id="undeclared input, active type",
            ),
            pytest.param(
                {"methods": ["PUT"], "content": {"max_bytes": 0}, "headers": {"Authorization": {"const": "x"}}},
                {"content.max_bytes", "headers.Authorization"},
                id="bad content, reserved header",
            ),
            pytest.param(
                {"vends": ["upload"], "headers": {"Host": {"const": "x"}}, "params": {"acl": {"const": ""}}},
                {"vends[0]", "headers.Host", "params.acl"},
                id="bad vend, reserved header, sub-resource",
            ),
            pytest.param(
                {"methods": ["FETCH"], "headers": {"Host": {"const": "x"}}},
                {"methods[0]", "headers.Host"},
                id="bad method, reserved header",
            ),
            pytest.param(
                {"key": "a//b", "inputs": {"name": {"enum": ["*"]}}, "expires": {"max_seconds": 5000}},
                {"key", "inputs.name.enum[0]", "expires.max_seconds"},
                id="bad key, bad input, long expiry",
            ),
            pytest.param(
                {"key": "files/{principal.sub}/{nope}", "inputs": {}, "credential": {"external_id": "abc"}},
                {"key", "credential.external_id"},
                id="undeclared input, lonely external id",
            ),
            pytest.param(
                {"rate": "0/minute", "bucket": "x", "expires": {"max_seconds": 9000}, "params": {"acl": {"const": ""}}},
                {"rate", "bucket", "expires.max_seconds", "params.acl"},
                id="bad rate, bucket, long expiry, sub-resource",
            ),
        ],
    )
    def test_independent_mistakes(self, policy, problems, bad, fields):
        """A mistake in one field does not hide an independent one in another."""
        assert fields <= set(problems(policy("read", bad)))

    @pytest.mark.parametrize("value", [5, "x", [], ["name"]])
    @pytest.mark.parametrize("field", ["inputs", "headers", "params", "principals", "content", "credential"])
    def test_wrong_kind(self, policy, problems, field, value):
        """What is no object where one belongs is told there, and its neighbours are looked at all the same."""
        found = problems(policy("read", {field: value, "bucket": "x"}))
        assert {field, "bucket"} <= set(found) <= {field, "bucket", "key"}
        assert "must be an object" in found[field]

    def test_unsound_input(self, policy, problems):
        """An input with a mistake is declared all the same: the key that names it is not told of."""
        assert list(problems(policy("read", {"inputs": {"name": {"enum": []}}}))) == ["inputs.name.enum"]
        assert set(problems(policy("read", {"inputs": {"nope": {"enum": []}}}))) == {
            "inputs.nope.enum",
            "inputs.nope",
            "key",
        }

    @pytest.mark.parametrize(
        ("bad", "field"),
        [
            ({"key": "files/{name"}, "key"),
            (
                {"expires": {"max_seconds": 5000}, "credential": {"duration_seconds": "x"}},
                "credential.duration_seconds",
            ),
            ({"methods": ["FETCH"], "credential": {"scope": "route", "shared_writes": True}}, "methods[0]"),
            ({"methods": ["FETCH"], "headers": {"Range": {"pattern": "a"}}}, "methods[0]"),
            ({"params": {"versionId": {"pattern": "a"}}, "credential": {"scope": "x"}}, "credential.scope"),
        ],
    )
    def test_what_depends_on_it(self, policy, problems, bad, field):
        """What cannot be judged without an unsound field is not judged."""
        assert list(problems(policy("read", bad))) == [field]

    def test_null(self, policy):
        """A null is told once, in words of its own."""
        _, problems, unsound = parsing.parse(policy("read", {"bucket": None, "methods": [None]}))
        assert problems == [(field, "must not be null: leave it out") for field in ("methods[0]", "bucket")]
        assert unsound == {"bucket", "methods"}

    def test_several_headers(self, policy, problems):
        """Each wrong header is reported beside its neighbours."""
        headers = {"Host": {"const": "x"}, "X-A": {"const": ""}, "q-ak": {"enum": ["a"]}, "X-B": {"const": "b"}}
        found = problems(policy("upload", {"headers": headers}))
        assert set(found) == {"headers.Host", "headers.X-A.const", "headers.q-ak"}


class TestSizes:
    """Documents and URLs are measured at load with the longest values that could be asked for."""

    def test_document_boundary(self, policy, problems, limits):
        """A document of exactly the limit loads; one byte more does not."""
        long = policy("read", {"key": "files/" + "a" * 600, "inputs": {}, "credential": {"scope": "object"}})
        size = int(problems(long, Limits(1, limits.cos_endpoint))[""].partition("reach ")[2].split()[0])
        assert "BROKER_POLICY_BYTES" in problems(long, Limits(size - 1, limits.cos_endpoint))[""]
        assert problems(long, Limits(size, limits.cos_endpoint)) == {}

    def test_worst_claim(self, policy, problems, limits):
        """A claim counts 128 bytes of three characters each."""

        def size(key):
            found = problems(policy("read", {"key": key, "inputs": {}}), Limits(1, limits.cos_endpoint))
            return int(found[""].partition("reach ")[2].split()[0])

        assert size("files/{principal.sub}") - size("files/a") == 3 * 128 - 1

    @pytest.mark.parametrize(
        ("changes", "bytes_"),
        [
            ({"enum": ["漢" * 10]}, 90),
            ({"enum": ["a" * 20, "漢" * 10]}, 90),
            ({"enum": ["a" * 200, "漢" * 10]}, 200),
            ({"max_length": 60}, 180),
            ({"max_length": 61}, 183),
            ({}, 384),
        ],
    )
    def test_worst_input(self, policy, problems, limits, changes, bytes_):
        """The longest filling of an input is the one with the most encoded bytes, not characters."""

        def size(inputs, key):
            changed = {"key": key, "inputs": inputs, "credential": {"scope": "object"}}
            found = problems(policy("read", changed), Limits(1, limits.cos_endpoint))
            return int(found[""].partition("reach ")[2].split()[0])

        assert size({"name": changes}, "f/{name}") - size({}, "f/a") >= bytes_ - 1

    def test_worst_date(self, policy, problems, limits):
        """A date counts its slashes as they are encoded."""

        def size(key):
            changed = {"key": key, "inputs": {}, "credential": {"scope": "object"}}
            found = problems(policy("read", changed), Limits(1, limits.cos_endpoint))
            return int(found[""].partition("reach ")[2].split()[0])

        assert size("f/{date:%Y/%m/%d}") >= size("f/2023/11/14")

    def test_long_types(self, policy, problems):
        """Types that overflow the document are found at load."""
        types = [f"application/x-{'a' * 60}-{n}" for n in range(60)]
        assert "BROKER_POLICY_BYTES" in problems(policy("upload", {"content.types": types}))[""]
        assert problems(policy("upload", {"content.types": types[:20]})) == {}

    def test_long_constants(self, policy, problems):
        """Parameters that cannot fit a URL of 8,000 bytes with a 2,048-byte token are found at load."""
        assert "8000" in problems(policy("read", {"params": {"a": {"const": "x" * 6000}}}))["params"]
        assert problems(policy("read", {"params": {"a": {"const": "x" * 2000}}})) == {}

    def test_url_boundary(self, policy, problems):
        """A URL of exactly 8,000 bytes loads, one byte more does not; a longer host leaves less room."""

        def found(length, **more):
            return problems(policy("read", {"params": {"a": {"const": "x" * length}}, **more}))

        reached = int(found(6000)["params"].partition("reach ")[2].split()[0])
        most = 6000 - (reached - 8000)
        assert found(most) == {}
        assert "can reach 8001 bytes, at most 8000" in found(most + 1)["params"]
        own = "https://{bucket}.storage.example.com"
        assert found(most + len("cos.ap-guangzhou.myqcloud.com") - len("storage.example.com"), endpoint=own) == {}
        assert (
            "8001"
            in found(most + len("cos.ap-guangzhou.myqcloud.com") - len("storage.example.com") + 1, endpoint=own)[
                "params"
            ]
        )

    def test_union(self, policy, problems, limits):
        """What keys permit is measured in one document, with all their methods."""

        def size(methods):
            found = problems(policy("keys", {"methods": methods}), Limits(1, limits.cos_endpoint))
            return int(found[""].partition("reach ")[2].split()[0])

        assert size(["PUT"]) < size(["PUT", "GET"]) < size(["PUT", "GET", "DELETE"])

    def test_long_encoded_choices(self, policy, problems):
        """Of two values the one longer in the URL counts, not the one of more characters."""
        values = ["漢" * 800, "a" * 900]
        for order in (values, values[::-1]):
            assert "8000" in problems(policy("read", {"params": {"a": {"enum": order}}}))["params"]
        assert problems(policy("read", {"params": {"a": {"enum": values[1:]}}})) == {}

    def test_long_claims_in_parameters(self, policy, problems):
        """A constant made of claims counts with the longest claims."""
        names = [f"p{n}" for n in range(15)]
        assert (
            "8000" in problems(policy("read", {"params": {n: {"const": "{principal.sub}"} for n in names}}))["params"]
        )
        assert problems(policy("read", {"params": {n: {"const": "{principal.sub}"} for n in names[:3]}})) == {}
