"""Key templates: what parses, what a value may hold, which given keys are admitted."""

import re

import pytest

from broker.patterns import Pattern
from broker.policy import flaws, notation, templates
from broker.policy.notation import TemplateError, parse
from broker.policy.templates import Claim, Date, Input, InputSpec, Literal, ProvenClaims, Uuid

UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"
FREE = InputSpec(enum=None, pattern=None, max_bytes=128, path=False)
PATH = InputSpec(enum=None, pattern=None, max_bytes=128, path=True)
EXT = InputSpec(enum=("png", "jpg"), pattern=None, max_bytes=128, path=False)


def admits(template: str, key: str, specs: dict[str, InputSpec] | None = None, **claims: str) -> bool:
    """Whether a template admits a given key, as a route asks it."""
    form = notation.parse(template)
    return flaws.key_flaw(key) is None and form.admits(key, ProvenClaims(claims or {"sub": "u1"}), specs or {})


class TestParsing:
    """What a template is made of."""

    def test_bucket(self):
        """A slash alone is the bucket itself: a template without parts."""
        found = notation.parse("/")
        assert (found.text, found.parts, found.claims, found.generated) == ("/", (), frozenset(), False)

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("a", (Literal("a"),)),
            ("a/b c/d.txt", (Literal("a/b c/d.txt"),)),
            ("a/{principal.sub}", (Literal("a/"), Claim("sub"))),
            ("a/{principal.sub}.png", (Literal("a/"), Claim("sub"), Literal(".png"))),
            ("a/{principal.https://x.test/t}/b", (Literal("a/"), Claim("https://x.test/t"), Literal("/b"))),
            ("a/{uuid}-{x}", (Literal("a/"), Uuid(), Literal("-"), Input("x"))),
            ("a/{date:%Y/%m/%d}/{x_1}", (Literal("a/"), Date(), Literal("/"), Input("x_1"))),
            ("目录/{x}", (Literal("目录/"), Input("x"))),
        ],
    )
    def test_template(self, text, parts):
        """Literals and the four kinds of placeholder, in their order."""
        assert notation.parse(text).parts == parts

    @pytest.mark.parametrize(
        ("bad", "words", "twin"),
        [
            ("", "empty", "a"),
            ("/a", "begin or end", "a"),
            ("a/", "begin or end", "a"),
            ("a//b", "empty", "a/b"),
            ("a/./b", "'.'", "a/.b/b"),
            ("a/../b", "'..'", "a/..b/b"),
            ("a/*", "'*'", "a/x"),
            ("a?", "'?'", "a"),
            ("a$b", "'$'", "ab"),
            ("a%20b", "'%'", "a b"),
            ("a\\b", "'\\\\'", "a/b"),
            ("a\nb", "U+000A", "a b"),
            ("a\x7fb", "U+007F", "a b"),
            ("a\u200bb", "U+200B", "ab"),
            ("a\u2028b", "U+2028", "ab"),
            ("a\ue000b", "U+E000", "ab"),
            ("a\ud800b", "U+D800", "ab"),
            ("e\u0301", "NFC", "é"),
            ("a" * 851, "850 bytes", "a" * 850),
            ("é" * 426, "850 bytes", "é" * 425),
            ("a/{x", "braces", "a/{x}"),
            ("a/x}", "braces", "a/{x}"),
            ("a/{{x}}", "braces", "a/{x}"),
            ("a/{}", "a placeholder is", "a/{x}"),
            ("a/{X}", "a placeholder is", "a/{x}"),
            ("a/{date}", "a placeholder is", "a/{date:%Y/%m/%d}"),
            ("a/{date:%Y}", "a placeholder is", "a/{date:%Y/%m/%d}"),
            ("a/{principal.}", "a placeholder is", "a/{principal.sub}"),
            ("a/{principal}.x/{principal.}", "a placeholder is", "a/{principal.sub}.x"),
            ("a/{x}{y}", "literal between", "a/{x}-{y}"),
            ("a/{uuid}{x}", "literal between", "a/{uuid}.{x}"),
            ("a/{x}/{x}", "twice", "a/{x}/{y}"),
            ("a/u-{principal.sub}", "whole segment", "a/u/{principal.sub}"),
            ("a/{principal.sub}-b", "whole segment", "a/{principal.sub}.b"),
            ("a/{principal.sub}.b/c", "whole segment", "a/{principal.sub}/c"),
            ("a/{principal.sub}.{x}", "whole segment", "a/{principal.sub}/{x}"),
            ("a/x{date:%Y/%m/%d}", "whole segment", "a/{date:%Y/%m/%d}"),
            ("a/{date:%Y/%m/%d}x", "whole segment", "a/{date:%Y/%m/%d}/x"),
        ],
    )
    def test_no_template(self, bad, words, twin):
        """What is no template is refused in words; the twin that differs in that alone parses."""
        with pytest.raises(TemplateError, match=re.escape(words)):
            notation.parse(bad)
        assert notation.parse(twin).text == twin

    @pytest.mark.parametrize(
        ("text", "literal", "principal"),
        [
            ("a/b.txt", "a/b.txt", "a/b.txt"),
            ("a/{principal.sub}", "a/", "a/u1"),
            ("a/{principal.sub}.png", "a/", "a/u1.png"),
            ("a/{principal.sub}/{x}", "a/", "a/u1/"),
            ("a/{principal.sub}/b/p-{x}", "a/", "a/u1/b/"),
            ("a/{principal.sub}/{principal.t}/{x}", "a/", "a/u1/t1/"),
            ("a/b-{x}/c", "a/", "a/"),
            ("{x}", "", ""),
        ],
    )
    def test_prefix(self, text, literal, principal):
        """A prefix ends at the last slash before what varies: nothing can extend it by a letter."""
        template = notation.parse(text)
        assert template.literal_prefix == literal
        assert template.prefix(ProvenClaims({"sub": "u1", "t": "t1"})) == principal


