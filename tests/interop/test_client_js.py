"""The module that the broker serves at /client.js, at work in Node and in a page of a real browser: the same code."""

from __future__ import annotations

import pytest

from broker.emulator.faults import Fault

PART = 8 * 2**20
LARGE = b"".join(bytes([number]) * 2**20 for number in range(20)) + bytes([20]) * 7
VIDEO = "const video = new File([bytes(20)], 'a.mp4', { type: 'video/mp4' });"


def test_small(anywhere):
    """A small file goes up in one request, and reads the same at the other end of a link."""
    code = """
      const file = new File(['\\x89PNG picture'], 'a.png', { type: 'image/png' });
      const seen = [];
      const told = { inputs: { ext: 'png' }, token: given.token, onProgress: (now) => seen.push(now) };
      const stored = await client.upload(given.api, 'avatars', file, told);
      const link = await client.downloadLink(given.api, 'avatar-download', { key: stored.key, token: given.token });
      const read = await (await fetch(link.url)).text();
      return { stored, seen, read, link: { ...link, url: '' }, size: file.size };
    """
    outcome = anywhere.observe(code)
    result = outcome["result"]
    assert result["stored"]["key"].startswith("avatars/u1/")
    assert len(result["stored"]["etag"]) == 34
    assert result["read"] == "\x89PNG picture"
    assert result["seen"][-1] == {"loaded": result["size"], "total": result["size"]}
    assert (result["link"]["method"], result["link"]["expires_in"]) == ("GET", 60)
    assert anywhere.asked("PutObject") == 1
    assert outcome["logged"] == []


def test_filename(anywhere):
    """A link saves as the name it was asked for."""
    code = """
      const options = { inputs: { month: '2026-01' }, filename: 'Bericht.pdf', expiresIn: 30, token: given.token };
      const link = await client.downloadLink(given.api, 'reports', options);
      return [new URL(link.url).searchParams.get('response-content-disposition'), link.expires_in];
    """
    disposition, seconds = anywhere.run(code)
    assert "Bericht.pdf" in disposition
    assert seconds == 30


def test_ask_and_send(anywhere):
    """What has no function of its own is asked for and sent in two steps, with progress, and refused like the rest."""
    code = """
      const asked = (vend, ask, route = 'papers') => client.ask(given.api, route, vend, ask, { token: given.token });
      const granted = await asked('url', { method: 'PUT', inputs: { path: 'a.txt' } });
      const seen = [];
      const stored = await client.sendSigned(granted, new Blob(['paper']), { onProgress: (now) => seen.push(now) });
      const again = await client.sendSigned(granted, new Blob(['paper'])).catch(told);
      const refused = await asked('url', { key: 'files/u2/a.txt' }).catch(told);
      const deleting = await asked('url', { method: 'DELETE', key: granted.key }, 'my-files-delete');
      const empty = await client.sendSigned(deleting);
      return { key: granted.key, stored, seen, again, refused, empty };
    """
    outcome = anywhere.observe(code)["result"]
    assert (outcome["key"], outcome["stored"]["status"], len(outcome["stored"]["etag"])) == ("files/u1/a.txt", 200, 34)
    assert outcome["seen"][-1] == {"loaded": 5, "total": 5}
    assert (outcome["again"]["name"], outcome["again"]["code"]) == ("StoreError", "FileAlreadyExists")
    assert (outcome["refused"]["name"], outcome["refused"]["code"]) == ("BrokerRefused", "key_not_allowed")
    assert outcome["empty"]["status"] == 204


def test_aborted_send(anywhere):
    """What is sent so can be aborted, too."""
    code = """
      const granted = await client.ask(given.api, 'papers', 'url', { key: 'files/u1/b.txt' }, { token: given.token });
      const signal = AbortSignal.abort(new Error('enough'));
      const asked = client.ask(given.api, 'papers', 'url', { key: 'files/u1/b.txt' }, { token: given.token, signal });
      return [await client.sendSigned(granted, new Blob(['x']), { signal }).catch(told), await asked.catch(told)];
    """
    assert [one["message"] for one in anywhere.run(code)] == ["enough", "enough"]
    assert anywhere.asked("PutObject") == 0


