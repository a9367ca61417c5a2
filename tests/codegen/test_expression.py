"""Expression trees: parsing, interning, substitution, typing.

Run: python -m pytest tests/codegen/test_expression.py
"""

import math
import pickle
import subprocess
import sys

import pytest

from flowtorch.codegen.expression import call, cast, constant, input, parameter, parse, walk
from flowtorch.codegen.functions import FUNCTIONS
from flowtorch.codegen.lowering import lower


def test_parse_builds_the_tree_that_python_syntax_says():
    tree = parse("where(input > 0, input, negative_slope * input)", ("input",), ("negative_slope",))
    x, slope = input("input"), parameter("negative_slope")
    assert tree is call("where", call("gt", x, constant(0)), x, call("mul", slope, x))
    assert tree.names("input") == ("input",) and tree.names("parameter") == ("negative_slope",)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a + b * c", "add(a, mul(b, c))"),
        ("a if b else c", "where(b, a, c)"),
        ("not a and b or c", "logical_or(logical_and(logical_not(a), b), c)"),
        ("~a ^ b << c", "bitwise_xor(bitwise_not(a), left_shift(b, c))"),
        ("a // b % c", "remainder(floor_divide(a, b), c)"),
        ("-a ** 2", "neg(pow(a, 2))"),
        ("a != inf", "ne(a, inf)"),
        ("a * (1 / 4)", "a * 0.25"),
        ("sqrt(2) * a", f"mul({math.sqrt(2)!r}, a)"),
        ("cast(a, float16)", "cast(a, 'float16')"),
    ],
)
def test_spellings_of_one_tree_are_one_object(text, same):
    assert parse(text, ("a", "b", "c")) is parse(same, ("a", "b", "c"))


