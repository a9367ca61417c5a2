"""Trees of containers, compared with torch's."""

import dataclasses
import random
from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest
import torch.utils._pytree as theirs

import flowtorch.utils._pytree as ours

Pair = namedtuple("Pair", "x y")


def make(rng, depth):
    kind = rng.randrange(9) if depth else 8
    below = [make(rng, depth - 1) for _ in range(rng.randrange(4))] if depth else []
    if kind < 2:
        return below if kind else tuple(below)
    if kind == 2:
        return {rng.choice("abcdef"): child for child in below}
    if kind == 3:
        return Pair(below, make(rng, depth - 1))
    if kind == 4:
        return OrderedDict(z=below, x=1)
    if kind == 5:
        return defaultdict(int, q=below)
    if kind == 6:
        return deque(below, maxlen=2)
    return rng.choice([1, 2.5, "s", None, True])


def outcome(function, *args):
    try:
        return function(*args)
    except (ValueError, NotImplementedError) as error:
        return type(error).__name__, str(error).split(";")[0]


@pytest.mark.parametrize("seed", range(40))
def test_trees_of_all_containers(seed):
    rng = random.Random(seed)
    for _ in range(10):
        tree, other = make(rng, 4), make(rng, 4)
        leaves, spec = ours.tree_flatten(tree)
        expected, their_spec = theirs.tree_flatten(tree)
        assert leaves == expected
        assert repr(spec) == repr(their_spec)
        assert (spec.num_leaves, spec.num_nodes, spec.num_children) == (
            their_spec.num_leaves,
            their_spec.num_nodes,
            their_spec.num_children,
        )
        made = ours.tree_unflatten(leaves, spec)
        assert made == tree and type(made) is type(tree)
        assert outcome(ours.treespec_dumps, spec) == outcome(theirs.treespec_dumps, their_spec)
        assert ours.treespec_pprint(spec) == theirs.treespec_pprint(their_spec)
        assert outcome(spec.flatten_up_to, other) == outcome(their_spec.flatten_up_to, other)
        assert ours._broadcast_to_and_flatten(other, spec) == theirs._broadcast_to_and_flatten(other, their_spec)
        paths = [[(m.keystr(path), leaf) for path, leaf in m.tree_leaves_with_path(tree)] for m in (ours, theirs)]
        assert paths[0] == paths[1]
        assert (spec == ours.tree_structure(other)) == (their_spec == theirs.tree_structure(other))


def test_structures_survive_json():
    spec = ours.tree_structure({"a": [1, (2,)], "b": OrderedDict(c=defaultdict(list, d=1)), 3: deque([1], maxlen=4)})
    assert ours.treespec_loads(ours.treespec_dumps(spec)) == spec


@pytest.mark.parametrize(
    "function",
    [
        lambda m: m.tree_map(lambda a, b: a + b, [1, {"x": 2}], [3, {"x": 4}]),
        lambda m: m.tree_map(lambda a, b: (a, b), {"a": 1, "b": 2}, OrderedDict(b=3, a=4)),
        lambda m: m.tree_map(lambda a, b: a, [1, 2], [3]),
        lambda m: m.tree_map(lambda a, b: a, [1, 2], (3, 4)),
        lambda m: m.tree_map(lambda a, b: a, {"a": 1}, {"b": 1}),
        lambda m: m.tree_map(lambda a, b: (a, b), [1, [2]], [[3], [4]], is_leaf=lambda x: x == [2]),
        lambda m: m.tree_map_(lambda x: None, [1, (2,)]),
        lambda m: m.tree_map_only(int, lambda x: x + 1, [1, "a", 2.0]),
        lambda m: m.tree_map_only((int, float), lambda x: x + 1, [1, "a", 2.0]),
        lambda m: m.tree_map_only(int | float, lambda x: x + 1, [1, "a", 2.0]),
        lambda m: m.tree_map_only(lambda x: x == 1, lambda x: "one", [1, "a", 2.0]),
        lambda m: m.tree_map_with_path(
            lambda p, x, y: (m.keystr(p), x, y), [1, {"a": Pair(2, 3)}], [4, {"a": Pair(5, 6)}]
        ),
        lambda m: [m.tree_all(bool, [1, 0]), m.tree_any(bool, [1, 0]), m.tree_all(bool, []), m.tree_any(bool, [])],
        lambda m: [m.tree_all_only(int, lambda x: x > 0, [1, "a"]), m.tree_any_only(str, str.isupper, [1, "a"])],
        lambda m: m.tree_leaves([1, [2], (3,)], is_leaf=lambda x: isinstance(x, tuple)),
        lambda m: m.tree_unflatten([1], m.tree_structure([1, 2])),
        lambda m: m.key_get([1, {"a": Pair(5, 6)}], m.tree_leaves_with_path([1, {"a": Pair(5, 6)}])[1][0]),
        lambda m: [m.tree_is_leaf(x) for x in (1, None, [], (), Pair(1, 2))],
        lambda m: m.arg_tree_leaves(1, [2], k=(3,)),
        lambda m: [m.is_namedtuple(x) for x in (Pair, Pair(1, 2), (1,), tuple)],
        lambda m: repr(m.treespec_dict({"a": m.treespec_leaf(), "b": m.treespec_tuple([m.treespec_leaf()])})),
    ],
)
def test_functions(function):
    assert outcome(function, ours) == outcome(function, theirs)


def test_registered_classes():
    for module in (ours, theirs):

        class Box:
            def __init__(self, content):
                self.content = content

        @dataclasses.dataclass
        class Record:
            a: int
            b: object = None

        module.register_pytree_node(Box, lambda box: ([box.content], None), lambda content, _: Box(*content))
        assert module.tree_map(lambda x: x + 1, Box(3)).content == 4
        with pytest.raises(ValueError, match="already registered"):
            module.register_pytree_node(Box, lambda box: ([], None), lambda content, _: None)
        with pytest.raises(ValueError, match="flatten_with_keys_fn"):
            module.tree_leaves_with_path(Box(1))
        with pytest.raises(NotImplementedError, match="No registered serialization name"):
            module.treespec_dumps(module.tree_structure(Box(1)))
        module.register_dataclass(Record)
        leaves, spec = module.tree_flatten(Record(1, [2]))
        assert leaves == [1, 2]
        assert module.tree_unflatten([3, 4], spec) == Record(3, [4])
        assert module.tree_leaves(Record(1)) == [1]
        assert [module.keystr(path) for path, _ in module.tree_leaves_with_path(Record(1, [2]))] == [".a", ".b[0]"]


def test_constants_belong_to_the_structure():
    @dataclasses.dataclass(frozen=True)
    class Constant:
        value: int

    ours.register_constant(Constant)
    leaves, spec = ours.tree_flatten([Constant(1), 2])
    assert leaves == [2]
    assert spec != ours.tree_structure([Constant(3), 2])
    assert ours.tree_unflatten([5], spec) == [Constant(1), 5]


def test_leaf_spec():
    leaf = ours.tree_structure(3)
    assert isinstance(leaf, ours.LeafSpec) and ours.LeafSpec() is leaf
    assert not isinstance(ours.tree_structure([3]), ours.LeafSpec)
    assert hash(ours.tree_structure([1, {"a": 2}])) == hash(ours.tree_structure([5, {"a": 6}]))
