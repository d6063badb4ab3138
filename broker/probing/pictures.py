"""Image processing writes what `fileid` names, at the word of a header that nobody signed."""

from __future__ import annotations

import json

from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request
from broker.probing import verdicts
from broker.probing.verdicts import REFUSED, Attempt
from broker.probing.work import Work

HEADER = "Pic-Operations"


def key_of(token: str) -> str:
    """The key of the picture that nobody may write."""
    return f"{token}.png"


def operations(key: str) -> str:
    """What makes a picture of this key, of the one that is uploaded."""
    return json.dumps({"is_pic_info": 1, "rules": [{"fileid": f"/{key}", "rule": "imageMogr2/format/png"}]})


def judge(work: Work, name: str, key: str, upload: Request, answer: Answer | NoAnswer) -> None:
    """Tell whether an upload that was to write the picture has been refused, or has not written it."""
    if isinstance(answer, NoAnswer) or answer.status == 403 or answer.status >= 500:
        work.judge(name, REFUSED, upload, answer)
        return
    exists, said = work.hands.find(key)
    got = f"{verdicts.said(answer)}, and HEAD of the foreign object {said}"
    if exists is None or answer.status == 409:
        work.tell(verdicts.untold(name, REFUSED, got))
    else:
        work.tell(Attempt(name, verdicts.HARMLESS, not exists, got if exists else f"no effect ({got})"))
