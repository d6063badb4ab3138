"""Patterns of policies and key files: whole values, and no value that costs more than its length."""

import pytest

from broker.patterns import Pattern, PatternError


@pytest.mark.parametrize(
    ("pattern", "sound", "bad"),
    [
        ("[a-z]+", "abc", "abc1"),
        ("a|ab", "ab", "abc"),
        ("[a-z]+$", "abc", "abc\n"),
        ("(a+)+", "a" * 1024, "a" * 1023 + "b"),  # a backtracking engine would never answer the second
    ],
)
def test_whole_value(pattern: str, sound: str, bad: str) -> None:
    """A pattern matches the whole value or not at all, in time linear in it."""
    assert Pattern(pattern).matches(sound)
    assert not Pattern(pattern).matches(bad)


@pytest.mark.parametrize(
    "text", ["(", "(?=a)b", r"(a)\1", "[[a]", "a{1000}{1000}{1000}", "a)|(?:b", "a(?x) #"], ids=range(7)
)
def test_no_pattern(text: str) -> None:
    """What the engine cannot match in linear time, and what would leave its group, is refused with the reason."""
    with pytest.raises(PatternError) as caught:
        Pattern(text)
    assert str(caught.value)