def test_large(anywhere):
    """A large file goes up in parts, several at once, and all of it arrives in order."""
    code = f"""
      {VIDEO}
      const seen = [];
      const told = {{ inputs: {{ ext: 'mp4' }}, token: given.token, onProgress: (now) => seen.push(now) }};
      const stored = await client.upload(given.api, 'videos', video, told);
      return {{ stored, last: seen.at(-1), many: seen.length }};
    """
    outcome = anywhere.observe(code)
    result = outcome["result"]
    assert result["last"] == {"loaded": len(LARGE), "total": len(LARGE)}
    assert result["many"] >= 3
    assert result["stored"]["etag"].endswith('-3"')
    assert anywhere.asked("UploadPart") == 3
    assert anywhere.fetched("my-videos", result["stored"]["key"]) == LARGE
    assert outcome["logged"] == []


@pytest.mark.parametrize(("bytes_", "parts"), [(PART - 1, 1), (PART, 1), (PART + 1, 2)])
def test_small_in_parts(anywhere, bytes_, parts):
    """A route that vends no `url` gets the smallest file in parts as well."""
    code = """
      const file = new File([new Uint8Array(given.bytes)], 'a.mp4', { type: 'video/mp4' });
      return client.upload(given.api, 'videos', file, { inputs: { ext: 'mp4' }, token: given.token });
    """
    stored = anywhere.run(code, bytes=bytes_)
    assert anywhere.asked("UploadPart") == parts
    assert anywhere.fetched("my-videos", stored["key"]) == bytes(bytes_)


def test_large_in_one(anywhere):
    """A route that vends no `multipart` gets a large file in one request."""
    code = """
      const file = new File([new Uint8Array(1000)], 'a.png', { type: 'image/png' });
      const told = { inputs: { ext: 'png' }, token: given.token, multipartFrom: 100 };
      return client.upload(given.api, 'avatars', file, told);
    """
    assert anywhere.fetched("avatar-download", anywhere.run(code)["key"]) == bytes(1000)


@pytest.mark.parametrize("size", [0, 3, 300])
def test_undeclared(anywhere, size):
    """A route that takes neither type nor length is not told them; an empty file is one, too."""
    code = """
      const file = new File(['x'.repeat(given.size)], 'a.txt', { type: 'text/plain' });
      const told = { key: 'files/u1/a.txt', token: given.token, multipartFrom: 100 };
      return client.upload(given.api, 'papers', file, told);
    """
    assert anywhere.run(code, size=size)["key"] == "files/u1/a.txt"
    assert anywhere.fetched("private-files", "files/u1/a.txt") == b"x" * size
    assert anywhere.asked("UploadPart") == (size == 300)


class TestEmpty:
    """An empty file, of which no upload in parts can be made."""

    CODE = """
      const file = new File([], 'a.mp4', { type: given.type ?? '' });
      const told_ = { ...given.where, token: given.token, multipartFrom: given.from };
      return client.upload(given.api, given.route, file, told_).catch(told);
    """

    def test_url(self, anywhere):
        """It goes in one request where the route vends that, from however few bytes others go in parts."""
        where = {"key": "files/u1/a.txt"}
        assert anywhere.run(self.CODE, route="papers", where=where, **{"from": 0})["key"] == "files/u1/a.txt"
        assert anywhere.fetched("private-files", "files/u1/a.txt") == b""

    def test_form(self, anywhere):
        """Elsewhere it goes by the form."""
        stored = anywhere.run(self.CODE, route="videos", where={"inputs": {"ext": "mp4"}}, type="video/mp4")
        assert anywhere.fetched("my-videos", stored["key"]) == b""
        assert anywhere.emulator.stats()["cos"] == {"PostObject": 1, "GetObject": 1}

    def test_neither(self, anywhere):
        """Where the route takes parts alone, that is said, and COS is asked for nothing."""
        error = anywhere.run(self.CODE, route="large-folder", where={"inputs": {"path": "a"}})
        assert (error["name"], error["code"], error["status"]) == ("BrokerRefused", "vend_not_allowed", 422)
        assert error["detail"] == "an empty file cannot go up in parts, and the route vends neither url (PUT) nor form"
        assert anywhere.emulator.stats()["cos"] == {}


def test_headers_of_the_caller(node):
    """`getHeaders` is asked before every request to the broker: a BFF's key and the user that it acts for."""
    code = """
      let times = 0;
      const getHeaders = async () => {
        times += 1;
        return { Authorization: `Bearer ${given.key}`, 'X-Principal': 'u7' };
      };
      const file = new File(['x'], 'a.mp4', { type: 'video/mp4' });
      const stored = await client.upload(given.api, 'videos', file, { inputs: { ext: 'mp4' }, getHeaders });
      return [stored.key, times];
    """
    key, times = node.run(code, key=node.identities.api_key)
    assert key.startswith("videos/u7/")
    assert times == 4  # one request is refused, then begin, part and completion


