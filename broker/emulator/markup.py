"""The XML of answers, as COS writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

# An element's children in order: (name, text) or (name, children).
Children: TypeAlias = "Sequence[tuple[str, str | Children]]"

# XML 1.0 has no way to write these.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def response(root: str, children: Children, status: int = 200) -> Response:
    """An answer whose body is one XML document; WSGI drops the body for HEAD."""
    body = f"<?xml version='1.0' encoding='utf-8' ?>\n{_element(root, children, '')}\n"
    return Response(body, status=status, content_type="application/xml")


def _element(name: str, content: str | Children, indent: str) -> str:
    if isinstance(content, str):
        text = escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", content))
        return f"{indent}<{name}>{text}</{name}>"
    inner = "".join(_element(child, within, indent + "\t") + "\n" for child, within in content)
    return f"{indent}<{name}>\n{inner}{indent}</{name}>"
