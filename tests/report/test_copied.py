"""What is printed to be copied, opened or shown does what it says: shell lines, cells, names of terminals."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from laws.parts import examples

from xplore._util.errors import InputError, shell, visible
from xplore.inputs.columns import Column, framed
from xplore.report.csv import safe
from xplore.report.junit import xml
from xplore.report.markdown import cell, code
from xplore.report.names import command

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
WORDS |= st.sampled_from(
    [
        "a b",
        "a  b",
        "$(touch x)",
        "`id`",
        "'; id; '",
        "\x1b[2J\x1b]0;x\x07",
        "a\nb",
        "-x",
        "\\x41",
        "$'a'",
        "é\u202e",
        "a\u00a0b",
        "\udc80\udcff",
        "=ls",
        "~",
        "a!b",
    ]
)


@pytest.mark.slow
@examples(25)
@given(st.lists(WORDS, min_size=1, max_size=4))
def test_a_shell_takes_each_word_for_one_word(words: list[str]) -> None:
    line = shell("printf", "%s\\0", *words)
    assert visible(line) == line, "nothing that a terminal obeys"
    assert " ".join(line.split()) == line, "nor that a page shows otherwise"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout.decode(errors="surrogateescape").split("\0")[:-1] == words


def test_a_path_is_no_option_and_no_place_of_a_program() -> None:
    assert shell("rm", Path("-rf"), Path("a b"), "=ls") == "rm ./-rf 'a b' '=ls'"


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "xplore run a; touch here",
        "touch here",
        "$(touch here)",
        "xplore run `touch here`",
        "xplore run a\ntouch here",
        "xplore run 'a",
        "./xplore > here",
        "PATH=. xplore",
        "xplore.run(...); touch here",
    ],
)
def test_what_made_a_campaign_is_told_and_not_run(text: str, tmp_path: Path) -> None:
    subprocess.run(["bash", "-c", command(text)], capture_output=True, check=False, cwd=tmp_path)
    assert command(text) == shell(text) != text and not [*tmp_path.iterdir()]


@pytest.mark.parametrize("words", [["xplore", "run", "my config.toml"], ["pytest", "a.py::test[b c]"]])
def test_a_command_of_ours_is_told_as_it_is(words: list[str]) -> None:
    assert command(shell(*words)) == shell(*words) and command(None) == ""


STARTS = st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
UNSEEN = " \u00a0\u200b\ufeff\x00\x1b\u2060"
BEFORE = st.text(st.sampled_from(UNSEEN), max_size=3)


@examples(60)
@given(before=BEFORE, start=STARTS, rest=st.text("=cmd|' /C calc'!Ax\t;"))
@example(
    before="\x00", start="\t", rest="=ddC ==laA"
)  # both begin as a formula does: the text, and what a tab parts off
def test_a_cell_that_a_spreadsheet_would_run_is_text(before: str, start: str, rest: str) -> None:
    text = f"{before}{start}{rest}"
    kept = safe(text)
    assert kept.startswith("'") and kept.replace("'", "") == text.replace("'", "")
    parts = [part.strip(UNSEEN + "\r\n") for part in re.split("[;\t]", kept)]
    assert [part for part in parts if part.startswith(("=", "+", "-", "@"))] == []
    if not {*";\t"} & {*text}:
        assert kept == f"'{text}"


@examples(60)
@given(start=STARTS.filter(lambda sign: sign in "=+-@"), rest=st.text("=cmd|' /C calc'!Ax"))
def test_nor_where_a_sign_may_end_a_cell(start: str, rest: str) -> None:
    for sign in ";\t":
        assert safe(f"a{sign} {start}{rest}") == f"a{sign}' {start}{rest}"


@examples(60)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_a_number_stays_a_number(number: float) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerow([safe(number), safe(str(number)), "x"])
    one, other, _ = next(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert float(one) == float(other) == number


@pytest.mark.parametrize("text", ["lenet1", "a=b", "a -b", "", "1.2.3", "x@y"])
def test_other_text_is_as_it_is(text: str) -> None:
    assert safe(text) == text


@examples(60)
@given(st.text() | st.text("\x1b\x9b\x07\x08\x7f\u202e\u2066\r[2J"))
def test_what_is_shown_is_not_obeyed(text: str) -> None:
    """In an error, in Markdown and in XML: a terminal or a log may show any of them."""
    error = str(InputError("a name", expected="another", got=text))
    for told in (error, cell(text, 10**6), code(text)):
        assert visible(told) == told
    element = ET.Element("a", {"b": xml(text)})
    assert not set(ET.fromstring(ET.tostring(element)).attrib["b"]) & set(
        map(chr, [*range(9), *range(127, 160)])
    )


@pytest.mark.parametrize(
    "dtype", ["os.system", "V8", "[('a', 'O')]", "datetime64[ns]", "Sparse[int]", "int64 ", "M8", "period[D]"]
)
def test_a_column_s_dtype_is_one_of_a_table(dtype: str) -> None:
    pytest.importorskip("pandas")
    with pytest.raises(InputError, match="column 'a': expected a dtype of pandas"):
        framed([Column("a", "float", dtype)], np.zeros((1, 1), np.float32))


@pytest.mark.parametrize(
    "dtype", ["float64", "int8", "UInt16", "Float32", "bool", "boolean", "uint64", "Sparse[float64, nan]"]
)
def test_dtypes_of_tables_are_known(dtype: str) -> None:
    pytest.importorskip("pandas")
    kind = "binary" if dtype.startswith("bool") else "integer"
    assert str(framed([Column("a", kind, dtype)], np.ones((1, 1), np.float32)).dtypes["a"]) == dtype