def test_form(anywhere):
    """A form uploads a file, and the route decides on its type."""
    code = """
      const seen = [];
      const told = { inputs: { ext: 'mp4' }, token: given.token, onProgress: (now) => seen.push(now) };
      const file = new File([bytes(1)], 'a.mp4', { type: 'video/mp4' });
      const stored = await client.form(given.api, 'videos', file, told);
      const odd = new File(['x'], 'a.html', { type: 'text/html' });
      const refused = await client.form(given.api, 'videos', odd, told).catch(told_);
      return { stored, refused, last: seen.at(-1) };
    """.replace("told_", "(error) => error.code")
    result = anywhere.run(code)
    assert anywhere.fetched("my-videos", result["stored"]["key"]) == LARGE[: 2**20] + bytes([1]) * 7
    assert result["refused"] == "content_type_not_allowed"
    if anywhere.where == "chromium":
        assert result["last"] == {"loaded": 2**20 + 7, "total": 2**20 + 7}


class TestAborting:
    """An AbortSignal."""

    def test_parts(self, anywhere):
        """A multipart upload is gone from COS, and the caller hears the signal's own reason."""
        code = f"""
          {VIDEO}
          const stopping = new AbortController();
          const onProgress = () => stopping.abort();
          const more = {{ signal: stopping.signal, onProgress, parts: 2 }};
          return client.upload(given.api, 'videos', video, {{ inputs: {{ ext: 'mp4' }}, token: given.token, ...more }})
            .catch((error) => [error.name, error.state]);
        """
        name, state = anywhere.run(code)
        assert name == "AbortError"
        assert anywhere.asked("AbortMultipartUpload") == 1
        assert anywhere.asked("CompleteMultipartUpload") == 0
        assert anywhere.run(CONTINUED, state=state)["code"] == "NoSuchUpload"

    def test_one(self, chromium):
        """An upload in one request stops midway, and nothing is stored."""
        chromium.emulator.order_fault(Fault("cos", 2, delay_seconds=0.5))  # else loopback is faster than progress
        code = """
          const stopping = new AbortController();
          const onProgress = () => stopping.abort(new Error('enough'));
          const more = { signal: stopping.signal, onProgress, multipartFrom: 1e9 };
          const options = { key: 'files/u1/a', token: given.token, ...more };
          return client.upload(given.api, 'papers', new Blob([bytes(20)]), options).catch((error) => error.message);
        """
        assert chromium.run(code) == "enough"
        gone = "return (await fetch((await client.downloadLink(given.api, 'private-files', given)).url)).status"
        assert chromium.run(gone, key="files/u1/a") == 404

    @pytest.mark.parametrize("call", ["upload", "form", "downloadLink"])
    def test_before(self, anywhere, call):
        """What is aborted before it begins does not begin."""
        code = """
          const told = { inputs: { ext: 'mp4' }, token: given.token, signal: AbortSignal.abort() };
          const file = new File(['x'], 'a.mp4', { type: 'video/mp4' });
          const ask = given.call === 'downloadLink' ? [told] : [file, told];
          return client[given.call](given.api, 'videos', ...ask).catch((error) => error.name);
        """
        assert anywhere.run(code, call=call) == "AbortError"
        assert anywhere.emulator.stats()["cos"] == {}


CONTINUED = f"""
  {VIDEO}
  const told_ = {{ token: given.token, state: given.state }};
  return client.upload(given.api, 'videos', video, told_).catch(told);
"""


