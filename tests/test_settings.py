"""The environment, variable by variable: default, legal, refused with both sides."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from broker.errors import ConfigurationError
from broker.settings import Settings

KEY = base64.b64encode(b"k" * 32).decode()
OTHER_KEY = base64.b64encode(b"o" * 32).decode()
LEAST = {"BROKER_ANONYMOUS": "1"}
JWT = {"BROKER_JWT_JWKS": "jwks.json", "BROKER_JWT_ISSUER": "https://i", "BROKER_JWT_AUDIENCE": "a"}
REDIS = {"BROKER_REDIS_URL": "redis://localhost", "BROKER_CACHE_KEYS": KEY}


def refusals(environ: dict[str, str], **options: bool) -> dict[str, str]:
    """Message by variable, of settings that must be refused; each variable has one problem, said once."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environ(environ, **options)
    problems = refused.value.problems
    assert {problem.source for problem in problems} == {"environment"}
    assert len({problem.field for problem in problems}) == len(problems), problems
    return {problem.field: problem.message for problem in problems}


def test_defaults():
    """With nothing but a way to authenticate, every setting has the contract's default."""
    settings = Settings.from_environ(LEAST)
    assert (settings.secret_id, settings.secret_key) == ("", "")
    assert (settings.sts_endpoint, settings.sts_region) == ("https://sts.tencentcloudapi.com", "ap-guangzhou")
    assert settings.cos_endpoint == "https://{bucket}.cos.{region}.myqcloud.com"
    assert settings.policies == Path("policies")
    assert (settings.redis_url, settings.cache_keys) == ("", ())
    assert (settings.jwt, settings.api_keys, settings.anonymous) == (None, None, True)
    assert (settings.cors_origins, settings.trusted_proxies, settings.policy_bytes) == ((), 0, 4096)
    assert (settings.log_level, settings.log_format) == ("info", "json")


def test_default_algorithms():
    """Of the token's settings only the algorithms have a default."""
    jwt = Settings.from_environ(JWT).jwt
    assert jwt is not None
    assert (jwt.jwks, jwt.issuer, jwt.audience) == ("jwks.json", "https://i", "a")
    assert jwt.algorithms == ("RS256", "ES256")


LEGAL = [
    ({"TENCENTCLOUD_SECRET_ID": "AKID1", "TENCENTCLOUD_SECRET_KEY": "k"}, "secret_id", "AKID1"),
    ({"BROKER_STS_ENDPOINT": "https://sts.internal.tencentcloudapi.com/"}, "sts_endpoint", "https://sts.internal.tencentcloudapi.com"),
    ({"BROKER_STS_ENDPOINT": "http://127.0.0.1:9000"}, "sts_endpoint", "http://127.0.0.1:9000"),
    ({"BROKER_STS_ENDPOINT": "http://localhost:9000"}, "sts_endpoint", "http://localhost:9000"),
    ({"BROKER_STS_ENDPOINT": "http://[::1]:9000"}, "sts_endpoint", "http://[::1]:9000"),
    ({"BROKER_STS_REGION": "na-siliconvalley"}, "sts_region", "na-siliconvalley"),
    ({"BROKER_COS_ENDPOINT": "http://{bucket}.localhost:9000"}, "cos_endpoint", "http://{bucket}.localhost:9000"),
    ({"BROKER_COS_ENDPOINT": "https://cdn.example.com"}, "cos_endpoint", "https://cdn.example.com"),
    ({"BROKER_POLICIES": "/etc/broker"}, "policies", Path("/etc/broker")),
    ({**REDIS, "BROKER_REDIS_URL": "redis://:pw@h:6380/3"}, "redis_url", "redis://:pw@h:6380/3"),
    ({**REDIS, "BROKER_REDIS_URL": "rediss://u:pw@h"}, "redis_url", "rediss://u:pw@h"),
    ({**REDIS, "BROKER_REDIS_URL": "unix:///run/redis.sock"}, "redis_url", "unix:///run/redis.sock"),
    ({**REDIS, "BROKER_REDIS_URL": "redis+cluster://a,b:7001"}, "redis_url", "redis+cluster://a,b:7001"),
    ({**REDIS, "BROKER_REDIS_URL": "redis+sentinel://a/s/0"}, "redis_url", "redis+sentinel://a/s/0"),
    ({"BROKER_STS_BUDGET": "4"}, "sts_budget", 4),
    ({**REDIS, "BROKER_CACHE_KEYS": f"{KEY} , {OTHER_KEY}"}, "cache_keys", (b"k" * 32, b"o" * 32)),
    ({"BROKER_API_KEYS": "keys.json"}, "api_keys", Path("keys.json")),
    ({"BROKER_API_KEYS": "keys.json", "BROKER_ANONYMOUS": "0"}, "anonymous", False),
    ({"BROKER_CORS_ORIGINS": "https://app.example"}, "cors_origins", ("https://app.example",)),
    ({"BROKER_CORS_ORIGINS": "https://a , http://localhost:3000,"}, "cors_origins", ("https://a", "http://localhost:3000")),
    ({"BROKER_TRUSTED_PROXIES": "2"}, "trusted_proxies", 2),
    ({"BROKER_POLICY_BYTES": "2048"}, "policy_bytes", 2048),
    ({"BROKER_LOG_LEVEL": "debug"}, "log_level", "debug"),
    ({"BROKER_LOG_FORMAT": "console"}, "log_format", "console"),
    ({"BROKER_LOG_FORMAT": " console "}, "log_format", "console"),
    ({"BROKER_LOG_FORMAT": ""}, "log_format", "json"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "name", "value"), LEGAL)
