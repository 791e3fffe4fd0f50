"""Templates, which come with images: each is rendered or refused, and never gives more than it may."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from lightervisor.templates.filters import FILTERS
from lightervisor.templates.language import LARGEST, BadTemplate, BadValue, render
from tests.fuzz.examples import damaged
from tests.fuzz.fuzzing import HANGS, fuzz

pytestmark = HANGS
TEMPLATES = [
    b"{{ container.name|upper }} {{ config_get('user.a', properties.default)|default:\"x\" }}\n",
    b"{% for k, v in config reversed sorted %}{{ forloop.Counter }}{{ k }}={{ v|length }}{% empty %}-{% endfor %}",
    b"{% if a && !b or c in 'abc' %}x{% elif 1 + 2 * 3 ^ 2 >= 7.5 %}{% else %}{%- endif -%} y {#- z #}",
    b"{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{% with q=m(3) %}{% filter ljust:9 %}{{ q }}"
    b"{% endfilter %}{% endwith %}",
    b"{% set a = 'x' %}{% cycle a 'b' as c silent %}{% ifchanged c %}{{ c }}{% else %}-{% endifchanged %}"
    b"{% autoescape on %}{{ '<' }}{% endautoescape %}{% verbatim %}{{ {% endverbatim %}",
]
VALUES = ("1", "1.5", "-3", '"ab"', "nope", "container", "config", '"a,b"|split:","', "true", "container.name", '""')
CONFIG = {"user.a": "text", "user.b": "9", "__class__": "x"}
VARIABLES: dict[str, object] = {"container": {"name": "c1"}, "config": CONFIG, "properties": {"default": "d"}}
operators = st.sampled_from(["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">=", "in", "and", "||"])
expressions = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: (
        st.tuples(inner, operators, inner).map(lambda parts: f"({' '.join(parts)})")
        | st.tuples(inner, st.sampled_from(sorted(FILTERS))).map(lambda parts: f"({parts[0]})|{parts[1]}")
        | st.tuples(inner, st.sampled_from(sorted(FILTERS)), st.sampled_from(VALUES[:4])).map(
            lambda parts: f"({parts[0]})|{parts[1]}:{parts[2]}"
        )
    ),
    max_leaves=6,
)
written = expressions.map(lambda text: f"{{{{ {text} }}}}{{% if {text} %}}x{{% endif %}}".encode())


def test_templates() -> None:
    def target(text: bytes) -> None:
        with suppress(BadTemplate, BadValue):
            made = render(text.decode(errors="surrogateescape"), VARIABLES, CONFIG)
            assert len(made) <= LARGEST
            assert "object at 0x" not in made

    fuzz("templates", written | damaged(st.sampled_from(TEMPLATES)) | damaged(written), target)
