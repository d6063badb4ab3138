"""The dashboard and the alert rules in `deploy/`: they ask for metrics that exist, and say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from broker.errors import CODES
from broker.metrics import NO_ROUTE, OTHER, Metrics
from broker.policy.document import Vend

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "cos-broker.json").read_text())
WORDS = {"absent", "abs", "and", "by", "histogram_quantile", "increase", "label_values", "max", "rate", "sum"}
# One rule as the file writes it; a line in no place of this form is a mistake.
RULE = re.compile(
    r"      - alert: (?P<name>[A-Z]\w+)\n"
    r"        expr: (?P<expression>\S.*)\n"
    r"(?:        for: \d+m\n)?"
    r"        labels: \{severity: (?:critical|warning)\}\n"
    r"        annotations:\n"
    r'          summary: "(?P<summary>[^"\n]+)"\n'
)
ALERTS = (DEPLOY / "prometheus" / "alerts.yaml").read_text()
RULES = {found["name"]: found for found in RULE.finditer(ALERTS)}

LABELS = {
    "code": {OTHER, *(code for codes in CODES.values() for code in codes)},
    "vend": {*get_args(Vend), "batch"},
    "route": {NO_ROUTE, "$route"},
}
SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? \S+$", re.MULTILINE)
LABEL = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


@pytest.fixture(scope="module")
def existing() -> dict[str, dict[str, set[str]]]:
    """The samples of a real exposition: name -> label -> values."""
    metrics = Metrics("")
    metrics.granted("r", "url", 0.001, 1, 600)
    metrics.refused("r", "key_not_allowed")
    found: dict[str, dict[str, set[str]]] = {}
    for sample in SAMPLE.finditer(metrics.exposition().decode()):
        labels = found.setdefault(sample["name"], {})
        for label, _, value in LABEL.findall(sample["labels"] or ""):
            labels.setdefault(label, set()).add(value)
    return found


def of_dashboard(panels: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(title, expression) of every query of the dashboard."""
    for panel in panels:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]


EXPRESSIONS = [*of_dashboard(DASHBOARD["panels"]), *((name, rule["expression"]) for name, rule in RULES.items())]


def unknown(expression: str, existing: dict[str, dict[str, set[str]]]) -> list[str]:
    """What an expression asks for and nobody tells."""
    found = []
    for name, selectors in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label, _, values in LABEL.findall(selectors):
            if label not in existing.get(name, {}):
                found.append(f"{name}{{{label}}}")
            legal = LABELS.get(label) or existing.get(name, {}).get(label, set())
            found += [f"{label}={value}" for value in values.split("|") if value not in legal]
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b\d[\w.]*", " ", expression)
    by = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", bare) for label in labels.split(",")}
    of_scrape = {"instance", "job"}
    names = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"by \([^)]*\)|, \w+\)", " ", bare))) - WORDS
    labels = {label for name in names for label in existing.get(name, {})} | of_scrape
    return found + sorted(names - existing.keys()) + sorted(by - labels)


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_what_is_asked_for(existing, where, expression):
    """Every metric, label and value of every expression is one that the broker tells."""
    assert unknown(expression, existing) == []


@pytest.mark.parametrize(
    "expression",
    [
        "rate(broker_grant_total[5m])",
        'sum(broker_grants_total{code="x"})',
        'broker_refusals_total{code="no_such_code"}',
        'broker_sts_calls_total{outcome=~"refused|denied"}',
        "sum by (outcome) (rate(broker_grants_total[5m]))",
        "max(broker_answer_seconds)",
    ],
)
def test_what_nobody_tells(existing, expression):
    """The look that finds nothing in ours finds this."""
    assert unknown(expression, existing) != []


def test_rules():
    """All of the file is rules, each with a name of its own and a summary that says what to do."""
    head = ALERTS.partition("      - alert:")[0]
    assert "".join([head, *(rule[0] for rule in RULE.finditer(ALERTS))]) == ALERTS
    assert len(RULES) == ALERTS.count("- alert: ")
    assert head.splitlines()[1:] == ["groups:", "  - name: cos-broker", "    rules:"]
    told = [rule["summary"] for rule in RULES.values()]
    assert [
        summary for summary in told if not re.search(r"\b(see|look|lower|report|add|run|names|has|says)\b", summary)
    ] == []


def test_every_metric_is_shown(existing):
    """The dashboard leaves none out."""
    shown = " ".join(expression for _, expression in of_dashboard(DASHBOARD["panels"]))
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in existing}
    assert [family for family in families if family not in shown] == []


def test_table_of_metrics(existing):
    """The documentation has every metric with its labels, and no other."""
    page = (DEPLOY.parent / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(broker_\w+)`[^|]*\|([^|]*)\|", page, re.MULTILINE)
    told: dict[str, set[str]] = {}
    for name, labels in existing.items():
        if not name.endswith("_created"):
            told.setdefault(re.sub(r"_(bucket|sum|count)$", "", name), set()).update(set(labels) - {"le"})
    assert {name: set(re.findall(r"\w+", labels)) for name, labels in rows} == told


def test_panels():
    """No two panels share a place or a number, and each says what it shows."""
    panels = DASHBOARD["panels"]
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["description"] for panel in panels)
