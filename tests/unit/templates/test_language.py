"""The language of templates: what the real LXD 5.0.2 made of the same templates, but for what a comment says."""

from __future__ import annotations

import pytest

from lightervisor.templates.language import BadTemplate, BadValue, render

CONFIG = {"user.x": "hello", "user.n": "5", "user.lines": "a\nb\n\n", "user.list": "a,b,c"}
VARIABLES: dict[str, object] = {
    "trigger": "start",
    "path": "/out/0",
    "container": {"name": "c1", "type": "container", "ephemeral": "false"},
    "config": CONFIG,
    "devices": {"d1": {"type": "none"}, "root": {"type": "disk", "path": "/", "pool": "default"}},
    "properties": {"default": "dflt", "num": "7", "z": "1"},
}


def rendered(template: str) -> str:
    return render(template, VARIABLES, CONFIG)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ trigger }} {{ path }} {{ container.name }} {{ container.nothing }}|", "start /out/0 c1 |"),
        ('{{ config_get("user.x", "d") }}|{{ config_get("user.none", "d") }}', "hello|d"),
        ('{{ config_get("user.lines", "") }}|', "a\nb|"),
        ('{{ config_get("a", config_get("b", properties.default)) }}', "dflt"),
        ("{{ properties.nope }}|{{ nope }}|{{ nope.a.b }}", "||"),
        ('{{ config["user.x"] }}', "hello"),  # newer than LXD 5.0.2
        ("{{ devices.d1.type }} {{ devices.root.pool }}", "none default"),
        ("{{ properties }}", "<map[string]string Value>"),
        ('{{ "abc"|make_list }}', "<[]string Value>"),
        ("{{ 1 }} {{ 1.5 }} {{ true }} {{ True }} {{ none }}|", "1 1.500000 True  |"),
        ("{{ 1+2*3 }} {{ 7/2 }} {{ 7%2 }} {{ 2^3 }} {{ -3 }} {{ 1.5+1 }}", "7 3 1 8.000000 -3 2.500000"),
        ('{{ "a"+"b" }} {{ "5"+1 }}', "0 6"),
        ('{{ "5" > 4 }} {{ "a" < "b" }} {{ "b" == "b" }} {{ 1 == 1.0 }}', "True False True False"),
        ('{{ not 5 }} {{ not "" }} {{ not "x" == "x" }}', "0 True False"),
        ('{{ 1 == 1 }} {{ "a" in "abc" }} {{ !true }} {{ 1 and 0 }} {{ "a" or "b" }}', "True True False False True"),
        ("{% if false and false or true %}C{% else %}D{% endif %}", "D"),
        ("{% if true or false and false %}E{% else %}F{% endif %}", "E"),
        ('{% if 1 == 1 && "a" != "b" || false %}A{% endif %}{% if 1 <> 2 %}B{% endif %}', "AB"),
        ("{% if 2 >= 1 and 1 <= 2 and 2 > 1 and 1 < 2 %}C{% endif %}", "C"),
        ('{% if nope == "" %}c{% endif %}{% if not nope %}n{% endif %}', "n"),
        ('{% if "x" in "axb" %}d{% endif %}{% if "default" in properties %}e{% endif %}', "de"),
        ("{% if nope %}1{% elif true %}2{% else %}3{% endif %}", "2"),
        ("{% if (1 + 2) * 3 == 9 %}y{% endif %}", "y"),
        ("a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n\nb\n\nc\n"),
        ("a {%- if true -%} x {%- endif -%} b", "axb"),
        ('{{ "x" -}}   y', "xy"),
        (r'{{ "a\"b\\" }}{{ ' + "'c' }}", 'a"b\\c'),
    ],
)
def test_expressions(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for k in config sorted %}{{ k }};{% endfor %}", "user.lines;user.list;user.n;user.x;"),
        ("{% for k, v in devices sorted %}{{ k }}:{{ v.type }};{% endfor %}", "d1:none;root:disk;"),
        ('{% for i in "abc" %}{{ i }},{% endfor %}', "a,b,c,"),
        ("{% for i in 5 %}{{ i }}{% empty %}none{% endfor %}", "none"),
        (
            '{% for i in "ab" %}{{ forloop.Counter }}{{ forloop.Counter0 }}{{ forloop.Revcounter }}{{ forloop.First }}'
            "{{ forloop.Last }};{% endfor %}",
            "102TrueFalse;211FalseTrue;",
        ),
        (
            '{% for i in "ab" %}{% for j in "xy" %}{{ forloop.Parentloop.Counter }}{{ j }}{% endfor %}{% endfor %}',
            "1x1y2x2y",
        ),
        ('{% for i in "a,b"|split:"," %}{% cycle "x" "y" %}{{ i }}{% endfor %}', "xayb"),
        ('{% for i in "abc" %}{% cycle "x" "y" as c silent %}{{ c }}{{ i }}{% endfor %}', "xaybxc"),
        ('{% for i in "aab" %}{% ifchanged %}{{ i }}{% endifchanged %}{% endfor %}', "ab"),
        ('{% for i in "aab" %}{% ifchanged i %}{{ i }}{% else %}-{% endifchanged %}{% endfor %}', "a-b"),
        ('{% macro m(a, b="2") %}[{{ a }}{{ b }}]{% endmacro %}{{ m("1") }}', "[12]"),
        ("{% block a %}b{% endblock %}", "b"),
        ('{% autoescape on %}{{ "<b>" }}{{ "<b>"|safe }}{% endautoescape %}{{ "<" }}', "&lt;b&gt;<b><"),
        ("{% widthratio 50 100 10 %}", "6"),
        ('{% set a = "v" %}{{ a }}{% with b="w" %}{{ b }}{% endwith %}{% with "q" as c %}{{ c }}{% endwith %}', "vwq"),
        ('{% if true %}{% set q = 1 %}{% endif %}{{ q }}{% for i in "ab" %}{% set q = 2 %}{% endfor %}{{ q }}', "11"),
        ('{% firstof nope "z" %}{% comment %}x{{ {% endcomment %}{# c #}', "z"),
        ("{% ifequal 1 1 %}a{% else %}b{% endifequal %}{% ifnotequal 1 2 %}c{% endifnotequal %}", "ac"),
        ("{% filter upper %}abc{% endfilter %}{% templatetag openblock %}", "ABC{%"),
        ("{% spaceless %}<a> <b>{% endspaceless %}", "<a><b>"),
        ("{% verbatim %}{{ x }}{% endverbatim %}", "{{ x }}"),
    ],
)
def test_tags(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{{ "abc"|upper }} {{ "ABC"|lower }} {{ "hello"|capfirst }}', "ABC abc Hello"),
        ("""{{ "hello wORLD"|title }} {{ "o'neil x-y"|title }}""", "Hello World O'Neil X-Y"),
        ('{{ nope|default:"x" }} {{ nope|default_if_none:"y" }} {{ ""|default_if_none:"z" }}|', "x y |"),
        ('{{ "abc"|length }} {{ properties|length }} {{ 5|length }} {{ "abc"|length_is:3 }}', "3 3 0 True"),
        ('{{ "<b>"|escape }} {{ "<b>" }} {{ "<b>"|safe }}', "&lt;b&gt; <b> <b>"),
        ('{{ "a,b,c"|split:","|join:"-" }} {{ "a,b,c"|split:","|first }} {{ "a,b,c"|split:","|last }}', "a-b-c a c"),
        ('{{ "abc"|last }} {{ ""|first }}|', "c |"),
        ('{{ "abcdef"|slice:"1:3" }} {{ "abcdef"|slice:":3" }} {{ "abcdef"|slice:"2:" }}', "bc abc cdef"),
        ('{{ "x"|add:"y" }} {{ 3|add:4 }} {{ "3"|add:4 }} {{ true|add:1 }} {{ 1.5|add:1 }}', "xy 7 34 True1 2.500000"),
        ('{{ "hello"|cut:"l" }} {{ "x"|ljust:5 }}|{{ "x"|rjust:5 }}|{{ "x"|center:5 }}|', "heo x    |    x|  x  |"),
        ('{{ "ab"|center:5 }}|{{ "ab"|rjust:1 }}|', "  ab |ab|"),
        ('{{ "3.14159"|floatformat:2 }} {{ 3.0|floatformat }} {{ 5.15|floatformat }}', "3.14 3 5.2"),
        ('{{ 5|floatformat:2 }} {{ 5.0|floatformat:"-2" }} {{ "abc"|floatformat }}', "5.00 5 0"),
        ('{{ "12"|integer }} {{ "1.5"|float }} {{ "a b  c"|wordcount }} {{ 10|divisibleby:5 }}', "12 1.500000 3 True"),
        ("{{ 123|get_digit:0 }} {{ 123|get_digit:1 }} {{ 123|get_digit:9 }}", "123 3 123"),
        ('{{ "a"|yesno:"y,n" }} {{ ""|yesno }} {{ nope|yesno }} {{ nope|yesno:"a,b,c" }}', "y no maybe c"),
        (
            '{{ "x"|stringformat:"%5s" }} {{ 5|stringformat:"%03d" }} {{ 1.5|stringformat:"%.2f-%%" }}',
            "    x 005 1.50-%",
        ),
        ('{{ "hello world foo"|truncatewords:2 }} {{ "abcdefgh"|truncatechars:5 }}', "hello world ... ab..."),
        ('{{ "abc"|truncatechars:3 }} {{ "abcd"|truncatechars:2 }} {{ "abc"|truncatechars:0 }}|', "abc ab |"),
        ("""{{ "a'b"|addslashes }} {{ "a b/c&"|urlencode }} {{ "<p>a</p>"|striptags }}""", r"a\'b a+b%2Fc%26 a"),
        ('{{ 1|pluralize }}|{{ 2|pluralize:"y,ies" }} {{ 1|pluralize:"y,ies" }} {{ 0|pluralize }}', "|ies y s"),
        ('{{ "a b c d e f"|wordwrap:3 }} {{ "1"|linebreaks }}', "a b c\nd e f <p>1</p>"),
        ('{{ 0|date:"2006-01-02_15-04-05" }}', "1970-01-01_00-00-00"),  # LXD's templates have no time to write
    ],
)
def test_filters(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ('{{ "a"|nofilter }}', "line 1: filter 'nofilter' is not offered"),
        ("a\n{% nosuch %}", "line 2: tag 'nosuch' is not offered here"),
        ("{{ 1 + }}", "expected a value, found the end"),
        ("{% if 1 %}x", "expected {% elif or else or endif %}, found the end"),
        ("{% endif %}", "tag 'endif' is not offered here"),
        ("{{ a", "{{ is not closed by }}"),
        ("{{ a %}", "{{ is closed by %}"),
        ("{# a", "a comment that begins with {# has no #}"),
        ("{{ a & b }}", "unexpected '& b }}'"),
        (r'{{ "\q" }}', r"unknown escape sequence '\\q'"),
        ("{{ 1234567890123456789 }}", "is too large"),
        *(
            (f'{{% {tag} "/etc/shadow" %}}', f"tag '{tag}' reads files")
            for tag in ("include", "ssi", "extends", "import")
        ),
        ("{{ " + "(" * 50 + "1" + ")" * 50 + " }}", "nested more than 40 levels deep"),
        ("{% if 1 %}" * 50 + "{% endif %}" * 50, "nested more than 40 levels deep"),
        ("{{ 1" + " and 1" * 50 + " }}", "nested more than 40 levels deep"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(template: str, cause: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        rendered(template)
    assert cause in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 5 / 0 }}", "{{ 5 % 0 }}", "{{ 5.0 / 0 }}", "{{ 10 ^ 1000 }}", '{{ -"a" }}', "{{ container.name() }}",
        "{{ nope() }}", "{{ container() }}", '{{ config_get("a", "b", "c") }}', '{{ "a"|rjust:99999999 }}',
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", '{{ "a"|date:"2006" }}',
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused(template: str) -> None:
    with pytest.raises((BadValue, BadTemplate)):
        rendered(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ container.__class__ }}", "{{ config.items }}", '{{ config["__class__"] }}', "{{ config_get.__globals__ }}",
        "{{ self }}{{ loop }}{{ environment }}{{ context }}{{ range }}{{ cycler }}", "{{ forloop.__init__ }}",
        '{{ "a".__class__.__mro__ }}'.replace('"a"', "path"), "{{ unused }}{{ caller }}{{ varargs }}",
    ],
)  # fmt: skip
def test_nothing_of_python_can_be_reached(template: str) -> None:
    assert rendered(template) == ""


def test_a_config_key_of_a_strange_name_is_only_a_key() -> None:
    config = {"__class__": "text", "v_config": "x"}
    assert render('{{ config.__class__ }}{{ config_get("v_config", "") }}', {"config": config}, config) == "textx"
