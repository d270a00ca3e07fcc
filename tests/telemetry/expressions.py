"""What a PromQL expression asks for."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser

# What Grafana fills in.
_VARIABLES = {
    "$__rate_interval": "5m",
    "$__range": "1h",
    "$job": "valence",
    "$instance": ".*",
}


def metrics(expression: str) -> set[str]:
    """The names of the series; raises ValueError where it is no PromQL."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return set(_names(promql_parser.parse(expression)))


def _names(node: object) -> Iterator[str]:
    if isinstance(node, promql_parser.VectorSelector):
        assert node.name, "a selector names its metric"
        yield node.name
        return
    for part in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (child := getattr(node, part, None)) is not None:
            yield from _names(child)
    for argument in getattr(node, "args", None) or ():
        yield from _names(argument)
