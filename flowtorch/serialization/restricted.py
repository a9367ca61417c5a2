"""The unpickler for files that are not trusted."""

from __future__ import annotations

import pickle
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from flowtorch.serialization import tensors
from flowtorch.serialization.pickling import UnpicklingError
from flowtorch.serialization.safe import call_of, called, find_safe, may_call, user_class
from flowtorch.tensor import Tensor

_MARK = object()


class RestrictedUnpickler:
    """Runs the pickle opcodes that tensors and plain containers need, and refuses everything else.

    Nothing is imported, no attribute is looked up on behalf of the file, and only allowed globals are called.
    """

    def __init__(
        self,
        stream: Any,
        persistent_load: Callable | None = None,
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        **_: Any,
    ) -> None:
        self.stream, self.encoding, self.errors = stream, encoding, errors
        self.load_persistent = persistent_load
        self.find_global: Callable[[str, str], Any] = find_safe
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Read one object from the stream."""
        self.stack, self.memo = [], {}
        while True:
            code = self.stream.read(1)
            if not code:
                raise EOFError("Ran out of input")
            if code == pickle.STOP:
                break
            action = OPCODES.get(code[0])
            if action is None:
                raise UnpicklingError(f"Unsupported operand {code[0]}")
            try:
                action(self)
            except (LookupError, TypeError, struct.error, UnicodeDecodeError) as error:
                if action in CALLING:
                    raise
                raise UnpicklingError(f"invalid pickle data: {type(error).__name__}: {error}") from error
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            raise UnpicklingError("invalid pickle data: the stack does not hold one object at the end")
        return self.stack.pop()

    # --- reading the stream ---

    def take(self, size: int) -> bytes:
        """The next bytes; in steps, so that a false length cannot take memory that the file does not fill."""
        data = self.stream.read(min(size, 1 << 20))
        while len(data) < size:
            more = self.stream.read(min(size - len(data), 1 << 24))
            if not more:
                raise UnpicklingError("pickle data was truncated")
            data += more
        return data

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        line = self.stream.readline(1 << 16)
        if not line.endswith(b"\n"):
            raise UnpicklingError("pickle data was truncated")
        return line[:-1]

    def text(self, size: int) -> str:
        return str(self.take(size), "utf-8", "surrogatepass")

    def python2_string(self, size: int) -> Any:
        data = self.take(size)
        return data if self.encoding == "bytes" else data.decode(self.encoding, self.errors)

    # --- the stack ---

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def drop(self, value: Any) -> None:
        """Take ``value`` and do nothing with it."""

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise UnpicklingError("invalid pickle data: the stack is empty")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise UnpicklingError("invalid pickle data: the stack is empty")
        return self.stack[-1]

    def items(self) -> list:
        """Take everything above the last mark off the stack."""
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                items = self.stack[start + 1 :]
                del self.stack[start:]
                return items
        raise UnpicklingError("invalid pickle data: no mark on the stack")

    # --- actions ---

    def name(self) -> None:
        module, name = self.line().decode(), self.line().decode()
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        self.push(self.find_global(module, name))

    def stack_name(self) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise UnpicklingError("STACK_GLOBAL requires str")
        self.push(self.find_global(module, name))

    def reduce(self) -> None:
        args, function = self.pop(), self.pop()
        call = call_of(function)
        if not isinstance(args, tuple):
            raise UnpicklingError(f"argument list must be a tuple, got {type(args).__name__}")
        self.push(called(call, args))

    def new_object(self) -> None:
        args, cls = self.pop(), self.pop()
        if not isinstance(args, tuple):
            raise UnpicklingError(f"argument list must be a tuple, got {type(args).__name__}")
        if user_class(cls):
            self.push(cls.__new__(cls, *args))
        elif may_call(cls) and isinstance(cls, type):
            self.push(called(call_of(cls), args))
        else:
            raise UnpicklingError(
                "Can only create new object for nn.Parameter or classes allowlisted "
                f"via `add_safe_globals` but got {cls}"
            )

    def build(self) -> None:
        state, target = self.pop(), self.top()
        cls = type(target)
        if cls is Tensor:
            # The oldest checkpoints: an empty tensor is made first and given its storage afterwards.
            made = called(tensors._rebuild_tensor, tuple(state))
            target._array, target._type = made._array, made._type
        elif user_class(cls):
            _set_state(target, state)
        elif cls is OrderedDict or may_call(cls):
            if not isinstance(state, dict) or not hasattr(target, "__dict__"):
                raise UnpicklingError(f"cannot give a {cls.__name__} a state of type {type(state).__name__}")
            target.__dict__.update(state)
        else:
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted "
                f"via `add_safe_globals`, but got {cls}"
            )

    def append(self) -> None:
        item = self.pop()
        self._list("append to").append(item)

    def appends(self) -> None:
        items = self.items()
        self._list("extend").extend(items)

    def _list(self, verb: str) -> list:
        target = self.top()
        if type(target) is not list:
            raise UnpicklingError(f"Can only {verb} lists, but got {type(target)}")
        return target

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self._assign("SETITEM", [key, value])

    def set_items(self) -> None:
        self._assign("SETITEMS", self.items())

    def _assign(self, code: str, items: list) -> None:
        target = self.top()
        if type(target) not in (dict, OrderedDict, Counter):
            raise UnpicklingError(
                f"Can only {code} for dict, collections.OrderedDict, collections.Counter, but got {type(target)}"
            )
        if len(items) % 2:
            raise UnpicklingError("invalid pickle data: a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            try:
                target[key] = value
            except TypeError as error:
                raise UnpicklingError(f"invalid pickle data: {error}") from error

    def new_dict(self) -> None:
        items = self.items()
        self.push({})
        self._assign("DICT", items)

    def add_items(self) -> None:
        items, target = self.items(), self.top()
        if type(target) is not set:
            raise UnpicklingError(f"Can only add to sets, but got {type(target)}")
        target.update(items)

    def persistent(self) -> None:
        pid = self.pop()
        if type(pid) is not tuple and type(pid) is not int:
            raise UnpicklingError(f"persistent_load id must be tuple or int, but got {type(pid)}")
        if type(pid) is tuple and (not pid or pid[0] not in ("storage", b"storage")):
            raise UnpicklingError(f"Only persistent_load of storage is allowed, but got {pid[:1]}")
        if self.load_persistent is None:
            raise UnpicklingError("unsupported persistent id encountered")
        self.push(self.load_persistent(pid))

    def protocol(self) -> None:
        version = self.take(1)[0]
        if version > pickle.HIGHEST_PROTOCOL:
            raise UnpicklingError(f"unsupported pickle protocol: {version}")

    def remember(self, key: int) -> None:
        self.memo[key] = self.top()

    def recall(self, key: int) -> None:
        self.push(self.memo[key])

    def tuple_of(self, size: int) -> None:
        items = [self.pop() for _ in range(size)]
        self.push(tuple(reversed(items)))


def _set_state(target: Any, state: Any) -> None:
    """Give an instance of a class that the user trusts its state, as pickle does."""
    if hasattr(target, "__setstate__"):
        target.__setstate__(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        target.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(target, name, value)


U = RestrictedUnpickler
_ACTIONS: dict[bytes, Callable[[RestrictedUnpickler], None]] = {
    pickle.GLOBAL: U.name,
    pickle.STACK_GLOBAL: U.stack_name,
    pickle.REDUCE: U.reduce,
    pickle.NEWOBJ: U.new_object,
    pickle.BUILD: U.build,
    pickle.APPEND: U.append,
    pickle.APPENDS: U.appends,
    pickle.SETITEM: U.set_item,
    pickle.SETITEMS: U.set_items,
    pickle.ADDITEMS: U.add_items,
    pickle.BINPERSID: U.persistent,
    pickle.PROTO: U.protocol,
    pickle.FRAME: lambda u: u.drop(u.take(8)),
    pickle.MARK: lambda u: u.push(_MARK),
    pickle.POP: lambda u: u.drop(u.stack.pop()),
    pickle.POP_MARK: lambda u: u.drop(u.items()),
    pickle.DUP: lambda u: u.push(u.top()),
    pickle.TUPLE: lambda u: u.push(tuple(u.items())),
    pickle.TUPLE1: lambda u: u.tuple_of(1),
    pickle.TUPLE2: lambda u: u.tuple_of(2),
    pickle.TUPLE3: lambda u: u.tuple_of(3),
    pickle.LIST: lambda u: u.push(u.items()),
    pickle.DICT: lambda u: u.new_dict(),
    pickle.FROZENSET: lambda u: u.push(frozenset(u.items())),
    pickle.NONE: lambda u: u.push(None),
    pickle.NEWTRUE: lambda u: u.push(True),
    pickle.NEWFALSE: lambda u: u.push(False),
    pickle.EMPTY_TUPLE: lambda u: u.push(()),
    pickle.EMPTY_LIST: lambda u: u.push([]),
    pickle.EMPTY_DICT: lambda u: u.push({}),
    pickle.EMPTY_SET: lambda u: u.push(set()),
    pickle.BININT: lambda u: u.push(u.number("<i")),
    pickle.BININT1: lambda u: u.push(u.number("<B")),
    pickle.BININT2: lambda u: u.push(u.number("<H")),
    pickle.LONG1: lambda u: u.push(int.from_bytes(u.take(u.number("<B")), "little", signed=True)),
    pickle.BINFLOAT: lambda u: u.push(u.number(">d")),
    pickle.BINUNICODE: lambda u: u.push(u.text(u.number("<I"))),
    pickle.SHORT_BINUNICODE: lambda u: u.push(u.text(u.number("<B"))),
    pickle.BINUNICODE8: lambda u: u.push(u.text(u.number("<Q"))),
    pickle.SHORT_BINSTRING: lambda u: u.push(u.python2_string(u.number("<B"))),
    pickle.BINSTRING: lambda u: u.push(u.python2_string(u.number("<I"))),
    pickle.SHORT_BINBYTES: lambda u: u.push(u.take(u.number("<B"))),
    pickle.BINBYTES: lambda u: u.push(u.take(u.number("<I"))),
    pickle.BINBYTES8: lambda u: u.push(u.take(u.number("<Q"))),
    pickle.BYTEARRAY8: lambda u: u.push(bytearray(u.take(u.number("<Q")))),
    pickle.BINGET: lambda u: u.recall(u.number("<B")),
    pickle.LONG_BINGET: lambda u: u.recall(u.number("<I")),
    pickle.BINPUT: lambda u: u.remember(u.number("<B")),
    pickle.LONG_BINPUT: lambda u: u.remember(u.number("<I")),
    pickle.MEMOIZE: lambda u: u.remember(len(u.memo)),
}
OPCODES = {code[0]: action for code, action in _ACTIONS.items()}
# Errors inside these come from what was called and are passed on as they are.
CALLING = frozenset((U.reduce, U.new_object, U.build, U.persistent))


def globals_in(stream: Any) -> set[str]:
    """The full names of all globals that a pickle mentions; nothing is looked up or called."""
    import pickletools

    found: set[str] = set()
    strings: list[str] = []
    memo: dict[Any, str] = {}
    for opcode, value, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL":
            module, name = str(value).split(" ", 1)
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            found.add(f"{module}.{name}")
        elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
            found.add(".".join(strings[-2:]))
        elif "GET" in opcode.name and value in memo:
            strings.append(memo[value])
        elif "PUT" in opcode.name or opcode.name == "MEMOIZE":
            memo[len(memo) if value is None else value] = strings[-1] if strings else ""
        elif isinstance(value, str):
            strings.append(value)
    return found
