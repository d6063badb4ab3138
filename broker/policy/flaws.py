"""What may stand in a key. A rendered value is a permission: it is refused, never escaped and never trimmed.

Everything that reaches a key passes these, a literal of the policy file included.
"""

from __future__ import annotations

import re
import unicodedata

KEY_BYTES = 850
CLAIM_BYTES = 128

FORBIDDEN = "*?${}\\%"
_PLAIN_ASCII = re.compile(r"[ -~]+")
# All printable ASCII that has no flaw; nearly every value is done with these.
_SOUND_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[ -#&-)+-.0->@-Z\[\]^_`a-z|~]+"
_SOUND_ASCII_SEGMENT = re.compile(_SOUND_SEGMENT)
_SOUND_ASCII_PATH = re.compile(rf"{_SOUND_SEGMENT}(?:/{_SOUND_SEGMENT})*")
FORBIDDEN_CHARACTER = re.compile(r"[*?${}\\%]")


def flaw(value: str, *, path: bool = False) -> str | None:
    """What keeps a value out of a key, or None. Only a path holds `/`, and every segment of it is checked."""
    if (_SOUND_ASCII_PATH if path else _SOUND_ASCII_SEGMENT).fullmatch(value):
        return None
    if not value:
        return "must not be empty"
    if not path and "/" in value:
        return "must not hold '/'"
    if found := FORBIDDEN_CHARACTER.search(value):
        return f"must not hold {found[0]!r} (none of {' '.join(FORBIDDEN)})"
    if not _PLAIN_ASCII.fullmatch(value):
        for character in value:
            category = unicodedata.category(character)
            if category[0] == "C" or category in ("Zl", "Zp"):
                return f"must not hold U+{ord(character):04X} (no control, format, private or unassigned characters)"
        if not unicodedata.is_normalized("NFC", value):
            return "must be in Unicode normalisation form NFC"
    for segment in value.split("/"):
        if segment in ("", ".", ".."):
            return "must not hold an empty, '.' or '..' segment, nor begin or end with '/'"
    return None


def size_bytes(text: str) -> int:
    """Its length in UTF-8. Surrogates have one, too: what is wrong with them is told as such."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def key_flaw(key: str) -> str | None:
    """What keeps a whole key from being signed, or None: sound parts can still join to something that is not."""
    if size_bytes(key) > KEY_BYTES:
        return f"must be at most {KEY_BYTES} bytes"
    return flaw(key, path=True)


def claim_flaw(value: object) -> str | None:
    """What keeps a claim out of a key, or None."""
    if not isinstance(value, str):
        return "must be a string"
    if size_bytes(value) > CLAIM_BYTES:
        return f"must be at most {CLAIM_BYTES} bytes"
    return flaw(value)
