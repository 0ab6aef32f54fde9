"""What a layer is: the rule, for any front end that shows a model's steps one after the other.

A step that depends on the input is one of these, and the rule is applied in this order:

- a convolution or matrix product with weights, or a pooling window, starts a layer;
- a reduction over a layer starts a global pooling, unless its result comes back to that layer: then
  the step that combines them starts a normalisation (softmax, for one), and later ones stay in it;
- an elementwise step extends the layer that started latest among those that it holds whole: a layer's
  value is the last such step, so after bias and nonlinearity. Steps of layout (a transpose) stay in
  the layer. Where parts of layers that were split (gates) meet again, what they become is the value;
- anything else (concatenation, a product of two activations) starts a group, which is no layer but is
  followed like one: it can be pooled, and a normalisation of it counts once it has weights of its own;
- values that the model itself tags replace all of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

SUMMARIES = ("global_pool", "normalise")
WITHOUT_WEIGHTS = ("pool", *SUMMARIES)
"""Kinds of layers that may have no weight to be named by."""
ACTIVATION = "activation"
_SCOPE = re.compile(r"layer\(([^()]+)\)")
capturing: ContextVar[bool] = ContextVar("capturing", default=False)
"""Are layers asked for? A function that fetches its layers from elsewhere, and tags them, looks here."""


@dataclass
class Found:
    """A layer, or a group (`alive` is false), while its steps go by."""

    kind: str
    name: str
    value: Any
    channel: int | None
    source: int | None = None  # the layer that a reduction or a normalisation was computed from
    alive: bool = True
    of: tuple[int, ...] = ()  # what an elementwise step put together to a group


@dataclass(frozen=True)
class Value:
    """A value on its way through a model: does it depend on the input, and where does it belong?"""

    data: Any
    from_input: bool = False
    layer: int | None = None
    channel: int | None = None
    whole: bool = False  # it holds every element of its layer
    part: bool = False  # it is a slice of its layer
    weight: bool = False
    path: str = ""  # of the weight that it comes from


def scoped(name: str) -> str:
    """Return the name scope in which steps belong to a layer that a library calls so.

    >>> _SCOPE.findall(f"jit(f)/{scoped('net/block')}/vmap({scoped('net/block/pool')})")
    ['net/block', 'net/block/pool']
    """
    return f"layer({name.replace('(', '[').replace(')', ']')})"


def weight_of(read: Iterable[Value]) -> Value | None:
    """The first of a step's operands that is a weight, or made of weights alone."""
    return next((v for v in read if v.weight and not v.from_input), None)