class TestFlaw:
    """A rendered value is a permission."""

    @pytest.mark.parametrize("character", list("*?${}\\%"))
    def test_wildcards_and_escapes(self, character):
        """Characters with a meaning in CAM, templates or URLs are refused wherever they stand."""
        for value in (character, f"a{character}", f"{character}a", f"a{character}b"):
            assert flaws.flaw(value) is not None
        assert flaws.flaw("ab") is None

    @pytest.mark.parametrize(
        "value",
        [
            "\x00",
            "a\r\nb",
            "a\tb",
            "\x85",
            "\u00ad",
            "\u200d",
            "\ufeff",
            "\u202e",
            "\ue000",
            "\ud83d",
            "\U000e0001",
            "\u0378",
            "\u2028",
            "\u2029",
            "\U0010ffff",
        ],
    )
    def test_invisible_character(self, value):
        """Control, format, surrogate, private and unassigned characters and line separators are refused."""
        assert flaws.flaw(value) is not None
        assert flaws.flaw(f"a{value}") is not None

    @pytest.mark.parametrize(
        "value", ["a b", " a ", "a\u00a0b", "目录", "é", "😀", "a'b", 'a"b', "a:b@c+d~e", ".a", "...", "a."]
    )
    def test_unusual_but_sound(self, value):
        """Spaces, quotes, other scripts and dots beside letters are kept as they are."""
        assert flaws.flaw(value) is None

    @pytest.mark.parametrize(("bad", "twin"), [("e\u0301", "é"), ("\u1112\u1161", "하"), ("\u212b", "\u00c5")])
    def test_normalisation(self, bad, twin):
        """What is not NFC is refused, never normalised; the composed twin passes."""
        assert "NFC" in flaws.flaw(bad)
        assert flaws.flaw(twin) is None

    @pytest.mark.parametrize("value", ["", ".", "..", "/", "a/", "/a", "a/b"])
    def test_segments(self, value):
        """A value is one segment and no dot segment."""
        assert flaws.flaw(value) is not None

    @pytest.mark.parametrize("value", ["a//b", "a/./b", "a/../b", "../a", "a/..", "/a", "a/", "/", ""])
    def test_path_segments(self, value):
        """A path has no empty and no dot segments; dots beside letters are names."""
        assert flaws.flaw(value, path=True) is not None
        assert flaws.flaw("a/.b/c../d", path=True) is None

    @pytest.mark.parametrize(
        ("value", "sound"), [("a" * 128, True), ("a" * 129, False), ("é" * 64, True), ("é" * 65, False)]
    )
    def test_claim_length(self, value, sound):
        """A claim has at most 128 bytes of UTF-8, not characters."""
        assert (flaws.claim_flaw(value) is None) == sound

    @pytest.mark.parametrize("value", [None, 1, True, 1.5, ["u1"], {"a": 1}])
    def test_claim_that_is_no_string(self, value):
        """Only strings stand in keys: nothing is converted."""
        assert flaws.claim_flaw(value) is not None

    @pytest.mark.parametrize(
        ("value", "sound"), [("a" * 850, True), ("a" * 851, False), ("漢" * 283, True), ("漢" * 284, False)]
    )
    def test_key_length(self, value, sound):
        """A key has at most 850 bytes of UTF-8."""
        assert (flaws.key_flaw(value) is None) == sound

    def test_surrogate_in_key(self):
        """A lone surrogate is refused, not an encoding failure."""
        assert flaws.key_flaw("a\ud800") is not None
        assert flaws.claim_flaw("a\ud800") is not None
        assert FREE.flaw("a\ud800") is not None


