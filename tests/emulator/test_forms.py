"""Bodies that are forms, and bodies that only resemble them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import create_environ
from werkzeug.wrappers import Response

HOST = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"


def field(name, value, more=""):
    """One part of a body."""
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'


END = "--XX--\r\n"
FILE = field("file", "hello", '; filename="a.png"')


class TestShape:
    """What is no form."""

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ("", "MalformedPOSTRequest"),
            ("hello", "MalformedPOSTRequest"),
            ("--XX", "MalformedPOSTRequest"),
            (END, "MalformedPOSTRequest"),
            (field("key", "a") + END, "MalformedPOSTRequest"),
            (field("key", "a") + FILE, "MalformedPOSTRequest"),
            (field("key", "a") + FILE + "--XX-", "MalformedPOSTRequest"),
            (FILE + field("key", "a") + END, "MalformedPOSTRequest"),
            (field("key", "a") + FILE + field("submit", "Upload") + END, "MalformedPOSTRequest"),
            (field("key", "a") + FILE + FILE + END, "MalformedPOSTRequest"),
            ("--XX\r\nX: y\r\n\r\nhello\r\n" + FILE + END, "MalformedPOSTRequest"),
            ("--XX\r\nContent-Disposition: form-data\r\n\r\nhello\r\n" + FILE + END, "MalformedPOSTRequest"),
            ("--XX\r\nContent-Disposition\r\n\r\n" + FILE + END, "MalformedPOSTRequest"),
            (field("key", "x" * 1024**2) + field("a", "b") + FILE + END, "MalformedPOSTRequest"),
            (field("a", "") * 1_001 + FILE + END, "MalformedPOSTRequest"),
            (field("key", "a") + field("key", "b") + FILE + END, "InvalidArgument"),
            (field("key", "a") + field("Key", "a") + FILE + END, "InvalidArgument"),
            (FILE + END, "InvalidArgument"),
            (field("key", "") + FILE + END, "InvalidArgument"),
            (field("key", "${filename}") + field("file", "hello") + END, "InvalidArgument"),
            (field("key", "a") + FILE + END, "AccessDenied"),
            (field("key", "a") + field("file", "hello") + END, "AccessDenied"),
            (field("key", "a", '; filename="x"') + FILE + END, "AccessDenied"),
            ("preamble\r\n" + field("key", "a") + FILE + END + "epilogue", "AccessDenied"),
        ],
    )
    def test_body(self, world, error_code, body, code):
        """A body that is no form of fields and a file at the end is refused; a form that is only unsigned is denied."""
        response = world.post_raw(body.encode())
        assert (response.status_code, error_code(response)) == (403 if code == "AccessDenied" else 400, code)

    @pytest.mark.parametrize("name", ["key", "x-cos-meta-a"])
    def test_not_utf8(self, world, error_code, name):
        """Fields are UTF-8; the file is any bytes."""
        body = (field(name, "?") + FILE + END).encode()
        assert error_code(world.post_raw(body.replace(b"?", b"\xff"))) == "MalformedPOSTRequest"
        assert world.post(world.form(), b"\xff").status_code == 204

    @pytest.mark.parametrize(
        "boundary", ["", "boundary=", "boundary=YY", "boundary=X", "boundary=XXX", "boundary=\xfc", 'boundary="XX']
    )
    def test_boundary(self, world, error_code, boundary):
        """A boundary that the header does not say, or that is another one, makes no parts."""
        response = world.post_raw((field("key", "a") + FILE + END).encode(), boundary=boundary)
        assert (response.status_code, error_code(response)) == (400, "MalformedPOSTRequest")

    def test_quoted_boundary(self, world):
        """A quoted boundary is the same one."""
        response = world.post_raw((field("key", "a") + FILE + END).encode(), boundary='boundary="XX"')
        assert response.status_code == 403

    def test_other_body(self, world, error_code):
        """A POST that does not say that it is a form is signed as other requests are, and then not served."""
        sent = {"key": "", "body": b"hello", "headers": {"Content-Type": "text/plain"}}
        assert error_code(world.send("POST", **sent)) == "NotImplemented"
        credential = world.federate(world.document("PostObject"))
        assert error_code(world.send("POST", **sent, by=credential)) == "AccessDenied"

    def test_lengths(self, world, error_code):
        """The length is said beforehand, once, and there is a largest."""
        sent = {"Host": HOST, "Content-Type": "multipart/form-data; boundary=XX"}
        unsaid = create_environ("/", method="POST", headers=sent)
        del unsaid["CONTENT_LENGTH"]
        assert error_code(Response.from_app(world.emulator, unsaid)) == "MissingContentLength"
        both = world.post(world.form(), headers={"Transfer-Encoding": "chunked"})
        assert error_code(both) == "InvalidArgument"
        huge = {"CONTENT_LENGTH": str(5 * 1024**3 + 1)}
        assert error_code(world.http.post("/", headers=sent, data=b"", environ_overrides=huge)) == "EntityTooLarge"
        short = {"CONTENT_LENGTH": "100"}
        assert error_code(world.http.post("/", headers=sent, data=b"x", environ_overrides=short)) == "IncompleteBody"


PIECES = st.sampled_from(
    [
        b"--XX",
        b"--XX--",
        b"\r\n",
        b"\n",
        b"\r",
        b"--",
        b"Content-Disposition: form-data; name=",
        b'"key"',
        b'"file"',
        b"; filename*=UTF-8''%ED%A0%80%00",
        b'; filename="\xff"',
        b"Content-Type: text/plain; charset=utf-16",
        b"\x00",
    ]
)
# A world is shared by all examples of a test; what one of them stores is overwritten by the next.
FUZZ = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=40).map(b"".join))
def test_any_body(world, body):
    """No body at all is an error of the server's."""
    assert world.post_raw(body).status_code in (400, 403)


@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_form(world, data):
    """A good form with a piece of it replaced is stored or refused, and never more than that."""
    fields = world.form(**{"key": "dir/${filename}", "x-cos-meta-a": "b", "success_action_status": "201"})
    whole = ("".join(field(name, value) for name, value in fields.items()) + FILE + END).encode()
    start = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, 30))
    body = whole[:start] + data.draw(st.one_of(PIECES, st.binary(max_size=8))) + whole[start + length :]
    assert world.post_raw(body).status_code in (201, 204, 400, 403)