class TestContinuing:
    """A multipart upload that did not get to its end."""

    def test_kept(self, anywhere):
        """What is kept on abort is continued by another page: parts that are there do not go up again."""
        code = f"""
          {VIDEO}
          const stopping = new AbortController();
          const onState = (state) => Object.keys(state.done).length === 2 && stopping.abort();
          const more = {{ parts: 1, signal: stopping.signal, keepOnAbort: true, onState }};
          return client.upload(given.api, 'videos', video, {{ inputs: {{ ext: 'mp4' }}, token: given.token, ...more }})
            .catch((error) => error.state);
        """
        state = anywhere.run(code)
        assert sorted(state["done"]) == ["1", "2"]
        assert anywhere.token() not in str(state)
        stored = anywhere.run(CONTINUED, state=state)
        assert stored["key"] == state["key"]
        assert anywhere.asked("UploadPart") == 3
        assert anywhere.fetched("my-videos", stored["key"]) == LARGE

    def test_failed(self, node):
        """What fails hands back its state, and its parts are kept."""
        code = f"""
          {VIDEO}
          const fail = {{ target: 'cos', code: 'InternalError', count: 4 }};
          let failing;
          const onState = (state) => {{
            if (Object.keys(state.done).length === 1)
              failing = fetch(`${{given.cos}}/_emulator/faults`, {{ method: 'POST', body: JSON.stringify(fail) }});
          }};
          // The part that follows waits until the fault is in place.
          const getHeaders = async () => (await failing, {{ Authorization: `Bearer ${{given.token}}` }});
          const more = {{ parts: 1, getHeaders, onState, inputs: {{ ext: 'mp4' }} }};
          return client.upload(given.api, 'videos', video, more).catch((error) => [told(error), error.state]);
        """
        error, state = node.run(code)
        assert (error["name"], error["code"], error["status"]) == ("StoreError", "InternalError", 500)
        assert "1" in state["done"]
        assert node.asked("AbortMultipartUpload") == 0
        assert node.fetched("my-videos", node.run(CONTINUED, state=state)["key"]) == LARGE

    def test_other_file(self, node):
        """A file of another size is not the one that was begun."""
        state = {"key": "videos/u1/x.mp4", "uploadId": "1", "size": 9, "partBytes": PART, "done": {}}
        error = node.run(CONTINUED, state=state)
        assert error["name"] == "TypeError"
        assert "9 bytes" in error["message"]


@pytest.mark.parametrize("failures", [1, 3])
def test_failures_in_passing(anywhere, failures):
    """A bucket that is busy for a moment is asked again."""
    anywhere.emulator.order_fault(Fault("cos", failures, "ServiceUnavailable"))
    stored = anywhere.run(CONTINUED.replace("state: given.state", "inputs: { ext: 'mp4' }"))
    assert anywhere.fetched("my-videos", stored["key"]) == LARGE


def test_signatures_that_ran_out(node):
    """Parts whose signed requests are too old when their turn comes are signed anew."""
    code = f"""
      {VIDEO}
      let waited = false;
      const onState = (state) => {{
        if (waited || !state.done[1]) return;
        waited = true;
        for (const until = Date.now() + 3100; Date.now() < until; );
      }};
      const told = {{ inputs: {{ ext: 'mp4' }}, token: given.token, expiresIn: 2, parts: 1, onState }};
      return client.upload(given.api, 'videos', video, told);
    """
    stored = node.run(code)
    assert node.asked("UploadPart") == 4
    assert node.fetched("my-videos", stored["key"]) == LARGE


CONFIRMED = {"route": "videos", "where": {"inputs": {"ext": "mp4"}}, "type": "video/mp4"}
BLIND = {"route": "papers", "where": {"key": "files/u1/a.txt"}, "type": ""}


class TestLostCompletion:
    """COS's answer to what completes a multipart upload is lost."""

    CODE = """
      const real = globalThis.fetch;
      let lost = false;
      globalThis.fetch = async (url, options) => {
        if (lost || options.method !== 'POST' || !String(url).includes('uploadId=')) return real(url, options);
        lost = true;
        if (given.before) await real(given.before, { method: 'POST' });
        if (given.carriedOut) await real(url, options);
        if (given.status) return new Response('', { status: given.status });
        throw new TypeError();
      };
      const file = new File(['a video'], 'a.mp4', { type: given.type });
      const told_ = { ...given.where, token: given.token, multipartFrom: 1 };
      return client.upload(given.api, given.route, file, told_).catch((error) => ({ ...told(error), ...error.state }));
    """

    @pytest.mark.parametrize("status", [0, 502])
    def test_confirmed(self, node, status):
        """Where the route vends `confirm`, the broker finds the object, and tells its ETag."""
        stored = node.run(self.CODE, **CONFIRMED, carriedOut=True, status=status)
        assert node.fetched("my-videos", stored["key"]) == b"a video"
        assert stored["etag"].endswith('-1"')
        assert node.asked("CompleteMultipartUpload") == 2

    def test_unconfirmed(self, node):
        """Elsewhere the upload counts as done, without an ETag."""
        assert node.run(self.CODE, **BLIND, carriedOut=True) == {"key": "files/u1/a.txt", "etag": None}
        assert node.fetched("private-files", "files/u1/a.txt") == b"a video"

    def test_not_carried_out(self, node):
        """A request that never arrived is sent again, and nobody is asked whether there is an object."""
        stored = node.run(self.CODE, **CONFIRMED, carriedOut=False)
        assert node.fetched("my-videos", stored["key"]) == b"a video"
        assert stored["etag"].endswith('-1"')
        assert node.asked("HeadObject") == 0

    @pytest.mark.parametrize(("told", "status"), [(CONFIRMED, 0), (BLIND, 403)])
    def test_gone(self, node, told, status):
        """An upload that somebody removed is no object: not where `confirm` finds none, nor after a refusal of COS."""
        reset = f"{node.emulator.url}/_emulator/reset"
        error = node.run(self.CODE, **told, carriedOut=False, status=status, before=reset)
        assert (error["name"], error["code"], error["status"]) == ("StoreError", "NoSuchUpload", 404)
        assert error["done"]


