"""What a change of policies widens or narrows, told in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ConfigDict, Field

from broker.policy.checks import check
from broker.policy.differences import Difference, differences
from broker.policy.document import Expires, PolicyDocument, ValueRule
from broker.policy.routes import Route, compile_route


class _ValueRule(ValueRule):
    model_config = ConfigDict(extra="allow")


class _Expires(Expires):
    model_config = ConfigDict(extra="allow")


class _Document(PolicyDocument):
    """A policy of some later version: it may hold fields that this one has not."""

    model_config = ConfigDict(extra="allow")

    headers: dict[str, _ValueRule] = Field(default_factory=dict)
    expires: _Expires = Field(default_factory=_Expires)


OPPOSITE = {"widens": "narrows", "narrows": "widens", "changes": "changes"}

# Situation: (sound policy, its changes in OLD, its changes in NEW, lines from OLD to NEW, lines from NEW to OLD).
Case = tuple[str, dict[str, Any], dict[str, Any], list[str], list[str]]
CASES: dict[str, Case] = {
    "anonymous": (
        "download",
        {},
        {"principals": {"anonymous": True}},
        ["widens: principals.anonymous: false -> true: everyone may ask, without credentials"],
        ["narrows: principals.anonymous: true -> false: only principals may ask"],
    ),
    "anonymous instead of claims": (
        "download",
        {"principals.claims.role": {"const": "a"}},
        {"principals": {"anonymous": True}},
        [
            "widens: principals.anonymous: false -> true: everyone may ask, without credentials",
            'widens: principals.claims.role: {"const": "a"} -> anything: more principals may ask',
        ],
        [
            "narrows: principals.anonymous: true -> false: only principals may ask",
            'narrows: principals.claims.role: anything -> {"const": "a"}: fewer principals may ask',
        ],
    ),
    "claim rule added": (
        "upload",
        {},
        {"principals.claims.role": {"contains": "w"}},
        ['narrows: principals.claims.role: anything -> {"contains": "w"}: fewer principals may ask'],
        ['widens: principals.claims.role: {"contains": "w"} -> anything: more principals may ask'],
    ),
    "enum of claim grows": (
        "upload",
        {"principals.claims.role": {"enum": ["a"]}},
        {"principals.claims.role": {"enum": ["b", "a"]}},
        ['widens: principals.claims.role: adds "b": more principals may ask'],
        ['narrows: principals.claims.role: takes away "b": fewer principals may ask'],
    ),
    "claim const joins enum": (
        "upload",
        {"principals.claims.role": {"const": "a"}},
        {"principals.claims.role": {"enum": ["a", "b"]}},
        ['widens: principals.claims.role: adds "b": more principals may ask'],
        ['narrows: principals.claims.role: takes away "b": fewer principals may ask'],
    ),
    "claim const replaced": (
        "upload",
        {"principals.claims.role": {"const": "a"}},
        {"principals.claims.role": {"const": "b"}},
        [
            'widens: principals.claims.role: adds "b": more principals may ask',
            'narrows: principals.claims.role: takes away "a": fewer principals may ask',
        ],
        [
            'widens: principals.claims.role: adds "a": more principals may ask',
            'narrows: principals.claims.role: takes away "b": fewer principals may ask',
        ],
    ),
    "claim const of another type": (
        "upload",
        {"principals.claims.role": {"const": True}},
        {"principals.claims.role": {"const": 1}},
        [
            "widens: principals.claims.role: adds 1: more principals may ask",
            "narrows: principals.claims.role: takes away true: fewer principals may ask",
        ],
        [
            "widens: principals.claims.role: adds true: more principals may ask",
            "narrows: principals.claims.role: takes away 1: fewer principals may ask",
        ],
    ),
    "claim pattern changed": (
        "upload",
        {"principals.claims.role": {"pattern": "a"}},
        {"principals.claims.role": {"pattern": "b"}},
        ['changes: principals.claims.role: {"pattern": "a"} -> {"pattern": "b"}: other values'],
        ['changes: principals.claims.role: {"pattern": "b"} -> {"pattern": "a"}: other values'],
    ),
    "claim const within pattern": (
        "upload",
        {"principals.claims.role": {"const": "ab"}},
        {"principals.claims.role": {"pattern": "a.*"}},
        ['widens: principals.claims.role: {"const": "ab"} -> {"pattern": "a.*"}: more principals may ask'],
        ['narrows: principals.claims.role: {"pattern": "a.*"} -> {"const": "ab"}: fewer principals may ask'],
    ),
    "claim word changed": (
        "upload",
        {"principals.claims.role": {"contains": "a"}},
        {"principals.claims.role": {"contains": "b"}},
        ['changes: principals.claims.role: {"contains": "a"} -> {"contains": "b"}: other values'],
        ['changes: principals.claims.role: {"contains": "b"} -> {"contains": "a"}: other values'],
    ),
    "claim const holds word": (
        "upload",
        {"principals.claims.role": {"const": "a b"}},
        {"principals.claims.role": {"contains": "b"}},
        ['widens: principals.claims.role: {"const": "a b"} -> {"contains": "b"}: more principals may ask'],
        ['narrows: principals.claims.role: {"contains": "b"} -> {"const": "a b"}: fewer principals may ask'],
    ),
    "vend added": (
        "upload",
        {},
        {"vends": ["signature", "url"]},
        ['widens: vends: adds "signature": more endpoints'],
        ['narrows: vends: takes away "signature": fewer endpoints'],
    ),
    "vend replaced": (
        "upload",
        {},
        {"vends": ["signature"]},
        ['widens: vends: adds "signature": more endpoints', 'narrows: vends: takes away "url": fewer endpoints'],
        ['widens: vends: adds "url": more endpoints', 'narrows: vends: takes away "signature": fewer endpoints'],
    ),
    "method added": (
        "read",
        {},
        {"methods": ["HEAD", "GET"]},
        ['widens: methods: adds "HEAD": more may be done to objects'],
        ['narrows: methods: takes away "HEAD": less may be done to objects'],
    ),
    "bucket": (
        "upload",
        {},
        {"bucket": "other-1250000000"},
        [
            (
                'changes: bucket: "examplebucket-1250000000" -> "other-1250000000": '
                "credentials reach other-1250000000/avatars/{principal.sub}/* "
                "instead of examplebucket-1250000000/avatars/{principal.sub}/*"
            )
        ],
        [
            (
                'changes: bucket: "other-1250000000" -> "examplebucket-1250000000": '
                "credentials reach examplebucket-1250000000/avatars/{principal.sub}/* "
                "instead of other-1250000000/avatars/{principal.sub}/*"
            )
        ],
    ),
    "region": (
        "upload",
        {},
        {"region": "ap-shanghai"},
        [
            (
                'changes: region: "ap-guangzhou" -> "ap-shanghai": '
                "credentials reach examplebucket-1250000000/avatars/{principal.sub}/* in ap-shanghai "
                "instead of examplebucket-1250000000/avatars/{principal.sub}/* in ap-guangzhou"
            )
        ],
        [
            (
                'changes: region: "ap-shanghai" -> "ap-guangzhou": '
                "credentials reach examplebucket-1250000000/avatars/{principal.sub}/* in ap-guangzhou "
                "instead of examplebucket-1250000000/avatars/{principal.sub}/* in ap-shanghai"
            )
        ],
    ),
    "endpoint": (
        "upload",
        {},
        {"endpoint": "https://img.example"},
        ['changes: endpoint: absent -> "https://img.example": signed requests go to another host'],
        ['changes: endpoint: "https://img.example" -> absent: signed requests go to another host'],
    ),
    "key in another folder": (
        "upload",
        {},
        {"key": "pictures/{principal.sub}/{uuid}.{ext}"},
        [
            (
                'changes: key: "avatars/{principal.sub}/{uuid}.{ext}" -> "pictures/{principal.sub}/{uuid}.{ext}": '
                "credentials reach pictures/{principal.sub}/* instead of avatars/{principal.sub}/*"
            )
        ],
        [
            (
                'changes: key: "pictures/{principal.sub}/{uuid}.{ext}" -> "avatars/{principal.sub}/{uuid}.{ext}": '
                "credentials reach avatars/{principal.sub}/* instead of pictures/{principal.sub}/*"
            )
        ],
    ),
    "key with the same reach": (
        "upload",
        {},
        {"key": "avatars/{principal.sub}/{uuid}-1.{ext}"},
        [
            (
                'changes: key: "avatars/{principal.sub}/{uuid}.{ext}" -> "avatars/{principal.sub}/{uuid}-1.{ext}": '
                "credentials reach avatars/{principal.sub}/*, as before"
            )
        ],
        [
            (
                'changes: key: "avatars/{principal.sub}/{uuid}-1.{ext}" -> "avatars/{principal.sub}/{uuid}.{ext}": '
                "credentials reach avatars/{principal.sub}/*, as before"
            )
        ],
    ),
    "key in the parent folder": (
        "download",
        {"key": "public/a/{name}"},
        {"key": "public/{name}"},
        [
            'widens: key: "public/a/{name}" -> "public/{name}": credentials reach public/* instead of public/a/*',
        ],
        [
            'narrows: key: "public/{name}" -> "public/a/{name}": credentials reach public/a/* instead of public/*',
        ],
    ),
    "key in another folder of the same name": (
        "read",
        {"key": "files/{principal.sub}/{name}"},
        {"key": "files/a/{principal.sub}/{name}"},
        [
            'changes: key: "files/{principal.sub}/{name}" -> "files/a/{principal.sub}/{name}": '
            "credentials reach files/a/{principal.sub}/* instead of files/{principal.sub}/*",
        ],
        [
            'changes: key: "files/a/{principal.sub}/{name}" -> "files/{principal.sub}/{name}": '
            "credentials reach files/{principal.sub}/* instead of files/a/{principal.sub}/*",
        ],
    ),
    "objects for everyone": (
        "upload",
        {"headers.x-cos-acl": {"const": "private"}},
        {"headers.x-cos-acl": {"const": "public-read"}},
        ['widens: headers.x-cos-acl: {"const": "private"} -> {"const": "public-read"}: everyone may read'],
        ['narrows: headers.x-cos-acl: {"const": "public-read"} -> {"const": "private"}: not everyone may read'],
    ),
    "objects for everyone, if asked for": (
        "upload",
        {},
        {"headers.x-cos-acl": {"enum": ["private", "public-read"]}},
        ['widens: headers.x-cos-acl: absent -> {"enum": ["private", "public-read"]}: everyone may read'],
        ['narrows: headers.x-cos-acl: {"enum": ["private", "public-read"]} -> absent: not everyone may read'],
    ),
    "other ACL": (
        "upload",
        {},
        {"headers.x-cos-acl": {"const": "private"}},
        ['changes: headers.x-cos-acl: absent -> {"const": "private"}: objects get other ACLs'],
        ['changes: headers.x-cos-acl: {"const": "private"} -> absent: objects get other ACLs'],
    ),
    "key in a folder of the principal's": (
        "read",
        {},
        {"key": "files/{principal.sub}/small/{name}"},
        [
            (
                'narrows: key: "files/{principal.sub}/{name}" -> "files/{principal.sub}/small/{name}": '
                "credentials reach files/{principal.sub}/small/* instead of files/{principal.sub}/*"
            )
        ],
        [
            (
                'widens: key: "files/{principal.sub}/small/{name}" -> "files/{principal.sub}/{name}": '
                "credentials reach files/{principal.sub}/* instead of files/{principal.sub}/small/*"
            )
        ],
    ),
    "key loses claim": (
        "read",
        {},
        {"key": "files/{name}"},
        [
            (
                'widens: key: "files/{principal.sub}/{name}" -> "files/{name}": '
                "credentials reach files/* instead of files/{principal.sub}/*"
            ),
            (
                'widens: credential.scope: "principal" -> "route": '
                "credentials reach files/* instead of files/{principal.sub}/*"
            ),
        ],
        [
            (
                'narrows: key: "files/{name}" -> "files/{principal.sub}/{name}": '
                "credentials reach files/{principal.sub}/* instead of files/*"
            ),
            (
                'narrows: credential.scope: "route" -> "principal": '
                "credentials reach files/{principal.sub}/* instead of files/*"
            ),
        ],
    ),
    "key with a folder instead of a claim": (
        "read",
        {},
        {"key": "files/shared/{name}"},
        [
            (
                'changes: key: "files/{principal.sub}/{name}" -> "files/shared/{name}": '
                "credentials reach files/shared/* instead of files/{principal.sub}/*"
            ),
            (
                'widens: credential.scope: "principal" -> "route": '
                "credentials reach files/shared/* instead of files/{principal.sub}/*"
            ),
        ],
        [
            (
                'changes: key: "files/shared/{name}" -> "files/{principal.sub}/{name}": '
                "credentials reach files/{principal.sub}/* instead of files/shared/*"
            ),
            (
                'narrows: credential.scope: "route" -> "principal": '
                "credentials reach files/{principal.sub}/* instead of files/shared/*"
            ),
        ],
    ),
    "key whose name starts like the other": (
        "download",
        {"key": "a/b", "inputs": {}},
        {"key": "a/bc", "inputs": {}},
        ['changes: key: "a/b" -> "a/bc": credentials reach a/bc instead of a/b'],
        ['changes: key: "a/bc" -> "a/b": credentials reach a/b instead of a/bc'],
    ),
    "key literal to placeholder": (
        "download",
        {"key": "public/a", "inputs": {}},
        {},
        [
            'widens: key: "public/a" -> "public/{name}": credentials reach public/* instead of public/a',
            'changes: inputs.name: absent -> {"max_length": 128}: the key has other parts',
            'widens: credential.scope: "object" -> "route": credentials reach public/* instead of public/a',
        ],
        [
            'narrows: key: "public/{name}" -> "public/a": credentials reach public/a instead of public/*',
            'changes: inputs.name: {"max_length": 128} -> absent: the key has other parts',
            'narrows: credential.scope: "route" -> "object": credentials reach public/a instead of public/*',
        ],
    ),
    "input enum changed": (
        "upload",
        {},
        {"inputs.ext": {"enum": ["png", "gif"]}},
        [
            'widens: inputs.ext: adds "gif": callers may name more keys',
            'narrows: inputs.ext: takes away "jpg": callers may name fewer keys',
        ],
        [
            'widens: inputs.ext: adds "jpg": callers may name more keys',
            'narrows: inputs.ext: takes away "gif": callers may name fewer keys',
        ],
    ),
    "input pattern removed": (
        "read",
        {"inputs.name": {"pattern": "[a-z]+"}},
        {},
        ['widens: inputs.name: {"pattern": "[a-z]+"} -> anything: callers may name more keys'],
        ['narrows: inputs.name: anything -> {"pattern": "[a-z]+"}: callers may name fewer keys'],
    ),
    "input pattern changed": (
        "read",
        {"inputs.name": {"pattern": "[a-z]+"}},
        {"inputs.name": {"pattern": "[a-z]*"}},
        ['changes: inputs.name: {"pattern": "[a-z]+"} -> {"pattern": "[a-z]*"}: other values'],
        ['changes: inputs.name: {"pattern": "[a-z]*"} -> {"pattern": "[a-z]+"}: other values'],
    ),
    "input enum within pattern": (
        "read",
        {"inputs.name": {"enum": ["a"]}},
        {"inputs.name": {"pattern": "[a-z]+"}},
        ['widens: inputs.name: {"enum": ["a"]} -> {"pattern": "[a-z]+"}: callers may name more keys'],
        ['narrows: inputs.name: {"pattern": "[a-z]+"} -> {"enum": ["a"]}: callers may name fewer keys'],
    ),
    "input enum partly outside pattern": (
        "read",
        {"inputs.name": {"enum": ["a", "1"]}},
        {"inputs.name": {"pattern": "[a-z]+"}},
        ['changes: inputs.name: {"enum": ["a", "1"]} -> {"pattern": "[a-z]+"}: other values'],
        ['changes: inputs.name: {"pattern": "[a-z]+"} -> {"enum": ["a", "1"]}: other values'],
    ),
    "input length": (
        "read",
        {},
        {"inputs.name": {"max_length": 200}},
        ["widens: inputs.name.max_length: 128 -> 200: longer values"],
        ["narrows: inputs.name.max_length: 200 -> 128: shorter values"],
    ),
    "input becomes a path": (
        "read",
        {},
        {"inputs.name": {"type": "path"}},
        ['widens: inputs.name.type: absent -> "path": values may hold several segments'],
        ['narrows: inputs.name.type: "path" -> absent: values hold one segment'],
    ),
    "input added": (
        "read",
        {},
        {"key": "files/{principal.sub}/{name}.{ext}", "inputs.ext": {"pattern": "[a-z]+"}},
        [
            (
                'changes: key: "files/{principal.sub}/{name}" -> "files/{principal.sub}/{name}.{ext}": '
                "credentials reach files/{principal.sub}/*, as before"
            ),
            'changes: inputs.ext: absent -> {"max_length": 128, "pattern": "[a-z]+"}: the key has other parts',
        ],
        [
            (
                'changes: key: "files/{principal.sub}/{name}.{ext}" -> "files/{principal.sub}/{name}": '
                "credentials reach files/{principal.sub}/*, as before"
            ),
            'changes: inputs.ext: {"max_length": 128, "pattern": "[a-z]+"} -> absent: the key has other parts',
        ],
    ),
    "content added": (
        "upload",
        {"content": ...},
        {},
        [
            'narrows: content.types: anything -> ["image/png", "image/jpeg"]: uploads of fewer types',
            "narrows: content.max_bytes: absent -> 1000: shorter uploads",
        ],
        [
            'widens: content.types: ["image/png", "image/jpeg"] -> anything: uploads of more types',
            "widens: content.max_bytes: 1000 -> absent: longer uploads",
        ],
    ),
    "type added": (
        "upload",
        {},
        {"content.types": ["image/png", "image/jpeg", "image/gif"]},
        ['widens: content.types: adds "image/gif": uploads of more types'],
        ['narrows: content.types: takes away "image/gif": uploads of fewer types'],
    ),
    "type joins its range": (
        "upload",
        {"content.types": ["image/png", "video/mp4"]},
        {"content.types": ["video/*", "image/png"]},
        ['widens: content.types: adds "video/*": uploads of more types'],
        ['narrows: content.types: takes away "video/*": uploads of fewer types'],
    ),
    "types removed": (
        "upload",
        {},
        {"content.types": ...},
        ['widens: content.types: ["image/png", "image/jpeg"] -> anything: uploads of more types'],
        ['narrows: content.types: anything -> ["image/png", "image/jpeg"]: uploads of fewer types'],
    ),
    "max_bytes raised": (
        "upload",
        {},
        {"content.max_bytes": 2000},
        ["widens: content.max_bytes: 1000 -> 2000: longer uploads"],
        ["narrows: content.max_bytes: 2000 -> 1000: shorter uploads"],
    ),
    "max_bytes removed": (
        "upload",
        {},
        {"content.max_bytes": ...},
        ["widens: content.max_bytes: 1000 -> absent: longer uploads"],
        ["narrows: content.max_bytes: absent -> 1000: shorter uploads"],
    ),
    "part bytes": (
        "upload",
        {"content.part_bytes": 1048576},
        {"content.part_bytes": 8388608},
        ["changes: content.part_bytes: 1048576 -> 8388608: parts of another size"],
        ["changes: content.part_bytes: 8388608 -> 1048576: parts of another size"],
    ),
    "overwriting no longer forbidden": (
        "upload",
        {"headers.x-cos-forbid-overwrite": {"const": "true"}},
        {},
        ['widens: headers.x-cos-forbid-overwrite: {"const": "true"} -> absent: objects may be overwritten'],
        ['narrows: headers.x-cos-forbid-overwrite: absent -> {"const": "true"}: no object is overwritten'],
    ),
    "overwriting left to the caller": (
        "upload",
        {"headers.x-cos-forbid-overwrite": {"const": "true"}},
        {"headers.x-cos-forbid-overwrite": {"enum": ["true", "false"]}},
        [
            (
                'widens: headers.x-cos-forbid-overwrite: {"const": "true"} -> '
                '{"enum": ["true", "false"]}: objects may be overwritten'
            )
        ],
        [
            (
                'narrows: headers.x-cos-forbid-overwrite: {"enum": ["true", "false"]} -> '
                '{"const": "true"}: no object is overwritten'
            )
        ],
    ),
    "attachment removed": (
        "upload",
        {"headers.Content-Disposition": {"const": "attachment"}},
        {},
        ['widens: headers.content-disposition: {"const": "attachment"} -> absent: browsers may show objects'],
        [('narrows: headers.content-disposition: absent -> {"const": "attachment"}: browsers save objects as files')],
    ),
    "attachment under a name": (
        "upload",
        {"headers.Content-Disposition": {"const": "attachment"}},
        {"headers.Content-Disposition": {"const": "attachment; filename=a"}},
        [
            (
                'changes: headers.content-disposition: {"const": "attachment"} -> '
                '{"const": "attachment; filename=a"}: the broker adds something else'
            )
        ],
        [
            (
                'changes: headers.content-disposition: {"const": "attachment; filename=a"} -> '
                '{"const": "attachment"}: the broker adds something else'
            )
        ],
    ),
    "attachment of links": (
        "read",
        {"params.response-content-disposition": {"const": "attachment"}},
        {"params.response-content-disposition": {"const": "inline"}},
        [
            (
                'widens: params.response-content-disposition: {"const": "attachment"} -> '
                '{"const": "inline"}: browsers may show objects'
            )
        ],
        [
            (
                'narrows: params.response-content-disposition: {"const": "inline"} -> '
                '{"const": "attachment"}: browsers save objects as files'
            )
        ],
    ),
    "no attachment at all": (
        "read",
        {"params.response-content-disposition": {"const": "Attachment ; filename=a"}},
        {"params.response-content-disposition": {"const": "attachmentx"}},
        [
            (
                'widens: params.response-content-disposition: {"const": "Attachment ; filename=a"} -> '
                '{"const": "attachmentx"}: browsers may show objects'
            )
        ],
        [
            (
                'narrows: params.response-content-disposition: {"const": "attachmentx"} -> '
                '{"const": "Attachment ; filename=a"}: browsers save objects as files'
            )
        ],
    ),
    "const added": (
        "upload",
        {},
        {"headers.Cache-Control": {"const": "no-store"}},
        ['changes: headers.cache-control: absent -> {"const": "no-store"}: the broker adds something else'],
        ['changes: headers.cache-control: {"const": "no-store"} -> absent: the broker adds something else'],
    ),
    "const changed": (
        "upload",
        {"headers.Cache-Control": {"const": "no-cache"}},
        {"headers.Cache-Control": {"const": "no-store"}},
        [
            (
                'changes: headers.cache-control: {"const": "no-cache"} -> '
                '{"const": "no-store"}: the broker adds something else'
            )
        ],
        [
            (
                'changes: headers.cache-control: {"const": "no-store"} -> '
                '{"const": "no-cache"}: the broker adds something else'
            )
        ],
    ),
    "const joins enum": (
        "upload",
        {"headers.Cache-Control": {"const": "no-cache"}},
        {"headers.Cache-Control": {"enum": ["no-cache", "no-store"]}},
        ['widens: headers.cache-control: adds "no-store": may be asked for'],
        ['narrows: headers.cache-control: takes away "no-store": no longer to be asked for'],
    ),
    "const is the only one of enum": (
        "upload",
        {"headers.Cache-Control": {"const": "no-cache"}},
        {"headers.Cache-Control": {"enum": ["no-cache"]}},
        [
            (
                'changes: headers.cache-control: {"const": "no-cache"} -> '
                '{"enum": ["no-cache"]}: the broker adds something else'
            )
        ],
        [
            (
                'changes: headers.cache-control: {"enum": ["no-cache"]} -> '
                '{"const": "no-cache"}: the broker adds something else'
            )
        ],
    ),
    "header added": (
        "read",
        {},
        {"headers.Range": {"pattern": "bytes=.*"}},
        ['widens: headers.range: absent -> {"pattern": "bytes=.*"}: may be asked for'],
        ['narrows: headers.range: {"pattern": "bytes=.*"} -> absent: no longer to be asked for'],
    ),
    "header enum changed": (
        "upload",
        {"headers.Cache-Control": {"enum": ["a", "b"]}},
        {"headers.Cache-Control": {"enum": ["b", "c"]}},
        [
            'widens: headers.cache-control: adds "c": may be asked for',
            'narrows: headers.cache-control: takes away "a": no longer to be asked for',
        ],
        [
            'widens: headers.cache-control: adds "a": may be asked for',
            'narrows: headers.cache-control: takes away "c": no longer to be asked for',
        ],
    ),
    "required param added": (
        "read",
        {},
        {"params.w": {"enum": ["1"], "required": True}},
        [
            'widens: params.w: adds "1": may be asked for',
            "narrows: params.w.required: absent -> true: must be asked for",
        ],
        [
            'narrows: params.w: takes away "1": no longer to be asked for',
            "widens: params.w.required: true -> absent: may be left out",
        ],
    ),
    "param no longer required": (
        "read",
        {"params.w": {"enum": ["1"], "required": True}},
        {"params.w": {"enum": ["1"]}},
        ["widens: params.w.required: true -> false: may be left out"],
        ["narrows: params.w.required: false -> true: must be asked for"],
    ),
    "header no longer required": (
        "upload",
        {"headers.X-W": {"enum": ["1"], "required": True}},
        {"headers.X-W": {"enum": ["1"]}},
        ["widens: headers.x-w.required: true -> false: may be left out"],
        ["narrows: headers.x-w.required: false -> true: must be asked for"],
    ),
    "list of values instead of a length": (
        "read",
        {"inputs.name": {"enum": ["a"]}},
        {"inputs.name": {"max_length": 60}},
        ['widens: inputs.name: {"enum": ["a"]} -> anything: callers may name more keys'],
        ['narrows: inputs.name: anything -> {"enum": ["a"]}: callers may name fewer keys'],
    ),
    "value that holds a word's letters": (
        "read",
        {"principals.claims.scope": {"contains": "write"}},
        {"principals.claims.scope": {"const": "files:write"}},
        ['changes: principals.claims.scope: {"contains": "write"} -> {"const": "files:write"}: other values'],
        ['changes: principals.claims.scope: {"const": "files:write"} -> {"contains": "write"}: other values'],
    ),
    "type that begins like a range": (
        "upload",
        {"content.types": ["tex/*"]},
        {"content.types": ["tex/*", "text/plain"]},
        ['widens: content.types: adds "text/plain": uploads of more types'],
        ['narrows: content.types: takes away "text/plain": uploads of fewer types'],
    ),
    "overwriting forbidden by nearly the word": (
        "upload",
        {"headers.x-cos-forbid-overwrite": {"const": "true"}},
        {"headers.x-cos-forbid-overwrite": {"const": "true;"}},
        ['widens: headers.x-cos-forbid-overwrite: {"const": "true"} -> {"const": "true;"}: objects may be overwritten'],
        ['narrows: headers.x-cos-forbid-overwrite: {"const": "true;"} -> {"const": "true"}: no object is overwritten'],
    ),
    "attachment in another case": (
        "upload",
        {"headers.Content-Disposition": {"const": "attachment"}},
        {"headers.Content-Disposition": {"const": "Attachment; filename=a"}},
        [
            'changes: headers.content-disposition: {"const": "attachment"} -> {"const": "Attachment; filename=a"}: '
            "the broker adds something else"
        ],
        [
            'changes: headers.content-disposition: {"const": "Attachment; filename=a"} -> {"const": "attachment"}: '
            "the broker adds something else"
        ],
    ),
    "lifetimes of links": (
        "upload",
        {},
        {"expires": {"default_seconds": 200, "max_seconds": 1000}},
        [
            "narrows: expires.default_seconds: 300 -> 200: links live shorter, unless asked otherwise",
            "widens: expires.max_seconds: 900 -> 1000: links may live longer",
        ],
        [
            "widens: expires.default_seconds: 200 -> 300: links live longer, unless asked otherwise",
            "narrows: expires.max_seconds: 1000 -> 900: links may live less long",
        ],
    ),
    "window added": (
        "read",
        {},
        {"expires.window_seconds": 60},
        ["widens: expires.window_seconds: 0 -> 60: links live longer"],
        ["narrows: expires.window_seconds: 60 -> 0: links live shorter"],
    ),
    "scope of one object": (
        "upload",
        {},
        {"credential.scope": "object"},
        [
            (
                'narrows: credential.scope: "principal" -> "object": '
                "credentials reach avatars/{principal.sub}/{uuid}.{ext} instead of avatars/{principal.sub}/*"
            )
        ],
        [
            (
                'widens: credential.scope: "object" -> "principal": '
                "credentials reach avatars/{principal.sub}/* instead of avatars/{principal.sub}/{uuid}.{ext}"
            )
        ],
    ),
    "shared writes": (
        "download",
        {"vends": ["url"], "methods": ["GET"]},
        {"vends": ["url"], "methods": ["GET", "PUT"], "credential.shared_writes": True},
        [
            'widens: methods: adds "PUT": more may be done to objects',
            "widens: credential.shared_writes: false -> true: one credential may write for all",
        ],
        [
            'narrows: methods: takes away "PUT": less may be done to objects',
            "narrows: credential.shared_writes: true -> false: no credential may write for all",
        ],
    ),
    "lifetime of credentials": (
        "upload",
        {},
        {"credential.duration_seconds": 3600},
        ["widens: credential.duration_seconds: 1800 -> 3600: credentials live longer"],
        ["narrows: credential.duration_seconds: 3600 -> 1800: credentials live shorter"],
    ),
    "role and external id": (
        "upload",
        {},
        {"credential.role_arn": "qcs::cam::uin/1:roleName/a", "credential.external_id": "ab"},
        [
            (
                "changes: credential.role_arn: absent -> "
                '"qcs::cam::uin/1:roleName/a": another role, or none, gives the credentials'
            ),
            'changes: credential.external_id: absent -> "ab": another name for the role to know the broker by',
        ],
        [
            (
                'changes: credential.role_arn: "qcs::cam::uin/1:roleName/a" -> '
                "absent: another role, or none, gives the credentials"
            ),
            'changes: credential.external_id: "ab" -> absent: another name for the role to know the broker by',
        ],
    ),
    "remaining lifetime of keys": (
        "keys",
        {},
        {"credential.min_remaining_seconds": 900},
        ["widens: credential.min_remaining_seconds: 600 -> 900: handed-out keys live longer"],
        ["narrows: credential.min_remaining_seconds: 900 -> 600: handed-out keys may end sooner"],
    ),
    "field without a judge": (
        "upload",
        {},
        {"colour": "red"},
        ['changes: colour: absent -> "red"'],
        ['changes: colour: "red" -> absent'],
    ),
    "rate where there was none": (
        "upload",
        {},
        {"rate": "60/minute"},
        ['narrows: rate: absent -> "60/minute": each principal may have fewer requests signed'],
        ['widens: rate: "60/minute" -> absent: each principal may have more requests signed'],
    ),
    "larger rate": (
        "upload",
        {"rate": "60/minute"},
        {"rate": "61 per minute"},
        ['widens: rate: "60/minute" -> "61 per minute": each principal may have more requests signed'],
        ['narrows: rate: "61 per minute" -> "60/minute": each principal may have fewer requests signed'],
    ),
    "the same rate in a longer time": (
        "upload",
        {"rate": "60/minute"},
        {"rate": "60/hour"},
        ['narrows: rate: "60/minute" -> "60/hour": each principal may have fewer requests signed'],
        ['widens: rate: "60/hour" -> "60/minute": each principal may have more requests signed'],
    ),
    "rate that is larger at once and smaller in the long run": (
        "upload",
        {"rate": "60/minute"},
        {"rate": "100/hour"},
        [
            'changes: rate: "60/minute" -> "100/hour": '
            "each principal may have more requests signed at once, and fewer in the long run"
        ],
        [
            'changes: rate: "100/hour" -> "60/minute": '
            "each principal may have more requests signed in the long run, and fewer at once"
        ],
    ),
    "condition removed": (
        "upload",
        {"condition": {"ip_equal": {"qcs:ip": ["203.0.113.0/24"]}}},
        {},
        ['widens: condition.ip_equal.qcs:ip: ["203.0.113.0/24"] -> anything: more requests satisfy it'],
        ['narrows: condition.ip_equal.qcs:ip: anything -> ["203.0.113.0/24"]: fewer requests satisfy it'],
    ),
    "condition on one more address": (
        "upload",
        {"condition": {"ip_equal": {"qcs:ip": "203.0.113.1"}}},
        {"condition": {"ip_equal": {"qcs:ip": ["203.0.113.1", "203.0.113.2"]}}},
        ['widens: condition.ip_equal.qcs:ip: adds "203.0.113.2": more requests satisfy it'],
        ['narrows: condition.ip_equal.qcs:ip: takes away "203.0.113.2": fewer requests satisfy it'],
    ),
    "condition on another string": (
        "upload",
        {"condition": {"string_equal": {"vpc:requester_vpc": "vpc-b"}}},
        {"condition": {"string_equal": {"vpc:requester_vpc": ["vpc-c"]}}},
        [
            'widens: condition.string_equal.vpc:requester_vpc: adds "vpc-c": more requests satisfy it',
            'narrows: condition.string_equal.vpc:requester_vpc: takes away "vpc-b": fewer requests satisfy it',
        ],
        [
            'widens: condition.string_equal.vpc:requester_vpc: adds "vpc-b": more requests satisfy it',
            'narrows: condition.string_equal.vpc:requester_vpc: takes away "vpc-c": fewer requests satisfy it',
        ],
    ),
    "condition with another operator": (
        "upload",
        {"condition": {"numeric_greater_than": {"cos:tls-version": "1.1"}}},
        {"condition": {"numeric_greater_than": {"cos:tls-version": "1.2"}}},
        ['changes: condition.numeric_greater_than.cos:tls-version: ["1.1"] -> ["1.2"]: other values'],
        ['changes: condition.numeric_greater_than.cos:tls-version: ["1.2"] -> ["1.1"]: other values'],
    ),
    "unknown leaves": (
        "upload",
        {},
        {"watermark": {"text": "x", "deep": {"er": [1]}}},
        ['changes: watermark.text: absent -> "x"', "changes: watermark.deep.er: absent -> [1]"],
        ['changes: watermark.text: "x" -> absent', "changes: watermark.deep.er: [1] -> absent"],
    ),
    "unknown field without members": (
        "upload",
        {},
        {"watermark": {}},
        ["changes: watermark: absent -> {}"],
        ["changes: watermark: {} -> absent"],
    ),
    "unknown leaf of an entry": (
        "upload",
        {"headers.Cache-Control": {"const": "a"}},
        {"headers.Cache-Control": {"const": "a", "signed": False}},
        ["changes: headers.cache-control.signed: absent -> false"],
        ["changes: headers.cache-control.signed: false -> absent"],
    ),
}

# What is written otherwise and permits the same: (sound policy, its changes in OLD, its changes in NEW).
SAME: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "nothing": ("upload", {}, {}),
    "defaults spelled out": (
        "read",
        {},
        {
            "description": "",
            "inputs.name": {"max_length": 128},
            "headers": {},
            "params": {},
            "expires": {"default_seconds": 300, "max_seconds": 900},
            "credential": {"scope": "principal", "duration_seconds": 1800, "shared_writes": False},
        },
    ),
    "default of min_remaining_seconds": ("keys", {}, {"credential.min_remaining_seconds": 600}),
    "default of required": (
        "read",
        {"params.w": {"pattern": "[0-9]+"}},
        {"params.w": {"pattern": "[0-9]+", "required": False}},
    ),
    "default of anonymous": (
        "upload",
        {"principals": {"claims": {"role": {"const": "a"}}}},
        {"principals": {"anonymous": False, "claims": {"role": {"const": "a"}}}},
    ),
    "what is no permission": (
        "upload",
        {},
        {"$schema": "./policy.schema.json", "description": "Other words.", "tests": [{"ask": {}, "expect": "granted"}]},
    ),
    "another order": (
        "upload",
        {"vends": ["url", "signature"], "headers": {"A": {"enum": ["1", "2"]}, "B": {"const": "3"}}},
        {"vends": ["signature", "url"], "headers": {"B": {"const": "3"}, "A": {"enum": ["2", "1"]}}},
    ),
    "another case of a header": (
        "upload",
        {"headers.Cache-Control": {"const": "no-store"}},
        {"headers.cache-control": {"const": "no-store"}},
    ),
    "a claim's only value": (
        "upload",
        {"principals.claims.role": {"const": "a"}},
        {"principals.claims.role": {"enum": ["a"]}},
    ),
    "a type beside its range": ("upload", {"content.types": ["audio/*"]}, {"content.types": ["audio/*", "audio/ogg"]}),
    "one value as a list": (
        "upload",
        {"condition": {"ip_equal": {"qcs:ip": "203.0.113.1"}}},
        {"condition": {"ip_equal": {"qcs:ip": ["203.0.113.1"]}}},
    ),
}


@pytest.fixture(scope="session")
def later(policy, limits) -> Callable[..., Route]:
    """A route of a sound policy, which may hold fields of a later version."""

    def compiled(base: str, changes: dict[str, Any] | None = None) -> Route:
        document = _Document.model_validate(json.loads(json.dumps(policy(base, changes or {}))))
        # Parts are for a vend of a later version.
        assert [one for one in check(document, frozenset(), limits) if one[0] != "content.part_bytes"] == []
        return compile_route("r", document, limits)

    return compiled


@pytest.fixture(scope="session")
def told(later) -> Callable[..., list[Difference]]:
    """The differences of one route, changed from one version of a sound policy to another."""

    def between(base: str, old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
        return differences({"r": later(base, old)}, {"r": later(base, new)})

    return between


class TestFields:
    """One route in both folders."""

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_there_and_back(self, told, case: Case):
        """Each change is told in words, field by field, and so is its undoing."""
        base, old, new, there, back = case
        assert [str(one) for one in told(base, old, new)] == [f"r: {line}" for line in there]
        assert [str(one) for one in told(base, new, old)] == [f"r: {line}" for line in back]

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_swapped(self, told, case: Case):
        """What widens in one direction narrows in the other, in the same field."""
        base, old, new, *_ = case
        there = sorted((one.field, one.effect) for one in told(base, old, new))
        assert there == sorted((one.field, OPPOSITE[one.effect]) for one in told(base, new, old))
        assert there

    @pytest.mark.parametrize("versions", SAME.values(), ids=SAME)
    def test_same_permission(self, told, versions):
        """What permits the same is not told, however it is written."""
        base, old, new = versions
        assert told(base, old, new) == []
        assert told(base, new, old) == []

    def test_order(self, told):
        """Fields are told in the order in which a policy holds them."""
        everything = {
            "condition": {"ip_equal": {"qcs:ip": "203.0.113.1"}},
            "credential.duration_seconds": 3600,
            "expires.max_seconds": 1000,
            "headers.Cache-Control": {"const": "no-store"},
            "content.max_bytes": 2000,
            "inputs.ext.enum": ["png"],
            "region": "ap-shanghai",
            "vends": ["signature"],
            "principals": {"claims": {"role": {"const": "a"}}},
        }
        assert list(dict.fromkeys(one.field for one in told("upload", {}, everything))) == [
            "principals.claims.role",
            "vends",
            "region",
            "inputs.ext",
            "content.max_bytes",
            "headers.cache-control",
            "expires.max_seconds",
            "credential.duration_seconds",
            "condition.ip_equal.qcs:ip",
        ]

    def test_names_like_fields(self, told):
        """An entry is told under its own name, be it a field's or one with dots."""
        entries = {"headers": {"required": {"enum": ["1"]}}, "params": {"enum": {"const": "1"}, "a.b": {"const": "2"}}}
        fields = [one.field for one in told("upload", {}, entries)]
        assert fields == ["headers.required", "params.enum", "params.a.b"]

    def test_long_value(self, told):
        """Values are cut at 120 characters, and told although what is shown of them is equal."""
        old, new = ({"inputs.name": {"pattern": "a" * 200 + end}} for end in "bc")
        shown = '{"pattern": "' + "a" * 106 + "…"
        assert len(shown) == 120
        [one] = told("read", old, new)
        assert one.message == f"{shown} -> {shown}: other values"