def test_legal(changes, name, value):
    """A legal value is taken; blanks around it and empty variables mean nothing."""
    assert getattr(Settings.from_environ({**LEAST, **changes}), name) == value


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES384", "EdDSA"])
def test_algorithms(algorithm):
    """Every asymmetric algorithm may be named."""
    settings = Settings.from_environ({**JWT, "BROKER_JWT_ALGORITHMS": f"{algorithm}, RS256"})
    assert settings.jwt is not None
    assert settings.jwt.algorithms == (algorithm, "RS256")


ILLEGAL = [
    ("BROKER_STS_ENDPOINT", "http://sts.tencentcloudapi.com", ["https", "'http://sts.tencentcloudapi.com'"]),
    ("BROKER_STS_ENDPOINT", "sts.tencentcloudapi.com", ["https", "sts.tencentcloudapi.com"]),
    ("BROKER_STS_ENDPOINT", "https://h/path", ["host alone", "https://h/path"]),
    ("BROKER_STS_ENDPOINT", "https://{bucket}.h", ["placeholders", "{bucket}"]),
    ("BROKER_STS_ENDPOINT", "https://h:99999", ["https", "99999"]),
    ("BROKER_STS_ENDPOINT", "http://127.0.0.1.evil.example", ["https", "evil"]),
    ("BROKER_STS_ENDPOINT", "http://localhost.evil.example", ["https", "evil"]),
    ("BROKER_STS_REGION", "Guangzhou", ["ap-guangzhou", "Guangzhou"]),
    ("BROKER_COS_ENDPOINT", "http://{bucket}.cos.{region}.myqcloud.com", ["https", "http://{bucket}"]),
    ("BROKER_COS_ENDPOINT", "https://{bucket}.{zone}.h", ["{bucket} and {region}", "{zone}"]),
    ("BROKER_COS_ENDPOINT", "https://{bucket}.h/{region}", ["host alone", "/{region}"]),
    ("BROKER_ANONYMOUS", "yes", ["0, 1", "'yes'"]),
    ("BROKER_ANONYMOUS", "true", ["0, 1", "'true'"]),
    ("BROKER_CORS_ORIGINS", "*", ["each origin", "'*'"]),
    ("BROKER_CORS_ORIGINS", "https://app.example, null", ["each origin", "'null'"]),
    ("BROKER_CORS_ORIGINS", "https://app.example/", ["https://host", "'https://app.example/'"]),
    ("BROKER_CORS_ORIGINS", "http://app.example", ["loopback", "'http://app.example'"]),
    ("BROKER_CORS_ORIGINS", "https://a:443,https://b:443", ["leave out :443", "'https://a:443'", "'https://b:443'"]),
    ("BROKER_TRUSTED_PROXIES", "-1", ["0..", "'-1'"]),
    ("BROKER_TRUSTED_PROXIES", "one", ["0..", "'one'"]),
    ("BROKER_TRUSTED_PROXIES", "²", ["0..", "\\xb2"]),
    ("BROKER_POLICY_BYTES", "1", ["256..", "'1'"]),
    ("BROKER_POLICY_BYTES", "4096.5", ["256..", "'4096.5'"]),
    ("BROKER_POLICY_BYTES", "9" * 5000, ["256..", "999"]),
    ("BROKER_LOG_LEVEL", "INFO", ["debug, info, warning, error", "'INFO'"]),
    ("BROKER_LOG_FORMAT", "text", ["json, console", "'text'"]),
]


