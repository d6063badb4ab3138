"""What is legal but unwise: errors refuse the file, warnings never do."""

from __future__ import annotations

import pytest

from broker.policy import lint

ATTACHED = {"Content-Disposition": {"const": "attachment"}}
READ_ATTACHED = {"response-content-disposition": {"const": "attachment"}}


class TestErrors:
    """What no route should do."""

    @pytest.mark.parametrize(
        ("types", "active"),
        [
            (["text/html"], "text/html"),
            (["image/png", "text/html"], "text/html"),
            (["Text/HTML"], "text/html"),
            (["text/*"], "text/html"),
            (["image/svg+xml"], "image/svg+xml"),
            (["image/*"], "image/svg+xml"),
            (["IMAGE/*"], "image/svg+xml"),
            (["application/xhtml+xml"], "application/xhtml+xml"),
            (["application/xml"], "application/xml"),
            (["text/xml"], "text/xml"),
            (["text/xsl"], "text/xsl"),
            (["text/rdf"], "text/rdf"),
            (["multipart/x-mixed-replace"], "multipart/x-mixed-replace"),
            (["application/atom+xml"], "application/atom+xml"),
            (["model/X3D+XML"], "model/x3d+xml"),
            (["application/*"], "application/xhtml+xml and application/xml"),
            (["multipart/*"], "multipart/x-mixed-replace"),
        ],
    )
    def test_active_type(self, policy, problems, types, active):
        """A type that browsers execute is refused, except as an attachment."""
        index = len(types) - 1
        assert active in problems(policy("upload", {"content.types": types}))[f"content.types[{index}]"]
        assert problems(policy("upload", {"content.types": types, "headers": ATTACHED})) == {}

    @pytest.mark.parametrize(
        "types",
        [
            ["text/plain"], ["image/png"], ["audio/*"], ["text/htmlx"], ["application/pdf"], ["application/xml-dtd"],
            ["application/xmlx"], ["application/a+xmlx"], ["application/+xm"], ["application/json"], ["video/*"],
        ],
    )  # fmt: skip
    def test_passive_type(self, policy, problems, types):
        """Other types need no disposition."""
        assert problems(policy("upload", {"content.types": types})) == {}

    @pytest.mark.parametrize(
        "headers",
        [
            {"Content-Disposition": {"const": "inline"}},
            {"Content-Disposition": {"enum": ["attachment"]}},
            {"Content-Disposition": {"pattern": "attachment.*"}},
            {"Cache-Control": {"const": "attachment"}},
            {"Content-Disposition": {"const": "attachmentfoo"}},
        ],
    )
    def test_disposition_that_does_not_protect(self, policy, problems, headers):
        """Only a constant attachment protects: what a caller may leave out does not."""
        bad = {"content.types": ["text/html"], "headers": headers}
        assert "content.types[0]" in problems(policy("upload", bad))
        good = {
            "content.types": ["text/html"],
            "headers": {"content-disposition": {"const": 'Attachment; filename="a"'}},
        }
        assert problems(policy("upload", good)) == {}

    @pytest.mark.parametrize(
        "reading",
        [
            {"methods": ["PUT", "GET"]},
            {"methods": ["PUT", "GET"], "vends": ["signature"]},
            {"vends": ["url", "download-url"]},
            {"methods": ["GET"], "vends": ["url", "form"]},
            {"methods": ..., "vends": ["multipart", "download-url"]},
        ],
    )
    def test_attachment_that_is_read(self, policy, problems, reading):
        """Where the route reads, too, its URLs must sign the disposition, or the holder adds `inline`."""
        active = {**reading, "key": "a/{principal.sub}/{ext}", "content.types": ["text/html"]}
        found = problems(policy("upload", {**active, "headers": ATTACHED}))
        assert list(found) == ["content.types[0]"]
        assert found["content.types[0]"].endswith(
            'or add the parameter "response-content-disposition": {"const": "attachment"}'
        )
        neither = problems(policy("upload", active))["content.types[0]"]
        assert '"Content-Disposition": {"const": "attachment"} and the parameter' in neither
        assert problems(policy("upload", {**active, "headers": ATTACHED, "params": READ_ATTACHED})) == {}

    @pytest.mark.parametrize("rule", [{"const": "inline"}, {"enum": ["attachment"]}, {"pattern": "attachment.*"}])
    def test_parameter_that_does_not_protect(self, policy, problems, rule):
        """Only a constant attachment is always signed."""
        active = {"methods": ["PUT", "GET"], "key": "a/{principal.sub}/{ext}", "content.types": ["text/html"]}
        params = {"response-content-disposition": rule}
        assert list(problems(policy("upload", {**active, "headers": ATTACHED, "params": params}))) == [
            "content.types[0]"
        ]

    @pytest.mark.parametrize("methods", [["PUT"], ["PUT", "GET"]])
    def test_active_type_with_keys(self, policy, problems, methods):
        """Nothing excuses a type where keys are handed out: whoever has them sends what headers they like."""
        active = {"methods": methods, "content": {"types": ["text/html"]}}
        for more in ({}, {"headers": ATTACHED, "params": READ_ATTACHED}):
            assert problems(policy("keys", {**active, **more}))["content.types[0]"].endswith(
                "or vend URLs: keys are held to no attachment"
            )
        assert problems(policy("keys", {**active, "content": {"types": ["text/plain"]}})) == {}

    @pytest.mark.parametrize(
        "rule",
        [
            {"enum": ["image/png", "text/html"]},
            {"const": "text/html; charset=utf-8"},
            {"enum": ["application/xhtml+xml;charset=utf-8"]},
            {"enum": ["text/plain;, text/html"]},
            {"enum": ["Text/XML (a comment)"]},
            {"pattern": "image/(png|jpeg)"},
            {"const": "{principal.type}"},
        ],
    )
    def test_active_type_as_a_header(self, policy, problems, rule):
        """A type that comes by way of `headers` is looked at like one of `content`."""
        headers = {"Content-Type": rule}
        assert "headers.Content-Type" in problems(policy("upload", {"content": ..., "headers": headers}))
        assert problems(policy("upload", {"content": ..., "headers": {**headers, **ATTACHED}})) == {}
        assert problems(policy("upload", {"content": ..., "headers": {"Content-Type": {"enum": ["image/png"]}}})) == {}

    @pytest.mark.parametrize(
        ("rule", "active"),
        [
            ({"enum": ["text/plain", "text/html"]}, "text/html"),
            ({"const": "image/svg+xml"}, "image/svg+xml"),
            ({"const": "Application/Atom+XML; charset=utf-8"}, "application/atom+xml"),
            ({"enum": ["text/plain, text/xml"]}, "text/xml"),
            ({"pattern": ".*"}, "text/html"),
            ({"pattern": "[a-z]+/[a-z]+"}, "text/html"),
            ({"pattern": "TEXT/[A-Z]+"}, "text/html"),
            ({"pattern": "image/.+"}, "image/svg+xml"),
            ({"pattern": "text/xsl;charset=.*"}, "text/xsl"),
            ({"pattern": "text/xsl; charset=.*"}, "text/xsl"),
            ({"pattern": "application/[a-z]+\\+xml"}, "application/xhtml+xml"),
            ({"pattern": "image/png.*"}, "text/html"),
        ],
    )
    @pytest.mark.parametrize("base", ["read", "download"])
    def test_active_type_to_read_as(self, policy, problems, base, rule, active):
        """No URL turns what was uploaded as something else into a page, except as an attachment."""
        params, scope = {"response-content-type": rule}, {"credential": {"scope": "object"}}
        found = problems(policy(base, {"params": params, **scope}))
        assert list(found) == ["params.response-content-type"]
        assert active in found["params.response-content-type"].lower()
        assert problems(policy(base, {"params": {**params, **READ_ATTACHED}, **scope})) == {}

    @pytest.mark.parametrize(
        "rule",
        [
            {"const": "application/pdf"},
            {"enum": ["image/png", "text/plain; charset=utf-8"]},
            {"pattern": "image/(png|jpeg)"},
            {"pattern": "text/plain; charset=[a-z0-9-]+"},
        ],
    )
    def test_passive_type_to_read_as(self, policy, problems, rule):
        """Other types need no disposition."""
        changes = {"params": {"response-content-type": rule}, "credential": {"scope": "object"}}
        assert problems(policy("read", changes)) == {}

    def test_type_that_nothing_reads_as(self, policy, problems):
        """Where nothing is read, the parameter means nothing."""
        params = {"params": {"response-content-type": {"const": "text/html"}}}
        assert "params.response-content-type" in problems(policy("read", params))
        assert problems(policy("read", {**params, "methods": ["HEAD"]})) == {}

    @pytest.mark.parametrize("methods", [["PUT"], ["DELETE"], ["POST"], ["GET", "DELETE"]])
    def test_shared_writes(self, policy, problems, methods):
        """Writing with one credential for all principals has to be said; reading with one has not."""
        shared = {"key": "f/{name}", "methods": methods}
        assert "shared_writes" in problems(policy("read", shared))["credential.scope"]
        assert problems(policy("read", {**shared, "credential": {"shared_writes": True}})) == {}
        assert problems(policy("read", {**shared, "methods": ["GET", "HEAD"]})) == {}
        assert problems(policy("read", {**shared, "credential": {"scope": "object"}})) == {}

    @pytest.mark.parametrize("vend", ["form", "multipart"])
    def test_shared_uploads(self, policy, problems, vend):
        """So has uploading by other ways than methods."""
        shared = {"key": "f/{name}", "vends": [vend], "methods": ..., "content": {"max_bytes": 1000}}
        assert f"principals ({vend})" in problems(policy("read", shared))["credential.scope"]
        assert problems(policy("read", {**shared, "credential": {"shared_writes": True}})) == {}
        assert problems(policy("read", {**shared, "vends": ["confirm"], "content": ...})) == {}