@dataclass
class Rule:
    """Places each step's result; `found` lists the layers, in the order in which they started."""

    layers: list[Found] = field(default_factory=list)
    scope: str = ""  # the name stack of the step that is shown
    tags: list[Found] = field(default_factory=list)

    @property
    def found(self) -> list[Found]:
        return self.tags or [layer for layer in self.layers if layer.alive]

    def start(self, kind: str, name: str, out: Any, channel: int | None = None, **more: Any) -> Value:
        """A new layer or group."""
        name = name or (self._named(more.get("source")) if kind in WITHOUT_WEIGHTS else "")
        self.layers.append(Found(kind, name, out, channel, **more))
        return Value(out, True, len(self.layers) - 1, channel, whole=True)

    def _named(self, source: int | None) -> str:
        """What a library calls the layer in which the step is (`scoped`), or below one of weights."""
        own = _SCOPE.findall(self.scope)
        within = bool(own) and source is not None and self.layers[source].name == own[-1]
        return f"{own[-1]}/{ACTIVATION}" if within else (own[-1] if own else "")

    def tag(self, name: str, out: Any) -> None:
        """The model names a layer itself; `kind:name` says what it is, too."""
        kind, colon, rest = name.partition(":")
        self.tags.append(Found(kind if colon else "tag", rest if colon else name, out, None))

    def pool(self, kind: str, read: Value, out: Any, channel: int | None) -> Value:
        """A window or a reduction; over the input itself, before any layer, a reduction is none."""
        if kind == "global_pool" and read.layer is None:
            return Value(out, True)
        return self.start(kind, "", out, channel, source=read.layer)

    def group(self, live: Iterable[Value], out: Any) -> Value:
        """A step that starts no layer and stays in none."""
        met = [v for v in live if v.layer is not None]
        return self.start("group", "", out, alive=False) if met else Value(out, True)

    def layout(self, read: Value, out: Any, channel: int | None) -> Value:
        """The same elements in another layout; a group where the channels are merged with others."""
        same = read.whole and _size(out.shape) == _size(read.data.shape)
        if same and read.channel is not None and channel is None:
            return self.start("group", "", out, alive=False, source=read.layer)
        return replace(read, data=out, channel=channel, whole=same)

    def slice(self, read: Value, out: Any) -> Value:
        """A part of a value."""
        return replace(read, data=out, whole=False, part=True)

    def elementwise(self, read: Sequence[Value], out: Any, *, normalises: bool = False) -> Value:
        """A step of equal shape: it extends its latest layer, or closes a normalisation."""
        live = [v for v in read if v.from_input]
        path = next((v.path for v in read if v.path and not v.from_input), "")
        weighted = weight_of(read) is not None
        met = {v.layer for v in live if v.layer is not None}
        path = path or next((la.name for la in map(self._at, met) if la.kind == "group" and la.name), "")
        holders = [v for v in live if v.layer is not None and v.whole and v.data.shape == out.shape]
        for v in sorted(holders, key=lambda v: v.layer or 0):
            base = self._at(v.layer)
            of = (v.layer, base.source) if base.kind == "normalise" else (v.layer,)
            summaries = [i for layer in met for i in self._summaries(layer, of)]
            for i in summaries:
                self.layers[i].alive = False
            if summaries and base.kind != "normalise":
                # The value that flows on: not a square, or the like, that only the reduction saw.
                base.value, base.channel = v.data, v.channel
                alive = base.alive or weighted or base.source is not None  # a layer in another layout
                return self.start("normalise", path, out, v.channel, source=v.layer, alive=alive)
            if summaries:
                return self._extend(v, out, path, weighted)
        if not holders:
            return self._meet(live, out, path)
        latest = max(holders, key=lambda v: (self._at(v.layer).alive, v.layer))
        if self._at(latest.layer).of:
            self._at(latest.layer).of += tuple(met - {latest.layer})
        if normalises:
            alive = self._at(latest.layer).alive
            return self.start("normalise", path, out, latest.channel, source=latest.layer, alive=alive)
        return self._extend(latest, out, path, weighted)

    def _at(self, index: int | None) -> Found:
        assert index is not None
        return self.layers[index]

    def _extend(self, v: Value, out: Any, path: str, weighted: bool) -> Value:
        layer = self._at(v.layer)
        if is_float(out):
            layer.value, layer.channel = out, v.channel
        if layer.kind in ("normalise", "group"):
            layer.name = layer.name or path
        if layer.kind == "normalise":
            layer.alive |= weighted
        return Value(out, True, v.layer, v.channel, whole=True)

    def _meet(self, live: Sequence[Value], out: Any, path: str) -> Value:
        """No operand is a whole layer: parts may meet, and are the latest one's value from now on."""
        parts = [v for v in live if v.part and v.data.shape == out.shape]
        if len(parts) == 1 and len(live) == 1:
            return replace(parts[0], data=out)
        if len(parts) > 1 and any(v.layer is not None for v in parts) and is_float(out):
            latest = max(parts, key=lambda v: -1 if v.layer is None else v.layer)
            layer = self._at(latest.layer)
            layer.value, layer.channel = out, latest.channel
            return Value(out, True, latest.layer, latest.channel, whole=True)
        met = tuple(v.layer for v in live if v.layer is not None)
        return self.start("group", path, out, alive=False, of=met) if met else Value(out, True)

    def _summaries(self, index: int, of: Sequence[int | None]) -> list[int]:
        """The layers by way of which one was reduced from one of those; none if anything else went in."""
        found: list[int] = []
        seen, todo = set(), [index]
        while todo:
            i = todo.pop()
            if i in seen:
                continue
            seen.add(i)
            if self.layers[i].of and i not in of:
                todo += self.layers[i].of
                continue
            chain = self._reduced(i, of)
            if not chain:
                return []
            found += chain
        return found

    def _reduced(self, index: int, of: Sequence[int | None]) -> list[int]:
        """A reduction, and what lies between it and one of those."""
        if self.layers[index].kind != "global_pool" or index in of:
            return []
        chain = [index]
        while (source := self.layers[chain[-1]].source) not in of:
            if source is None or self.layers[source].kind not in SUMMARIES:
                return []
            chain.append(source)
        return chain


def is_float(value: Any) -> bool:
    """Is it a float of JAX, NumPy or torch?"""
    return "float" in str(value.dtype)


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def moved(channel: int | None, before: Sequence[int], after: Sequence[int]) -> int | None:
    """Where the channels' axis is after a reshape; None where it was merged or split.

    >>> moved(3, (8, 4, 4, 16), (8, 16, 16)), moved(1, (8, 10), (8, 1, 10)), moved(3, (8, 4, 4, 16), (8, 256))
    (2, 2, None)
    """
    if channel is None:
        return None
    ahead = _size(before[:channel])
    for axis, n in enumerate(after):
        if n == before[channel] and _size(after[:axis]) == ahead:
            return axis
    return None


def after_reduction(channel: int | None, axes: Sequence[int]) -> int | None:
    """Where the channels' axis is once others are reduced; None where it is among them."""
    return None if channel is None or channel in axes else channel - sum(axis < channel for axis in axes)


def names(layers: Sequence[Found]) -> list[str]:
    """A unique name each: the weight's path or name stack, else the kind and its number."""
    parts = [layer.name.partition("/") for layer in layers if layer.name]
    roots, rest = {first for first, _, _ in parts}, [last for _, _, last in parts]
    shared = f"{next(iter(roots))}/" if len(roots) == 1 and all(rest) else ""
    if any(last.isdigit() for last in rest):  # `layers/0` says more than `0`
        shared = ""
    counts: dict[str, int] = {}
    unique = []
    for layer in layers:
        stem = layer.name.removeprefix(shared) or layer.kind
        counts[stem] = counts.get(stem, 0) + 1
        numbered = f"{stem}{counts[stem]}" if not layer.name else f"{stem}_{counts[stem]}"
        unique.append(stem if counts[stem] == 1 and layer.name else numbered)
    return unique