@pytest.mark.parametrize(("name", "value", "told"), ILLEGAL)
def test_illegal(name, value, told):
    """An illegal value is refused with what would be legal and what stands there, cut."""
    found = refusals({"BROKER_API_KEYS": "keys.json", name: value})
    assert list(found) == [name]
    assert [text for text in told if text not in found[name]] == []
    assert len(found[name]) < 300
    assert found[name].isascii()


def test_redis_certificates(tmp_path):
    """A file that the URL names is there at the start, not at the first ask."""
    url = f"rediss://:pw@h?ssl_ca_certs={tmp_path}/ca.pem"
    message = refusals({**LEAST, **REDIS, "BROKER_REDIS_URL": url})["BROKER_REDIS_URL"]
    assert ("ssl_ca_certs" in message, "pw" in message) == (True, False)
    (tmp_path / "ca.pem").touch()
    assert Settings.from_environ({**LEAST, **REDIS, "BROKER_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://h", "redis://, rediss://, unix://, redis+sentinel://, redis+cluster://"),
        ("h:6379", "redis://, rediss://, unix://"),
        ("REDIS://h", "redis://, rediss://, unix://"),
        ("redis://", "host"),
        ("redis://h:0", "host"),
        ("redis://h:99999", "port"),
        ("redis://h/one", "database"),
        ("unix://", "path"),
        ("redis://h?socket_timeout=60", "takes the options db"),
        ("rediss://h?socket_timeout=60", "db, ssl_ca_certs"),
        ("redis+sentinel://h:26379", "/SERVICE"),
        ("redis+cluster://h:7000,h:7001/0", "no database"),
    ],
)
def test_illegal_redis_url(url, told):
    """A URL that is none of ours is refused; the forms of later versions by name."""
    found = refusals({**LEAST, **REDIS, "BROKER_REDIS_URL": url})
    assert list(found) == ["BROKER_REDIS_URL"]
    assert told in found["BROKER_REDIS_URL"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("not base64!", "base64"),
        (base64.b64encode(b"k" * 16).decode(), "32 bytes, got 16"),
        (f"{KEY},{base64.b64encode(b'k' * 33).decode()}", "key 2 must be 32 bytes, got 33"),
        (f"{KEY},x", "key 2 is not base64"),
        (",", "required"),
    ],
)
def test_illegal_cache_keys(keys, told):
    """A key of another size or spelling is refused, by its place and not by its value."""
    found = refusals({**LEAST, **REDIS, "BROKER_CACHE_KEYS": keys})
    assert list(found) == ["BROKER_CACHE_KEYS"]
    assert told in found["BROKER_CACHE_KEYS"]


@pytest.mark.parametrize("algorithm", ["HS256", "none", "rs256", "ES256K", ""])
def test_illegal_algorithm(algorithm):
    """A symmetric algorithm, or one that nobody knows, is refused with the legal ones."""
    found = refusals({**JWT, "BROKER_JWT_ALGORITHMS": f"RS256,{algorithm}"})
    assert list(found) == ["BROKER_JWT_ALGORITHMS"]
    assert "RS256" in found["BROKER_JWT_ALGORITHMS"]


@pytest.mark.parametrize("jwks", ["http://example.com/jwks", "ftp://h/jwks", "https://", "https://h:0/jwks"])
def test_illegal_jwks(jwks):
    """A key set comes by https, or from this machine."""
    assert list(refusals({**JWT, "BROKER_JWT_JWKS": jwks})) == ["BROKER_JWT_JWKS"]