class TestWarnings:
    """What deserves a second look."""

    @pytest.mark.parametrize(
        ("base", "changes", "fields"),
        [
            ("read", {}, set()),
            ("read", {"vends": ["confirm"], "methods": ...}, set()),
            ("upload", {"vends": ["form"], "methods": ...}, {"headers.x-cos-forbid-overwrite"}),
            (
                "upload",
                {"vends": ["multipart"], "methods": ..., "content": ...},
                {"content.types", "content.max_bytes", "headers.x-cos-forbid-overwrite"},
            ),
            ("read", {"methods": ["POST"]}, {"methods"}),
            ("read", {"methods": ["DELETE"]}, set()),
            (
                "upload",
                {"methods": ["PUT", "POST"], "headers": {"x-cos-forbid-overwrite": {"const": "true"}}},
                {"methods"},
            ),
            ("upload", {}, {"headers.x-cos-forbid-overwrite"}),
            ("upload", {"headers": {"x-cos-forbid-overwrite": {"const": "true"}}}, set()),
            ("upload", {"headers": {"X-Cos-Forbid-Overwrite": {"const": "true"}}}, set()),
            ("upload", {"headers": {"x-cos-forbid-overwrite": {"const": "false"}}}, {"headers.x-cos-forbid-overwrite"}),
            ("upload", {"headers": {"x-cos-forbid-overwrite": {"enum": ["true"]}}}, {"headers.x-cos-forbid-overwrite"}),
            (
                "upload",
                {"content": ..., "headers": {"x-cos-forbid-overwrite": {"const": "true"}}},
                {"content.types", "content.max_bytes"},
            ),
            (
                "upload",
                {"content": {"max_bytes": 1}, "headers": {"x-cos-forbid-overwrite": {"const": "true"}}},
                {"content.types"},
            ),
            ("read", {"expires": {"max_seconds": 3600}, "credential": {"duration_seconds": 7200}}, set()),
            (
                "read",
                {"expires": {"max_seconds": 3601}, "credential": {"duration_seconds": 7200}},
                {"expires.max_seconds"},
            ),
        ],
    )
    def test_warning(self, policy, problems, route, base, changes, fields):
        """A warning names its field and the policy still loads."""
        assert problems(policy(base, changes)) == {}
        loaded = route(base, changes)
        assert {field for field, _ in lint.warnings(loaded.document, loaded.template)} == fields

    @pytest.mark.parametrize(
        ("content", "words"), [({"max_bytes": 1}, "any type are"), ({"types": ["image/png"]}, "any type and size are")]
    )
    def test_bare_post(self, route, content, words):
        """Of what limits an upload, a bare POST heeds the length alone."""
        loaded = route("upload", {"methods": ["PUT", "POST"], "content": content})
        assert words in dict(lint.warnings(loaded.document, loaded.template))["methods"]