class TestInput:
    """What fills an input."""

    @pytest.mark.parametrize(
        ("spec", "sound", "bad"),
        [
            (EXT, "png", "PNG"),
            (EXT, "jpg", "png "),
            (EXT, "jpg", ""),
            (InputSpec(None, None, 4, False), "abcd", "abcde"),
            (InputSpec(None, None, 4, False), "éé", "ééé"),
            (InputSpec(None, Pattern("[a-z]+"), 128, False), "abc", "abc1"),
            (InputSpec(None, Pattern("a|ab"), 128, False), "ab", "abc"),
            (InputSpec(None, Pattern("[a-z]+$"), 128, False), "abc", "abc\n"),
            (InputSpec(None, Pattern(".*"), 128, False), "a", "a/b"),
            (InputSpec(None, Pattern(".*"), 128, False), "..a", ".."),
            (PATH, "a/b", "a/../b"),
            (InputSpec(None, Pattern("x/.*"), 128, True), "x/y", "y/x"),
        ],
    )
    def test_value(self, spec, sound, bad):
        """An enum is met exactly, a pattern entirely, a length in bytes; a pattern never admits an unsafe value."""
        assert spec.flaw(sound) is None
        assert spec.flaw(bad) is not None

    def test_length_before_pattern(self):
        """A value that is too long never reaches the pattern, however costly that is."""
        slow = InputSpec(None, Pattern("(a+)+b"), 64, False)
        assert "64 bytes" in slow.flaw("a" * 65)
        assert "match" in slow.flaw("a" * 8)


