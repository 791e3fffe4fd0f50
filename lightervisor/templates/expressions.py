"""Expressions of templates, read into Jinja2's syntax tree. Source: pongo2 v4, parser_expression.

Every operator, look-up and filter becomes the call of a function of `values` or `filters`; no attribute of a Python
object can be named. Names of a template get a prefix, so that they meet none of ours.
"""

from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import nodes

from lightervisor.templates.tokens import BadTemplate, Kind, Token

DEEPEST = 40
PREFIX = "v_"
OPERATOR, FILTER, OWN = "operator ", "filter ", "own "
_COMPARISONS = ("==", "<=", ">=", "!=", "<>", ">", "<")
_LITERALS = {"true": True, "false": False}
_WORDS = ("in", "and", "or", "not", "true", "false", "as", "export")


class Expressions:
    """Reads tokens from the first to the last; whoever reads statements is built on it."""

    def __init__(self, tokens: Iterable[Token], filters: Iterable[str]) -> None:
        self._tokens, self._place, self._depth = list(tokens), 0, 0
        self._filters = frozenset(filters)
        self.escapes = False

    # Tokens

    @property
    def token(self) -> Token:
        """The token that is next."""
        return self._tokens[self._place]

    def next(self) -> Token:
        """The token that is next, which then is behind."""
        token = self.token
        self._place = min(self._place + 1, len(self._tokens) - 1)
        return token

    def sees(self, kind: Kind, *values: str) -> bool:
        """Whether the next token is one of these."""
        return self.token.kind == kind and (not values or self.token.value in values)

    def take(self, kind: Kind, *values: str) -> bool:
        """Whether the next token was one of these; it is behind then."""
        seen = self.sees(kind, *values)
        if seen:
            self.next()
        return seen

    def expect(self, kind: Kind, value: str = "") -> str:
        """The value of the next token. Raises BadTemplate when it is another kind."""
        if not (self.sees(kind, value) if value else self.sees(kind)):
            found = "the end" if self.token.kind == "end" else repr(self.token.value)
            raise self.bad(f"expected {value or f'a {kind}'}, found {found}")
        return self.next().value

    def bad(self, cause: str) -> BadTemplate:
        """What is wrong at the next token."""
        return BadTemplate(self.token.line, cause)

    def nested(self, read: Callable[[], Any]) -> Any:
        """Read something that may hold itself. Raises BadTemplate when it does so too often."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.bad(f"nested more than {DEEPEST} levels deep")
        try:
            return read()
        finally:
            self._depth -= 1

    # Expressions

    def expression(self) -> nodes.Expr:
        """A whole expression. Raises BadTemplate."""
        return self.nested(self._condition)

    def _condition(self) -> nodes.Expr:
        """`and` and `or` bind equally and to the right."""
        left = self._comparison()
        line = self.token.line
        is_and = self.sees("symbol", "&&") or self.sees("name", "and")
        if not is_and and not (self.sees("symbol", "||") or self.sees("name", "or")):
            return left
        self.next()
        sides = (self.truth(left), self.truth(self.expression()))
        return nodes.And(*sides, lineno=line) if is_and else nodes.Or(*sides, lineno=line)

    def _comparison(self) -> nodes.Expr:
        left = self._sum()
        if self.sees("symbol", *_COMPARISONS):
            operator = self.next().value
            return self._operate(operator, left, self.nested(self._comparison))
        if self.take("name", "in"):
            return self._operate("in", left, self._sum())
        return left

    def _sum(self) -> nodes.Expr:
        is_negative = self.take("symbol", "-") or (self.take("symbol", "+") and False)
        is_negated = self.take("symbol", "!") or self.take("name", "not")
        result = self._product()
        if is_negated:
            result = self.own("negated", result)
        if is_negative:
            result = self.own("minus", result)
        while self.sees("symbol", "+", "-"):
            result = self._operate(self.next().value, result, self._product())
        return result

    def _product(self) -> nodes.Expr:
        result = self._power()
        while self.sees("symbol", "*", "/", "%"):
            result = self._operate(self.next().value, result, self._power())
        return result

    def _power(self) -> nodes.Expr:
        base = self._factor()
        return self._operate("^", base, self.nested(self._power)) if self.take("symbol", "^") else base

    def _factor(self) -> nodes.Expr:
        if self.take("symbol", "("):
            inner = self.expression()
            self.expect("symbol", ")")
            return self.filtered(inner)
        return self.filtered(self.operand())

    def filtered(self, node: nodes.Expr) -> nodes.Expr:
        """The filters behind an operand."""
        while self.take("symbol", "|"):
            name, line = self.filter_name(), self.token.line
            parameter = [self.operand()] if self.take("symbol", ":") else []
            node = nodes.Filter(node, FILTER + name, parameter, [], None, None, lineno=line)
        return node

    def filter_name(self) -> str:
        """The name of a filter that there is. Raises BadTemplate."""
        if self.token.kind == "name" and self.token.value not in self._filters:
            raise self.bad(f"filter {self.token.value!r} is not offered")
        return self.expect("name")

    def operand(self) -> nodes.Expr:
        """A literal or a variable, without filters."""
        token = self.next()
        if token.kind == "number":
            if self.sees("symbol", "."):
                self.next()
                return self._constant(float(f"{token.value}.{self.expect('number')}"))
            if len(token.value) > 18:
                raise self.bad(f"number {token.value[:20]} is too large")
            return self._constant(int(token.value))
        if token.kind == "string":
            return self._constant(token.value)
        if token.kind == "name" and token.value in _LITERALS:
            return self._constant(_LITERALS[token.value])
        if token.kind != "name" or token.value in _WORDS:
            self._place -= token.kind != "end"
            found = "the end" if token.kind in ("end", "close") else repr(token.value)
            raise self.bad(f"expected a value, found {found}")
        return self._parts(nodes.Name(PREFIX + token.value, "load", lineno=token.line))

    def _parts(self, node: nodes.Expr) -> nodes.Expr:
        """What follows a name: .key, .0, ["key"] and, for a function, its arguments."""
        while True:
            line = self.token.line
            if self.take("symbol", "."):
                part: str | int = int(self.next().value[:18]) if self.sees("number") else self.expect("name")
                node = self.own("item", node, self._constant(part))
            elif self.take("symbol", "["):
                node = self.own("item", node, self.expression())
                self.expect("symbol", "]")
            elif isinstance(node, nodes.Name) and self.take("symbol", "("):
                node = nodes.Call(self.own("function", node), self._arguments(), [], None, None, lineno=line)
            else:
                return node

    def _arguments(self) -> list[nodes.Expr]:
        arguments: list[nodes.Expr] = []
        while not self.take("symbol", ")"):
            if arguments:
                self.expect("symbol", ",")
            arguments.append(self.expression())
        return arguments

    # Nodes

    def truth(self, node: nodes.Expr) -> nodes.Expr:
        """Whether a value counts as true."""
        return self.own("truth", node)

    def own(self, name: str, node: nodes.Expr, *arguments: nodes.Expr) -> nodes.Expr:
        """The call of a function of ours that no template can name."""
        return nodes.Filter(node, OWN + name, list(arguments), [], None, None, lineno=self.token.line)

    def _operate(self, operator: str, left: nodes.Expr, right: nodes.Expr) -> nodes.Expr:
        return nodes.Filter(left, OPERATOR + operator, [right], [], None, None, lineno=self.token.line)

    def _constant(self, value: object) -> nodes.Const:
        return nodes.Const(value, lineno=self.token.line)