@pytest.mark.parametrize("jwks", ["https://h/jwks?v=1", "http://127.0.0.1:9/jwks", "/etc/jwks.json", "jwks.json"])
def test_legal_jwks(jwks):
    """A URL of those, or a file."""
    settings = Settings.from_environ({**JWT, "BROKER_JWT_JWKS": jwks})
    assert settings.jwt is not None
    assert settings.jwt.jwks == jwks


PAIRS = [
    ({"TENCENTCLOUD_SECRET_ID": "AKID1"}, "TENCENTCLOUD_SECRET_KEY", "pair"),
    ({"TENCENTCLOUD_SECRET_KEY": "k"}, "TENCENTCLOUD_SECRET_ID", "pair"),
    ({"BROKER_REDIS_URL": "redis://h"}, "BROKER_CACHE_KEYS", "required with BROKER_REDIS_URL"),
    ({"BROKER_CACHE_KEYS": KEY}, "BROKER_CACHE_KEYS", "goes with BROKER_REDIS_URL"),
    ({**JWT, "BROKER_JWT_ISSUER": ""}, "BROKER_JWT_ISSUER", "required"),
    ({**JWT, "BROKER_JWT_AUDIENCE": ""}, "BROKER_JWT_AUDIENCE", "required"),
    ({"BROKER_JWT_ISSUER": "i"}, "BROKER_JWT_ISSUER", "goes with BROKER_JWT_JWKS"),
    ({"BROKER_JWT_AUDIENCE": "a"}, "BROKER_JWT_AUDIENCE", "goes with BROKER_JWT_JWKS"),
    ({"BROKER_JWT_ALGORITHMS": "ES256"}, "BROKER_JWT_ALGORITHMS", "goes with BROKER_JWT_JWKS"),
]


@pytest.mark.parametrize(("changes", "name", "told"), PAIRS)
def test_half_of_a_pair(changes, name, told):
    """What means nothing without its other half is refused."""
    found = refusals({**LEAST, **changes})
    assert list(found) == [name]
    assert told in found[name]


@pytest.mark.parametrize("environ", [{}, {"BROKER_ANONYMOUS": "0"}, {"BROKER_ANONYMOUS": ""}])
def test_no_authentication(environ):
    """A broker that nobody could be refused by does not start; tools that serve nobody do."""
    found = refusals(environ)
    assert [name for name in ("BROKER_API_KEYS", "BROKER_ANONYMOUS=1") if name not in " ".join(found.values())] == []
    assert Settings.from_environ(environ, serving=False).jwt is None


def test_console():
    """The console is off unless it is switched on with the claims of those who may see it."""
    assert Settings.from_environ(LEAST).console_claims is None
    on = {"BROKER_CONSOLE": "1", "BROKER_CONSOLE_CLAIMS": '{"role": {"const": "operator"}}'}
    assert Settings.from_environ({**LEAST, **on}).console_claims == on["BROKER_CONSOLE_CLAIMS"]
    assert Settings.from_environ({**LEAST, **on, "BROKER_CONSOLE_CLAIMS": "{}"}).console_claims == "{}"


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"BROKER_CONSOLE": "1"}, "BROKER_CONSOLE_CLAIMS", "is required with BROKER_CONSOLE=1"),
        ({"BROKER_CONSOLE_CLAIMS": "{}"}, "BROKER_CONSOLE_CLAIMS", "goes with BROKER_CONSOLE=1, which is not set"),
        ({"BROKER_CONSOLE": "0"}, "BROKER_CONSOLE", "must be 1, or not set"),
        ({"BROKER_CONSOLE": "yes", "BROKER_CONSOLE_CLAIMS": "{}"}, "BROKER_CONSOLE", "got 'yes'"),
    ],
)
def test_half_a_console(changes, name, message):
    """A page for everybody is never a default, and a setting without effect is refused."""
    found = refusals({**LEAST, **changes})
    assert list(found) == [name]
    assert message in found[name]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BROKER_ANONYMOS", "BROKER_ANONYMOUS"),
        ("BROKER_POLICY", "BROKER_POLICIES"),
        ("BROKER_API_KEY", "BROKER_API_KEYS"),
        ("BROKER_REDIS", "BROKER_REDIS_URL"),
        ("BROKER_CACHE_KEY", "BROKER_CACHE_KEYS"),
        ("BROKER_JWT_JKWS", "BROKER_JWT_JWKS"),
    ],
)
def test_misspelt(name, meant):
    """An unknown BROKER_ variable is refused with the one that was meant; its value is not shown."""
    found = refusals({**LEAST, name: "hunter2"})
    assert list(found) == [name]
    assert f"{meant}?" in found[name]
    assert "hunter2" not in found[name]