class TestErrors:
    """What is refused, and by whom."""

    def test_broker(self, anywhere):
        """The broker's refusal comes with its code, status, words and fields, and COS hears of nothing."""
        code = """
          const file = new File(['<script>'], 'a.html', { type: 'text/html' });
          const told_ = { inputs: { ext: 'png' }, token: given.token };
          return client.upload(given.api, 'avatars', file, told_).catch(told);
        """
        error = anywhere.run(code)
        assert (error["name"], error["code"], error["status"]) == ("BrokerRefused", "content_type_not_allowed", 422)
        assert error["message"] == error["detail"]
        assert [one["field"] for one in error["errors"]] == ["headers.Content-Type"]
        assert anywhere.emulator.stats()["cos"] == {}

    @pytest.mark.parametrize(
        ("change", "code", "status"),
        [
            ("key: 'files/u2/a.txt'", "key_not_allowed", 422),
            ("token: ''", "unauthenticated", 401),
            ("token: given.token.slice(1)", "unauthenticated", 401),
            ("expiresIn: 1e6", "expires_too_long", 422),
            ("headers: { 'x-cos-acl': 'public-read' }", "header_not_allowed", 422),
            ("contentType: 'text/plain'", "header_not_allowed", 422),
        ],
    )
    def test_each_option(self, anywhere, change, code, status):
        """What the route does not allow is refused, and not left out."""
        script = f"""
          const options = {{ key: 'files/u1/a.txt', token: given.token, {change} }};
          return client.upload(given.api, 'papers', new Blob(['x'], {{ type: 'text/plain' }}), options).catch(told);
        """
        error = anywhere.run(script)
        assert (error.get("code"), error.get("status")) == (code, status)

    def test_store(self, anywhere):
        """COS's refusal comes with its own code, and without the signed URL."""
        code = """
          const told_ = { key: 'files/u1/a.txt', token: given.token };
          await client.upload(given.api, 'papers', new Blob(['x']), told_);
          return client.upload(given.api, 'papers', new Blob(['y']), told_)
            .catch((error) => ({ ...told(error), all: String(error.stack) + JSON.stringify(error) }));
        """
        error = anywhere.run(code)
        assert (error["name"], error["code"], error["status"]) == ("StoreError", "FileAlreadyExists", 409)
        assert "q-signature" not in error["all"]
        assert anywhere.token() not in error["all"]

    def test_nobody(self, anywhere):
        """A broker that does not answer, or is none, is told from one that refuses."""
        code = """
          const ask = (at) => client.downloadLink(at, 'avatar-download', { key: 'x' }).catch(told);
          return [await ask('http://127.0.0.1:1'), await ask(`${given.api}/nowhere`)];
        """
        unreachable, odd = anywhere.run(code)
        assert (unreachable["name"], unreachable["code"], unreachable["status"]) == ("BrokerRefused", "unreachable", 0)
        assert odd["name"] == "BrokerRefused"
        assert odd["status"] == 404

    def test_no_store(self, node):
        """Neither does a bucket that does not answer go for one that refuses."""
        code = """
          const real = globalThis.fetch;
          const lost = () => Promise.reject(new TypeError());
          globalThis.fetch = (url, options) => (options.method === 'PUT' ? lost() : real(url, options));
          const options = { key: 'files/u1/a', token: given.token };
          return client.upload(given.api, 'papers', new Blob(['x']), options).catch(told);
        """
        error = node.run(code)
        assert (error["name"], error["code"], error["status"]) == ("StoreError", "unreachable", 0)
