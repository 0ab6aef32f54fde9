"""Parts of a campaign as people call them: criteria, searches, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from xplore._util.errors import shell

CALLS = ("xplore.run(...)", "xplore.gate(...)")
"""What made a campaign from Python."""


def criterion(name: str) -> str:
    """A criterion as people call it, with its settings but not with what it measured of training inputs.

    >>> criterion("NeuronCoverage(t=0.25)"), criterion("KMNC(k=10, low=array([0.1, 0.2]))")
    ('neuron coverage, t = 0.25', 'KMNC, k = 10')
    >>> criterion("NeuronCoverage(t=0.0, scale='layer')"), criterion("mine.Reach(of=<function f at 0x7f>)")
    ('neuron coverage, t = 0, scale = layer', 'reach')
    """
    title, _, inside = name.partition("(")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title.rpartition(".")[2])
    words = " ".join(word if word.isupper() else word.lower() for word in words.split())
    settings = re.findall(r"(?:^|, )(\w+)=('[^']*'|[\w.+-]+)(?=, |$)", _flat(inside.removesuffix(")")))
    values = [(key, re.sub(r"(?<=\d)\.0$|'", "", value)) for key, value in settings]
    return ", ".join([words, *(f"{key} = {value}" for key, value in values)])


def criteria(names: Sequence[str]) -> list[str]:
    """Criteria as people call them, numbered where several are called alike.

    >>> criteria(["NBC(low=array([0.1]))", "NBC(low=array([0.2]))", "TKNC(k=2)"])
    ['NBC', 'NBC (2)', 'TKNC, k = 2']
    """
    called = [criterion(name) for name in names]
    before = [called[:at].count(name) for at, name in enumerate(called)]
    return [f"{name} ({n + 1})" if n else name for name, n in zip(called, before, strict=True)]


def _flat(text: str) -> str:
    """Text without what stands in brackets."""
    depth, letters = 0, []
    for letter in text:
        depth += (letter in "([{<") - (letter in ")]}>")
        letters += [letter] if depth == 0 else ["…"]
    return "".join(letters)


def spoken(text: str | None) -> str:
    """What Python calls a part, without the addresses of its functions and without rows of numbers.

    >>> spoken("Gradient(optimizer=<function sgd at 0x7f4756f86fc0>)")
    'Gradient(optimizer=sgd)'
    >>> spoken("Near(points=array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], dtype=float32), k=3)")
    'Near(points=array([…], dtype=float32), k=3)'
    """
    text = re.sub(r"<(?:built-in )?(?:function|method) (\S+)(?: at 0x[0-9a-f]+)?>", r"\1", text or "")
    return re.sub(r"([(\[])(?:[-+.\de]+,\s*){7,}[-+.\de,\s]*([)\]])", r"\1…\2", text)


def command(text: str | None) -> str:
    """What made a campaign, as its archive says; a shell runs nothing of what is no command of xplore's.

    >>> command("xplore run mnist --out 'my runs'"), command("xplore.run(...)")
    ("xplore run mnist --out 'my runs'", 'xplore.run(...)')
    >>> print(command("xplore run mnist; rm -r ~"), command("$(id)"))
    'xplore run mnist; rm -r ~' '$(id)'
    """
    try:
        words = shlex.split(text or "")
    except ValueError:  # a quotation that does not end
        words = []
    if not text or text in CALLS:
        return text or ""
    return text if words[:1] in (["xplore"], ["pytest"]) and shell(*words) == text else shell(text)