def test_constants_of_different_types_and_zeros_of_different_sign_stay_apart():
    trees = {parse(f"a + {text}", ("a",)) for text in ("1", "1.0", "True", "0.0", "-0.0", "0", "1j")}
    assert len(trees) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a +", "not valid Python"),
        ("unknown + a", "'unknown' is neither an input nor a parameter"),
        ("frobnicate(a)", "unknown function"),
        ("where(a, b)", "must have 3 operands"),
        ("cast(a, float15)", "must be cast"),
        ("a < b < c", "not part of the expression language"),
        ("[a]", "not part of the expression language"),
        ("a.real", "not part of the expression language"),
    ],
)
def test_what_is_not_an_expression_is_refused_with_the_reason(text, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        parse(text, ("a", "b", "c"))


@pytest.mark.parametrize("text", ["a", "where(a > 0.5, -a, nan)", "a * -2 + 1j", "cast(a, bool) & True", "-inf * a"])
def test_text_parses_back_to_the_same_tree(text):
    tree = parse(text, ("a",))
    assert parse(tree.text(), ("a",)) is tree
    assert pickle.loads(pickle.dumps(tree)) is tree


def test_digest_names_the_structure_in_every_process():
    code = (
        "from flowtorch.codegen.expression import parse;"
        "print(parse('exp(-a) * 0.5', ('a',)).digest, parse('exp(-a) * 0.25', ('a',)).digest)"
    )
    here = [parse(f"exp(-a) * {c}", ("a",)).digest for c in (0.5, 0.25)]
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert here == there and here[0] != here[1]


def test_substitution_fuses_trees_and_shares_what_they_have_in_common():
    silu = parse("input / (1 + exp(-input))", ("input",))
    product = parse("input * other", ("input", "other"))
    fused = silu.substitute({"input": product})
    assert fused is parse("x * y / (1 + exp(-(x * y)))", ("x", "y")).substitute(
        {"x": input("input"), "y": input("other")}
    )
    assert sum(node.kind == "mul" for node in walk([fused])) == 1
    assert silu.substitute({"input": constant(0.0)}).names("input") == ()


def test_a_tree_of_many_shared_levels_stays_small():
    node = input("a")
    for _ in range(200):
        node = call("add", node, node)  # 2**200 leaves without sharing
    assert len(list(walk([node]))) == 201
    assert len(node.digest) == 24
    assert len(lower([node], {"a": "float32"}).steps) == 200


def test_deep_trees_do_not_recurse():
    node = input("a")
    for _ in range(5000):
        node = call("neg", node)
    assert len(lower([node.substitute({"a": input("b")})], {"b": "float32"}).steps) == 5000


def test_calls_are_checked():
    with pytest.raises(ValueError, match="takes 2 operands"):
        call("add", input("a"))
    with pytest.raises(ValueError, match="unknown scalar function"):
        call("nothing", input("a"))
    with pytest.raises(ValueError, match="unknown dtype"):
        cast(input("a"), "float15")
    with pytest.raises(TypeError, match="Python number"):
        constant("1")


def test_every_function_of_the_table_is_described():
    assert all(f.doc and f.arity in (1, 2, 3) and set(f.accepts) <= set("bifc") for f in FUNCTIONS.values())


def typed(text, **types):
    return lower([parse(text, tuple(types))], types).outputs[0].type


@pytest.mark.parametrize(
    ("text", "types", "result"),
    [
        ("a + b", {"a": "float32", "b": "float32"}, "float32"),
        ("a + b", {"a": "bfloat16", "b": "bfloat16"}, "float32"),  # the type arithmetic is done in
        ("a + b", {"a": "float16", "b": "bfloat16"}, "float32"),
        ("a + b", {"a": "int32", "b": "uint8"}, "int32"),
        ("a + b", {"a": "int8", "b": "uint8"}, "int16"),
        ("a + b", {"a": "int64", "b": "float32"}, "float32"),
        ("a + b", {"a": "complex64", "b": "float64"}, "complex128"),
        ("a + 1", {"a": "uint8"}, "uint8"),
        ("a + 1.5", {"a": "uint8"}, "float32"),
        ("a + 1", {"a": "bool"}, "int64"),
        ("a * 1j", {"a": "float64"}, "complex128"),
        ("a * 1j", {"a": "int64"}, "complex64"),
        ("a / b", {"a": "int32", "b": "int32"}, "float32"),
        ("a // b", {"a": "int32", "b": "int32"}, "int32"),
        ("exp(a)", {"a": "int64"}, "float32"),
        ("exp(a)", {"a": "float64"}, "float64"),
        ("abs(a)", {"a": "complex64"}, "float32"),
        ("a > b", {"a": "float64", "b": "float64"}, "bool"),
        ("a & b", {"a": "bool", "b": "bool"}, "bool"),
        ("a * (a > 0)", {"a": "int16"}, "int16"),
        ("where(a, b, 0.5)", {"a": "bool", "b": "int64"}, "float32"),
        ("isnan(a)", {"a": "int64"}, "bool"),
        ("cast(a, float16)", {"a": "float64"}, "float16"),
    ],
)
def test_types_follow_promotion(text, types, result):
    assert typed(text, **types) == result


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("a - b", {"a": "bool", "b": "bool"}),
        ("-a", {"a": "bool"}),
        ("a << b", {"a": "float32", "b": "float32"}),
        ("a < b", {"a": "complex64", "b": "complex64"}),
        ("erf(a)", {"a": "complex64"}),
    ],
)
def test_what_a_type_does_not_have_is_refused(text, types):
    with pytest.raises(TypeError, match="is not defined for"):
        typed(text, **types)


def test_the_default_dtype_decides_what_integers_become():
    tree = parse("sqrt(a) * 0.5", ("a",))
    assert lower([tree], {"a": "int32"}, default="float64").outputs[0].type == "float64"


def test_outputs_are_stored_in_the_wanted_type_and_rounded_once():
    program = lower([parse("a * b + a", ("a", "b"))], {"a": "bfloat16", "b": "bfloat16"}, {}, ["bfloat16"])
    assert [value.op for value in program.steps].count("cast") == 3  # two loads and one store
    assert program.outputs[0].type == "bfloat16"


def test_several_outputs_share_their_steps():
    trees = [parse(text, ("g", "x")) for text in ("g * exp(x)", "g * exp(x) + x")]
    program = lower(trees, {"g": "float32", "x": "float32"})
    assert [value.op for value in program.steps] == ["exp", "mul", "add"]


def test_an_input_or_parameter_without_a_type_is_named():
    with pytest.raises(KeyError, match="input 'b'"):
        lower([parse("a + b", ("a", "b"))], {"a": "float32"})
