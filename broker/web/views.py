"""A view: the environ of a request -> its answer. It needs nothing else of Flask, and what it raises is a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Blueprint, Response, make_response, request

from broker.audit.outcomes import Audit
from broker.web import problems
from broker.web.answers import Answer
from broker.web.cross_origin import Sharing


class View:
    """What a request is answered by, whether Flask calls it or `Application` does."""

    __slots__ = ("_audit", "_sharing", "_view")

    def __init__(self, view: Callable[..., Answer], audit: Audit, sharing: Sharing | None) -> None:
        self._view = view
        self._audit = audit
        self._sharing = sharing

    def __call__(self, **arguments: str) -> Response:
        """The answer to Flask's request; `arguments` are what stands in its path."""
        answer = self.answer(request.environ, arguments)
        response = make_response(answer)
        if "Content-Type" not in answer.headers:  # Flask has given it one
            del response.headers["Content-Type"]
        return response

    def answer(self, environ: dict[str, Any], arguments: Mapping[str, str]) -> Answer:
        """The answer to a request, or to what is wrong with it."""
        sharing = self._sharing
        answer = sharing.preflight(environ, arguments) if sharing is not None else None
        if answer is None:
            try:
                answer = self._view(environ, **arguments)
            except Exception as error:
                answer = problems.refusal(error, environ, self._audit)
        if sharing is not None:
            sharing.share(answer, environ)
        return answer


class Views(NamedTuple):
    """Adds views to a blueprint. `sharing` is what pages of other origins may do with those that are `shared`."""

    blueprint: Blueprint
    audit: Audit
    sharing: Sharing | None

    def view(self, view: Callable[..., Answer], *, shared: bool = False) -> View:
        """A view of an environ and what stands in a path."""
        return View(view, self.audit, self.sharing if shared else None)

    def add(
        self,
        rule: str,
        name: str,
        view: Callable[..., Answer],
        method: str = "GET",
        *,
        shared: bool = False,
        merge_slashes: bool | None = None,
    ) -> None:
        """Answer requests of one method below a rule, and HEAD beside GET."""
        self.blueprint.add_url_rule(
            rule, name, self.view(view, shared=shared),
            methods=[method], provide_automatic_options=False, merge_slashes=merge_slashes,
        )  # fmt: skip