class TestAdmission:
    """Which given keys a template admits."""

    @pytest.mark.parametrize(
        ("key", "admitted"),
        [
            ("avatars/u1/a", True),
            ("avatars/u10/a", False),
            ("avatars/u/a", False),
            ("avatars/U1/a", False),
            ("avatars/u1", False),
            ("avatars/u1/", False),
            ("avatars/u1a", False),
            ("avatars/u1/a/b", False),
            ("avatars//a", False),
            ("avatars/u2/a", False),
            ("Avatars/u1/a", False),
            ("x/avatars/u1/a", False),
            ("avatars/u1/a\n", False),
            ("avatars/u1/../u2/a", False),
            ("avatars/u1/..", False),
        ],
    )
    def test_own_folder(self, key, admitted):
        """`u1` owns `avatars/u1/` and nothing that merely begins alike."""
        assert admits("avatars/{principal.sub}/{name}", key, {"name": FREE}) == admitted

    @pytest.mark.parametrize("claim", ["u.1", "u+1", "[a-z]", "(u1|u2)", "u1|u2", "^u1"])
    def test_claim_is_literal_text(self, claim):
        """A claim is compared as text; what regular expressions read in it means nothing."""
        assert admits("f/{principal.sub}/x", f"f/{claim}/x", sub=claim)
        assert not admits("f/{principal.sub}/x", "f/u2/x", sub=claim)

    @pytest.mark.parametrize(
        ("key", "admitted"),
        [
            ("a/x-y", True),
            ("a/x-y-z", True),
            ("a/x", False),
            ("a/-y", False),
            ("a/x-", False),
            ("a/-", False),
            ("a/--", False),
            ("a/---", True),
        ],
    )
    def test_ambiguous_inputs(self, key, admitted):
        """A key is admitted if some filling makes it; an empty filling never does."""
        assert admits("a/{x}-{y}", key, {"x": FREE, "y": FREE}) == admitted

    def test_ambiguity_decided_by_a_pattern(self):
        """The split that a later pattern needs is found, even if an earlier one looks good."""
        specs = {"x": FREE, "y": InputSpec(None, Pattern("[0-9]+"), 128, False)}
        assert admits("a/{x}-{y}", "a/b-1-2", specs)
        assert not admits("a/{x}-{y}", "a/1-2-b", specs)

    def test_enum_that_begins_another(self):
        """Of two values where one begins the other, both are tried."""
        specs = {"x": InputSpec(("a", "ab"), None, 128, False), "y": FREE}
        assert admits("p/{x}b{y}", "p/abb1", specs)
        assert admits("p/{x}b{y}", "p/abc", specs)
        assert not admits("p/{x}b{y}", "p/bb1", specs)

    def test_many_ambiguous_splits(self):
        """A key that no filling makes is refused without trying every combination."""
        specs = dict.fromkeys("abc", FREE)
        assert not admits("p/{a}-{b}-{c}", "p/" + "-" * 120 + "/", specs)
        assert admits("p/{a}-{b}-{c}", "p/" + "a-" * 9 + "a", specs)

    def test_too_many_inputs_in_a_segment(self):
        """Four inputs in one segment are refused, three are not, and other segments do not count."""
        with pytest.raises(TemplateError, match="at most 3 inputs"):
            parse("p/{a}-{b}-{c}-{d}")
        assert parse("p/{a}-{b}-{c}/{d}").inputs == set("abcd")

    def test_work_for_an_ambiguous_key(self):
        """The longest key with the most splits that a template allows: no place is tried twice."""
        tried = CountingPattern()
        specs = dict.fromkeys(["a", "b"], InputSpec(None, None, 256, False)) | {"c": InputSpec(None, tried, 256, False)}
        assert not admits("f/{a}-{b}-{c}", "f/" + "-" * 700, specs)
        assert 0 < tried.calls <= 700

    @pytest.mark.parametrize(
        ("key", "admitted"),
        [
            (f"a/{UUID}.png", True),
            (f"a/{UUID}.gif", False),
            (f"a/{UUID}.pngx", False),
            (f"a/{UUID.upper()}.png", False),
            (f"a/{UUID.replace('-', '')}.png", False),
            ("a/0b6c1c5e-3a51-1f0e-9d2a-6d1f2a3b4c5d.png", False),
            ("a/0b6c1c5e-3a51-4f0e-cd2a-6d1f2a3b4c5d.png", False),
            ("a/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5.png", False),
            (f"a/{{{UUID}}}.png", False),
        ],
    )
    def test_uuid(self, key, admitted):
        """Only a version 4 UUID in lower case stands for `{uuid}`."""
        assert admits("a/{uuid}.{ext}", key, {"ext": EXT}) == admitted

    @pytest.mark.parametrize(
        ("day", "admitted"),
        [
            ("2023/11/14", True),
            ("2024/02/29", True),
            ("2023/02/29", False),
            ("2023/13/01", False),
            ("2023/00/10", False),
            ("0000/01/01", False),
            ("2023/1/14", False),
            ("2023-11-14", False),
            ("２０２３/11/14", False),
            ("2023/11/141", False),
        ],
    )
    def test_date(self, day, admitted):
        """Any day that exists stands for the date, in its one form."""
        assert admits("a/{date:%Y/%m/%d}/b", f"a/{day}/b") == admitted

    @pytest.mark.parametrize(
        ("key", "admitted"),
        [
            ("f/u1/a", True),
            ("f/u1/a/b/c.txt", True),
            ("f/u1/a/../b", False),
            ("f/u1/./b", False),
            ("f/u1//b", False),
            ("f/u1/b/", False),
            ("f/u1/", False),
            ("f/u1", False),
            ("f/u2/a", False),
            ("f/u1/" + "a" * 128, True),
            ("f/u1/" + "a" * 129, False),
        ],
    )
    def test_path(self, key, admitted):
        """A path holds several sound segments, together no longer than it may be."""
        assert admits("f/{principal.sub}/{path}", key, {"path": PATH}) == admitted

    def test_many_parts(self):
        """A template of 32 parts admits its keys; one of more is refused, so that no key costs too much to read."""
        names = [f"i{n}" for n in range(17)]
        template = "f/" + "/".join(f"{{{name}}}" for name in names[:16])
        assert admits(template, "f/" + "/".join("a" * 16), dict.fromkeys(names, FREE))
        with pytest.raises(TemplateError, match="32 parts"):
            notation.parse(f"{template}/{{i16}}")


def test_day_of_an_instant():
    """The day is UTC's, on both sides of midnight."""
    assert templates.day_of(1_700_006_399) == "2023/11/14"
    assert templates.day_of(1_700_006_400) == "2023/11/15"


class CountingPattern:
    """A pattern that matches nothing and counts how often it was asked."""

    pattern = "nothing"

    def __init__(self):
        self.calls = 0

    def matches(self, value):
        """Never."""
        self.calls += 1
        return False
