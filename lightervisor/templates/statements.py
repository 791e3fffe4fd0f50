"""Whole templates, read into Jinja2's syntax tree. Source: pongo2 v4, the tags in its documentation.

Not offered, as images are not trusted, are the tags that read files: include, ssi, extends, import.
"""

from collections.abc import Callable, Iterable

from jinja2 import nodes

from lightervisor.templates.expressions import FILTER, PREFIX, Expressions
from lightervisor.templates.tokens import Token

_FILES = ("include", "ssi", "extends", "import")
_MARKS = {
    "openblock": "{%", "closeblock": "%}", "openvariable": "{{", "closevariable": "}}", "openbrace": "{",
    "closebrace": "}", "opencomment": "{#", "closecomment": "#}",
}  # fmt: skip


class Statements(Expressions):
    """Reads a template once: `template()`."""

    def __init__(self, tokens: Iterable[Token], filters: Iterable[str]) -> None:
        super().__init__(tokens, filters)
        self._stateful = 0
        self._tags: dict[str, Callable[[], nodes.Node]] = {
            "autoescape": self._autoescape,
            "block": self._blocked,
            "cycle": self._cycle,
            "filter": self._filter,
            "firstof": self._firstof,
            "for": self._for,
            "if": self._if,
            "ifchanged": self._ifchanged,
            "ifequal": lambda: self._ifequal("=="),
            "ifnotequal": lambda: self._ifequal("!="),
            "macro": self._macro,
            "now": self._now,
            "set": self._set,
            "spaceless": self._spaceless,
            "templatetag": self._templatetag,
            "widthratio": self._widthratio,
            "with": self._with,
        }

    def template(self) -> nodes.Template:
        """The whole of it. Raises BadTemplate."""
        body, _ = self._body()
        return nodes.Template(body, lineno=1)

    def _body(self, *ends: str) -> tuple[list[nodes.Node], str]:
        """What comes before one of these tags, and which it was; its own words are still to be read."""
        body: list[nodes.Node] = []
        while not self.sees("end"):
            token = self.next()
            if token.kind == "data":
                body.append(self._output(nodes.TemplateData(token.value, lineno=token.line)))
            elif token.value == "{{":
                body.append(self._output(self._escaped(self.expression())))
                self.expect("close", "}}")
            else:
                if ends and self.sees("name", *ends):
                    return body, self.next().value
                body.append(self.nested(self._tag))
        if ends:
            raise self.bad(f"expected {{% {' or '.join(ends)} %}}, found the end")
        return body, ""

    def _tag(self) -> nodes.Node:
        name = self.token.value
        if name in _FILES:
            raise self.bad(f"tag {name!r} reads files, which templates of images may not")
        if name not in self._tags:
            raise self.bad(f"tag {name!r} is not offered here")
        self.expect("name")
        return self._tags[name]()

    def _close(self) -> None:
        self.expect("close", "%}")

    def _block(self, end: str) -> list[nodes.Node]:
        """What lies between a tag, whose words have been read, and its end."""
        self._close()
        body, _ = self._body(end)
        self._close()
        return body

    def _output(self, *values: nodes.Expr) -> nodes.Output:
        return nodes.Output(list(values), lineno=self.token.line)

    def _group(self, body: list[nodes.Node]) -> nodes.Node:
        """Several nodes as one, their names being those around them."""
        return nodes.If(nodes.Const(True), body, [], [], lineno=self.token.line)

    def _escaped(self, node: nodes.Expr) -> nodes.Expr:
        if not self.escapes or (isinstance(node, nodes.Filter) and node.name == f"{FILTER}safe"):
            return node
        return self.own("escape", node)

    def _store(self, name: str) -> nodes.Name:
        return nodes.Name(PREFIX + name, "store", lineno=self.token.line)

    def _state(self, node: nodes.Expr) -> nodes.Expr:
        """A function of ours that remembers something from call to call gets a number for it."""
        self._stateful += 1
        return nodes.Tuple([nodes.Const(self._stateful), node], "load", lineno=self.token.line)

    # Tags

    def _autoescape(self) -> nodes.Node:
        mode = self.expect("name")
        if mode not in ("on", "off"):
            raise self.bad("autoescape is on or off")
        before, self.escapes = self.escapes, mode == "on"
        body = self._block("endautoescape")
        self.escapes = before
        return self._group(body)

    def _blocked(self) -> nodes.Node:
        """Without a template that extends this one, a block is what it holds."""
        self.expect("name")
        self._close()
        body, _ = self._body("endblock")
        self.take("name")
        self._close()
        return self._group(body)

    def _cycle(self) -> nodes.Node:
        values: list[nodes.Expr] = []
        while not self.sees("close") and not self.sees("name", "as"):
            values.append(self.filtered(self.operand()))
        if not values:
            raise self.bad("cycle has no values")
        chosen = self.own("cycle", self._state(nodes.List(values)))
        if not self.take("name", "as"):
            self._close()
            return self._output(self._escaped(chosen))
        name = self._store(self.expect("name"))
        is_silent = self.take("name", "silent")
        self._close()
        assign = nodes.Assign(name, chosen, lineno=self.token.line)
        shown = nodes.Name(name.name, "load", lineno=self.token.line)
        return assign if is_silent else self._group([assign, self._output(self._escaped(shown))])

    def _filter(self) -> nodes.Node:
        line = self.token.line
        chain: nodes.Expr | None = None
        while chain is None or self.take("symbol", "|"):
            name = self.filter_name()
            parameter = [self.operand()] if self.take("symbol", ":") else []
            chain = nodes.Filter(chain, FILTER + name, parameter, [], None, None, lineno=line)
        return nodes.FilterBlock(self._block("endfilter"), chain, lineno=line)

    def _firstof(self) -> nodes.Node:
        values: list[nodes.Expr] = []
        while not self.sees("close"):
            values.append(self.filtered(self.operand()))
        self._close()
        return self._output(self._escaped(self.own("firstof", nodes.List(values))))

    def _for(self) -> nodes.Node:
        line = self.token.line
        key = self.expect("name")
        value = self.expect("name") if self.take("symbol", ",") else ""
        self.expect("name", "in")
        over = self.expression()
        flags = {"reversed": False, "sorted": False}
        while self.sees("name", "reversed", "sorted"):
            flags[self.next().value] = True
        self._close()
        body, end = self._body("endfor", "empty")
        self._close()
        otherwise: list[nodes.Node] = []
        if end == "empty":
            otherwise, _ = self._body("endfor")
            self._close()
        outer = nodes.Name(f"{PREFIX}forloop", "load", lineno=line)
        rows = self.own("loop", over, outer, *(nodes.Const(flag, lineno=line) for flag in flags.values()))
        # The name of the value is there in any case: Jinja2 wants as many names as there are values.
        names = [self._store(key), self._store(value) if value else nodes.Name("unused", "store", lineno=line)]
        target = nodes.Tuple([*names, self._store("forloop")], "store", lineno=line)
        return nodes.For(target, rows, body, otherwise, None, False, lineno=line)

    def _if(self) -> nodes.Node:
        line = self.token.line
        branches: list[nodes.If] = []
        otherwise: list[nodes.Node] = []
        end = "elif"
        while end == "elif":
            condition = self.truth(self.expression())
            self._close()
            body, end = self._body("elif", "else", "endif")
            branches.append(nodes.If(condition, body, [], [], lineno=line))
        self._close()
        if end == "else":
            otherwise, _ = self._body("endif")
            self._close()
        first, *others = branches
        return nodes.If(first.test, first.body, others, otherwise, lineno=line)

    def _ifchanged(self) -> nodes.Node:
        line = self.token.line
        values: list[nodes.Expr] = []
        while not self.sees("close"):
            values.append(self.filtered(self.operand()))
        self._close()
        body, end = self._body("else", "endifchanged")
        self._close()
        otherwise: list[nodes.Node] = []
        if end == "else":
            otherwise, _ = self._body("endifchanged")
            self._close()
        if values:
            condition = self.own("changed", self._state(nodes.List(values)))
            return nodes.If(condition, body, [], otherwise, lineno=line)
        if otherwise:
            raise self.bad("ifchanged without values has no else")
        changed = nodes.Filter(None, "own changed_text", [nodes.Const(self._numbered())], [], None, None, lineno=line)
        return nodes.FilterBlock(body, changed, lineno=line)

    def _numbered(self) -> int:
        self._stateful += 1
        return self._stateful

    def _ifequal(self, operator: str) -> nodes.Node:
        line, end = self.token.line, "endifequal" if operator == "==" else "endifnotequal"
        left, right = self.expression(), self.expression()
        self._close()
        body, found = self._body("else", end)
        self._close()
        otherwise: list[nodes.Node] = []
        if found == "else":
            otherwise, _ = self._body(end)
            self._close()
        condition = nodes.Filter(left, f"operator {operator}", [right], [], None, None, lineno=line)
        return nodes.If(condition, body, [], otherwise, lineno=line)

    def _macro(self) -> nodes.Node:
        line, name = self.token.line, self.expect("name")
        self.expect("symbol", "(")
        names: list[str] = []
        values: list[nodes.Expr] = []
        while not self.take("symbol", ")"):
            if names:
                self.expect("symbol", ",")
            names.append(self.expect("name"))
            values.append(self.expression() if self.take("symbol", "=") else nodes.Const(None, lineno=line))
        self.take("name", "export")
        if len(set(names)) != len(names):
            raise self.bad(f"macro {name!r} has two arguments of one name")
        arguments = [nodes.Name(PREFIX + one, "param", lineno=line) for one in names]
        return nodes.Macro(PREFIX + name, arguments, values, self._block("endmacro"), lineno=line)

    def _now(self) -> nodes.Node:
        layout = nodes.Const(self.expect("string"), lineno=self.token.line)
        self.take("name", "fake")
        self._close()
        return self._output(self.own("now", layout))

    def _set(self) -> nodes.Node:
        name = self._store(self.expect("name"))
        self.expect("symbol", "=")
        value = self.expression()
        self._close()
        return nodes.Assign(name, value, lineno=self.token.line)

    def _spaceless(self) -> nodes.Node:
        line = self.token.line
        squeezed = nodes.Filter(None, "own spaceless", [], [], None, None, lineno=line)
        return nodes.FilterBlock(self._block("endspaceless"), squeezed, lineno=line)

    def _templatetag(self) -> nodes.Node:
        word = self.expect("name")
        if word not in _MARKS:
            raise self.bad(f"templatetag {word!r} is not known")
        self._close()
        return self._output(nodes.TemplateData(_MARKS[word], lineno=self.token.line))

    def _widthratio(self) -> nodes.Node:
        values = [self.expression() for _ in range(3)]
        ratio = self.own("widthratio", values[0], *values[1:])
        name = self._store(self.expect("name")) if self.take("name", "as") else None
        self._close()
        return nodes.Assign(name, ratio, lineno=self.token.line) if name else self._output(ratio)

    def _with(self) -> nodes.Node:
        line = self.token.line
        names: list[nodes.Expr] = []
        values: list[nodes.Expr] = []
        while not self.sees("close"):
            if self._is_assignment():
                names.append(self._store(self.expect("name")))
                self.expect("symbol", "=")
                values.append(self.expression())
            else:
                values.append(self.expression())
                self.expect("name", "as")
                names.append(self._store(self.expect("name")))
        return nodes.With(names, values, self._block("endwith"), lineno=line)

    def _is_assignment(self) -> bool:
        following = self._tokens[min(self._place + 1, len(self._tokens) - 1)]
        return self.sees("name") and following.kind == "symbol" and following.value == "="