def test_variables_of_others():
    """Other variables are nobody's business here."""
    assert Settings.from_environ({**LEAST, "PATH": "x", "BROKERAGE": "1", "TENCENTCLOUD_REGION": "x"})


def test_all_problems_at_once():
    """Every mistake is told in one go."""
    found = refusals(
        {
            "TENCENTCLOUD_SECRET_ID": "AKID1",
            "BROKER_STS_ENDPOINT": "ftp://h",
            "BROKER_STS_REGION": "?",
            "BROKER_COS_ENDPOINT": "h",
            "BROKER_REDIS_URL": "memcached://h",
            "BROKER_CACHE_KEYS": "x",
            "BROKER_JWT_JWKS": "http://example.com/",
            "BROKER_JWT_ALGORITHMS": "HS256",
            "BROKER_ANONYMOUS": "2",
            "BROKER_TRUSTED_PROXIES": "x",
            "BROKER_POLICY_BYTES": "0",
            "BROKER_LOG_LEVEL": "x",
            "BROKER_LOG_FORMAT": "x",
            "BROKER_CONSOLE": "yes",
            "BROKER_COLOUR": "blue",
        }
    )
    assert sorted(found) == [
        "BROKER_ANONYMOUS", "BROKER_CACHE_KEYS", "BROKER_COLOUR", "BROKER_CONSOLE", "BROKER_COS_ENDPOINT",
        "BROKER_JWT_ALGORITHMS", "BROKER_JWT_AUDIENCE", "BROKER_JWT_ISSUER", "BROKER_JWT_JWKS", "BROKER_LOG_FORMAT",
        "BROKER_LOG_LEVEL", "BROKER_POLICY_BYTES", "BROKER_REDIS_URL", "BROKER_STS_ENDPOINT", "BROKER_STS_REGION",
        "BROKER_TRUSTED_PROXIES", "TENCENTCLOUD_SECRET_KEY",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"TENCENTCLOUD_SECRET_KEY": "hunter2"},
        {"BROKER_STS_ENDPOINT": "https://u:hunter2@h"},
        {"BROKER_STS_ENDPOINT": "http://u:hunter2@example.com"},
        {"BROKER_COS_ENDPOINT": "https://u:hunter2@{bucket}.h"},
        {**JWT, "BROKER_JWT_JWKS": "http://u:hunter2@example.com/jwks"},
        {"BROKER_CACHE_KEYS": "hunter2"},
        {**REDIS, "BROKER_CACHE_KEYS": f"{KEY},hunter2"},
        {"BROKER_REDIS_URL": "redis://:hunter2@h"},
        {**REDIS, "BROKER_REDIS_URL": "hunter2"},
        {**REDIS, "BROKER_REDIS_URL": "hunter2://h"},
        {**REDIS, "BROKER_REDIS_URL": "redis://u:1/hunter2@h:6379/0"},
        {**REDIS, "BROKER_REDIS_URL": "redis://u:1?hunter2@h:6379/0"},
        {**REDIS, "BROKER_REDIS_URL": "redis://u:hunter2@h:port"},
        {**REDIS, "BROKER_REDIS_URL": "redis+sentinel://:hunter2@h:1/s/hunter2"},
        {**REDIS, "BROKER_REDIS_URL": "redis://h?password=hunter2"},
    ],
)
def test_secrets_in_problems(changes):
    """No problem shows what may be a secret."""
    assert "hunter2" not in str(refusals({**LEAST, **changes}))


def test_repr():
    """The settings' repr shows no secret."""
    environ = {
        **LEAST, **JWT, **REDIS, "TENCENTCLOUD_SECRET_ID": "AKID1", "TENCENTCLOUD_SECRET_KEY": "hunter2",
        "BROKER_REDIS_URL": "redis://:hunter3@h",
    }  # fmt: skip
    shown = repr(Settings.from_environ(environ))
    assert [text for text in ("hunter2", "hunter3", KEY, "kkkk") if text in shown] == []
    assert "AKID1" in shown
