"""What a part of a campaign is, beyond what it prints: equal digests where, and only where, it does the same.

A `repr` tells little of arrays, rules, decoders and a user's own classes. A digest covers them: arrays by
their bytes, functions by their code, their defaults and what they close over or read of globals, a user's
classes by their methods. It is the same in every process that runs the same script: nothing of addresses,
of the order of sets, or of where a script's lines stand goes into it. What xplore, the standard library and
installed packages have under a name is known by that.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import io
import re
import sys
import sysconfig
import types
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from xplore._util import moved

MOST = 200_000
"""Values that are looked at; what lies beyond is known by its type."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, type(Ellipsis), type(NotImplemented))
_OF_MODULES = (
    *("_parameters", "_buffers", "_modules", "_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks"),
    *("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs"),
    *("_backward_hooks", "_is_full_backward_hook", "_non_persistent_buffers_set", "_compiled_call_impl"),
    *("_state_dict_hooks", "_state_dict_pre_hooks"),
    *("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)
"""What every module of torch holds: told for itself, or it does not act."""
_NUMBER = re.compile(rb"___torch_mangle_\d+")
"""By which torch tells compiled classes apart that have one name in a process."""
_DRAWS = (np.random.RandomState, np.random.Generator, np.random.BitGenerator)
_UNSAID = (
    *("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "_abc_impl"),
    *("__firstlineno__", "__static_attributes__", "__annotate__", "__annotate_func__", "__slotnames__"),
    *("__dataclass_fields__", "__dataclass_params__", "__abstractmethods__", "__parameters__"),
    *("__annotations_cache__", "__orig_bases__", "__match_args__"),
)
"""What a class holds that says nothing of what it does."""


def digest(value: Any) -> str:
    """sha256 over what a value is, the same in every process: 64 digits.

    >>> limit = 60
    >>> one, other = (lambda row: row.age < limit), (lambda row: row.age < 40)
    >>> digest(one) == digest(lambda row: row.age < limit), digest(one) == digest(other)
    (True, False)
    >>> digest(np.zeros(2000)) == digest(np.eye(1, 2000, 1000)[0])
    False
    """
    return _Digests().of(value).hex()


def fields(part: Any) -> dict[str, str]:
    """The digest of each field of a dataclass, and as `type` that of its class; of others, as `value`.

    >>> from xplore.constraints import Ball
    >>> one, other = fields(Ball(0.1)), fields(Ball(0.2))
    >>> [name for name in one if one[name] != other[name]]
    ['bound']
    """
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return {"value": digest(part)}
    held = {name: digest(getattr(part, name)) for name in _field_names(part)}
    return {"type": digest(type(part)), **held}


def _field_names(part: Any) -> list[str]:
    """The fields of a dataclass, without those that were added later and say nothing here."""
    return [
        field.name
        for field in dataclasses.fields(part)
        if not (field.metadata.get("added") and _attribute(part, field.name) == field.default)
    ]


class _Digests:
    """One walk over a value; what it met is known by the order in which it did."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[Any, bytes]] = {}  # what was met stays alive, so that no id is used twice

    def of(self, value: Any) -> bytes:
        if isinstance(value, _PLAIN):
            return _sha(type(value).__name__, repr(value))
        known = self._met.get(id(value))
        if known is not None:
            return known[1]
        if len(self._met) >= MOST:
            return _sha("beyond", _name(type(value)))
        self._met[id(value)] = value, _sha("met", str(len(self._met)))
        sha = _sha(*self._parts(value))
        self._met[id(value)] = value, sha
        return sha

    def _parts(self, value: Any) -> Iterator[Any]:
        """What tells a value from others: words, and digests of what it holds."""
        parts_of = next((parts_of for kinds, parts_of in _PARTS if isinstance(value, kinds)), None)
        if parts_of is not None:
            yield from parts_of(self, value)
        elif (held := _of_torch(value)) is not None:
            yield from ("torch", *self._all(held))
        elif (array := _array(value)) is not None:
            yield from ("array", str(array.dtype), str(array.shape))
            yield from self._elements(array)
        elif callable(inner := _attribute(value, "__wrapped__")):
            yield from ("wrapped", _name(type(value)), self.of(inner))
        else:
            yield from ("object", self.of(type(value)), *self._state(value))

    def _all(self, values: Iterable[Any]) -> Iterator[bytes]:
        return map(self.of, values)

    def _elements(self, array: np.ndarray) -> Iterator[bytes]:
        """The bytes of an array; of records field by field, since what lies between them is anything."""
        if array.dtype.hasobject:
            yield from self._all(array.ravel().tolist())
        elif array.dtype.names:
            for name in array.dtype.names:
                yield from self._elements(np.ascontiguousarray(array[name]))
        else:
            yield array.tobytes()

    def _module(self, value: types.ModuleType) -> Iterator[Any]:
        yield from ("module", value.__name__)

    def _row(self, value: list[Any] | tuple[Any, ...]) -> Iterator[Any]:
        plain = all(type(item) in _PLAIN for item in value)  # half a million names are one
        yield from ("row", _name(type(value)), *([repr(list(value))] if plain else self._all(value)))

    def _mapping(self, value: Mapping[Any, Any]) -> Iterator[Any]:
        yield from ("mapping", _name(type(value)))
        yield from (
            part for pair in sorted(tuple(self._all(pair)) for pair in value.items()) for part in pair
        )

    def _set(self, value: Set[Any]) -> Iterator[Any]:
        yield from ("set", *sorted(self._all(value)))

    def _method(self, value: types.MethodType | types.BuiltinMethodType) -> Iterator[Any]:
        of = value.__self__
        held = (
            [] if of is None or isinstance(of, types.ModuleType) else [of, getattr(value, "__func__", None)]
        )
        yield from ("method", value.__name__, *self._all(held))

    def _partial(self, value: functools.partial[Any]) -> Iterator[Any]:
        yield from ("partial", *self._all([value.func, value.args, value.keywords]))

    def _property(self, value: property) -> Iterator[Any]:
        yield from ("property", *self._all([value.fget, value.fset]))

    def _cell(self, value: types.CellType) -> Iterator[Any]:
        try:
            yield self.of(value.cell_contents)
        except ValueError:  # empty still
            yield "empty"

    def _class(self, value: type) -> Iterator[Any]:
        """A user's own class by its methods and those that it inherits from others of the user's."""
        yield from ("class", _name(value))
        for base in () if installed(value) else value.__mro__:
            yield _name(base)
            if not installed(base):
                held = {name: item for name, item in vars(base).items() if name not in _UNSAID}
                yield from (part for name in sorted(held) for part in (name, self.of(held[name])))

    def _state(self, value: Any) -> Iterator[Any]:
        """What an object holds; nothing, where it does not say."""
        if dataclasses.is_dataclass(value):
            yield from self._all(_attribute(value, name) for name in _field_names(value))
            return
        if isinstance(value, _DRAWS):  # where a generator stands depends on what was drawn before
            return
        held = _own_state(value)
        if held is None:
            held = _attribute(value, "__dict__")
        if held is None:
            try:
                held = value.__reduce_ex__(4)
            except Exception:  # a lock, a file, a generator: known by its type
                return
            held = held if isinstance(held, str) else held[2:]
        yield self.of(held)
        slots = [name for base in type(value).__mro__ for name in vars(base).get("__slots__", ())]
        yield from self._all(_attribute(value, name) for name in slots if name not in _UNSAID)

    def _function(self, f: types.FunctionType) -> Iterator[Any]:
        yield "function"
        if installed(f) and found(f):
            yield _name(f)
            return
        yield self.of(f.__code__)
        yield from self._read(f)
        yield from self._all([f.__defaults__, f.__kwdefaults__])
        yield from self._all(f.__closure__ or ())

    def _code(self, code: types.CodeType) -> Iterator[Any]:
        yield from ("code", code.co_code, str(code.co_argcount), str(code.co_kwonlyargcount))
        yield from (" ".join(names) for names in (code.co_names, code.co_freevars))
        steps = dis.get_instructions(code)  # of the constants those that are loaded: no docstring is
        yield from self._all(step.argval for step in steps if step.opcode in dis.hasconst)

    def _read(self, f: types.FunctionType) -> Iterator[Any]:
        """What a function of the user's reads of globals, and of the user's own modules among them."""
        for name in sorted(set(_globals(f.__code__))):
            if name in f.__globals__:
                value = f.__globals__[name]
                yield from (name, self.of(value))
                if isinstance(value, types.ModuleType) and not installed(value):
                    held = vars(value)
                    asked = sorted({key for key in _names(f.__code__) if key in held})
                    yield from (part for key in asked for part in (key, self.of(held[key])))


_PARTS: tuple[tuple[Any, Callable[[Any, Any], Iterator[Any]]], ...] = (
    (types.ModuleType, _Digests._module),
    (type, _Digests._class),
    (types.CodeType, _Digests._code),
    (types.FunctionType, _Digests._function),
    ((types.MethodType, types.BuiltinMethodType), _Digests._method),
    (functools.partial, _Digests._partial),
    (property, _Digests._property),
    (types.CellType, _Digests._cell),
    (Mapping, _Digests._mapping),
    (Set, _Digests._set),
    ((list, tuple), _Digests._row),
)
"""How kinds of values are told; of others, arrays by their bytes, objects by what they hold."""


def _sha(*parts: str | bytes) -> bytes:
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "big") + data)
    return sha.digest()


def _array(value: Any) -> np.ndarray | None:
    """What holds numbers in a shape, as NumPy has it; None of anything else."""
    if isinstance(value, (np.ndarray, np.generic)):
        return np.ascontiguousarray(value)
    if any(_attribute(value, name) is None for name in ("dtype", "shape", "__array__")):
        return None
    try:
        return np.ascontiguousarray(value)
    except Exception:  # a random key, a tensor with a gradient, a series that is a frame's
        jax = sys.modules.get("jax")
        if jax is not None and isinstance(value, jax.Array):
            return np.ascontiguousarray(jax.random.key_data(value))
        return _array(value.detach().numpy()) if hasattr(value, "detach") else None


def _own_state(value: Any) -> Any:
    """What an object says of itself, where its class has a way of its own: memory may lie outside Python."""
    makers = (vars(base).get("__getstate__") for base in type(value).__mro__ if base is not object)
    if not any(callable(maker) for maker in makers):
        return None
    try:
        held = value.__getstate__()
    except Exception:  # it cannot be stored
        return None
    if isinstance(held, tuple):  # a tree of neighbours counts how often it was asked
        return [item for item in held if not isinstance(item, int)]
    version = "_sklearn_version"  # of the library; what was fitted is the same
    return {k: v for k, v in held.items() if k != version} if isinstance(held, dict) else held


def _of_torch(value: Any) -> tuple[Any, ...] | None:
    """What a tensor of torch, a module or packed weights are made of; None of anything else."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return None
    if isinstance(value, torch.Tensor):
        return _tensor(torch, value.detach())
    if isinstance(value, torch.ScriptObject):
        try:
            return ("packed", value.__getstate__())
        except RuntimeError:  # it cannot be stored
            return ("packed",)
    if isinstance(value, torch.jit.ScriptModule):
        return ("compiled", *_members(torch, value))
    if isinstance(value, (torch.dtype, torch.device, torch.layout)):
        return (repr(value),)
    if not isinstance(value, torch.nn.Module):
        return None
    whole = vars(value)
    if "_orig_mod" in whole["_modules"]:  # compiled: what is run is that
        return (whole["_modules"]["_orig_mod"],)
    code = getattr(value, "code", None) if hasattr(value, "graph") else None
    attributes = {
        k: v for k, v in whole.items() if k not in _OF_MODULES and (code is None or not k.startswith("_"))
    }
    hooks = [list(whole[name].values()) for name in ("_forward_pre_hooks", "_forward_hooks")]
    parts = [whole[name] for name in ("_parameters", "_buffers", "_modules")]
    return (code or type(value), attributes, hooks, *parts)


def _tensor(torch: Any, value: Any) -> tuple[Any, ...]:
    kind = str(value.dtype), tuple(value.shape)
    if hasattr(value, "__tensor_flatten__"):  # made of other tensors
        names, how = value.__tensor_flatten__()
        return (*kind, how, [getattr(value, name) for name in names])
    if value.is_meta:
        return kind
    if value.is_quantized:
        per_channel = "channel" in str(value.qscheme())
        asked = ("per_channel_scales", "per_channel_zero_points", "per_channel_axis")
        names = asked if per_channel else ("scale", "zero_point")
        return (*kind, value.int_repr(), [getattr(value, f"q_{name}")() for name in names])
    dense = value if value.layout == torch.strided else value.to_dense()
    flat = dense.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return (*kind, flat.view(torch.uint8).numpy())


def _members(torch: Any, module: Any) -> list[bytes]:
    """What a compiled module is saved as: code, numbers and weights; not where its source stood."""
    file = io.BytesIO()
    torch.jit.save(module, file)
    with zipfile.ZipFile(file) as members:
        names = [n for n in members.namelist() if not n.endswith((".debug_pkl", "serialization_id"))]
        names.sort(key=lambda name: (_NUMBER.sub(b"", name.encode()), len(name), name))
        return [_NUMBER.sub(b"", members.read(name)) for name in names]


def _attribute(value: Any, name: str) -> Any:
    """None, where an object has none of this name, or cannot say."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _globals(code: types.CodeType) -> Iterator[str]:
    for inner in _nested(code):
        for step in dis.get_instructions(inner):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                yield str(step.argval)


def _names(code: types.CodeType) -> Iterator[str]:
    for inner in _nested(code):
        yield from inner.co_names


def _name(value: Any) -> str:
    """A class or a function by its name; of a library, where in it is not said: versions differ in that."""
    module = str(getattr(value, "__module__", "") or "")
    place = module.partition(".")[0] if installed(value) else module
    name = moved.former(value.__qualname__) if place == "xplore" else value.__qualname__
    return f"{place} {name}"


def found(f: types.FunctionType) -> bool:
    """Is a function what its module has under its name? Then its name is enough."""
    place: Any = sys.modules.get(f.__module__ or "")
    for name in f.__qualname__.split("."):
        place = getattr(place, name, None)
    return getattr(place, "__func__", place) is f


def installed(value: Any) -> bool:
    """Does this belong to xplore, the standard library or an installed package?"""
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return _library(str(name or ""))


@functools.cache
def _library(name: str) -> bool:
    top = name.partition(".")[0]
    if top in sys.builtin_module_names or top in sys.stdlib_module_names or top == __name__.partition(".")[0]:
        return top != "__main__"
    module = sys.modules.get(name) or sys.modules.get(top)
    file = getattr(module, "__file__", None)
    places = {sysconfig.get_path(key) for key in ("purelib", "platlib")}
    return bool(file) and any(Path(file).is_relative_to(place) for place in places)
