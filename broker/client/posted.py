"""An empty file -> one object by a form, where the route vends no `url` for PUT: an upload in parts is never empty."""

from __future__ import annotations

from broker.client.answers import RouteDescription
from broker.client.errors import LocalFileError
from broker.client.uploads import Plan, Tools, Upload


def post_empty(tools: Tools, plan: Plan, description: RouteDescription | None) -> Upload:
    """The upload. Raises BrokerClientError: LocalFileError, before anything is asked, if the route vends no form."""
    if description is None or "form" not in description.vends:
        message = f"{plan.source.path} is empty, which route {plan.route!r} takes neither by url (PUT) nor by form"
        raise LocalFileError(message)

    def attempt(number: int) -> Upload:
        plan.source.check()
        form = tools.grants.form(plan.route, **plan.place, headers=dict(plan.headers))
        return Upload(form.key, 0, tools.store.post_empty(form))

    return tools.patience.persist(attempt)