class TestRoutes:
    """Routes that are in one folder only, and folders of several."""

    def test_new_route(self, later):
        """A new route widens, and says what it grants to whom."""
        [one] = differences({}, {"avatars": later("upload")})
        assert one == Difference(
            route="avatars",
            field="",
            effect="widens",
            message="new route: vends url (PUT) of examplebucket-1250000000/avatars/{principal.sub}/{uuid}.{ext} "
            "to any authenticated principal",
        )
        assert str(one) == f"avatars: widens: {one.message}"

    def test_removed_route(self, later):
        """A route that is gone narrows; what it granted is said."""
        [one] = differences({"files": later("download", {"principals": {"anonymous": True}})}, {})
        assert str(one) == (
            "files: narrows: route removed: vends download-url (GET) of examplebucket-1250000000/public/{name} "
            "to everyone"
        )

    def test_claims_of_a_new_route(self, later):
        """What a new route asks of claims is said."""
        claims = {"scope": {"contains": "w"}, "role": {"const": "a"}}
        [one] = differences({}, {"r": later("upload", {"principals": {"claims": claims}})})
        assert one.message.endswith(' to principals with scope {"contains": "w"}, role {"const": "a"}')

    def test_renamed_route(self, later):
        """A route under another name is a new one: its callers find another door."""
        found = differences({"b": later("read")}, {"a": later("read")})
        assert [(one.route, one.effect) for one in found] == [("a", "widens"), ("b", "narrows")]

    def test_order_of_routes(self, later):
        """Routes are told by name; those that did not change are not told."""
        old = {name: later("upload") for name in ("c", "same", "a")}
        new = {"c": later("upload", {"content.max_bytes": 2000}), "b": later("read"), "same": later("upload")}
        assert [(one.route, one.field) for one in differences(old, new)] == [
            ("a", ""),
            ("b", ""),
            ("c", "content.max_bytes"),
        ]

    def test_same_folder(self, later):
        """Nothing changed, nothing told; no routes, likewise."""
        assert differences({"a": later("read")}, {"a": later("read")}) == []
        assert differences({}, {}) == []
