"""Every code block of every page: Python is run, page by page in order; the others are checked.

A block whose first line is a comment with a file's name is that file, in the folder where its page runs.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import pytest
from laws import test_constraint, test_criterion, test_objective, test_oracle
from laws.parts import COLOUR, GREY, pictures
from pages import commands
from pages.reader import BLOCKS, HAS_TORCH, PAGES, ROOT, Block, fill, write

from xplore.campaign.config import file as config

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras", "ignore::UserWarning:keras")
pytestmark = [pytest.mark.slow, quiet]
RUN = [block for block in BLOCKS if block.language in ("python", "pycon", "sh")]
PARTIAL = {
    "models": 'models = [{use = "mymodels:old"}, {use = "mymodels:new"}]',
    "seeds": 'seeds = {use = "mydata:load", path = "digits.npz"}',
    "constraint": 'constraint = {use = "xplore.constraints:Lighting"}',
}
"""What a config needs, where a page shows a part of one."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Reader:
    """Who reads the pages: a folder, and for each page the names that its blocks have made so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scopes: dict[str, dict[str, Any]] = defaultdict(dict)
        self._done: set[Block] = set()
        self._again: dict[tuple[str, ...], dict[str, Any]] = {}
        self._tested: set[str] = set()

    def read(self, block: Block) -> dict[str, Any]:
        """Run a page's blocks up to this one; the names that there are then."""
        for other in RUN:
            if other.page == block.page and other.line <= block.line and other not in self._done:
                self._done.add(other)
                self._run(other)
        return self._scopes[block.page]

    def _run(self, block: Block) -> None:
        scope = self._scopes[block.page]
        if "import torch" in block.code and not HAS_TORCH:
            pytest.skip("torch is not installed: pip install torch")
        if block.language == "sh":
            self._commands(block)
        elif "def test_" in block.code:
            self._tests(block)
        elif block.language == "pycon":
            said: list[str] = []
            example = doctest.DocTestParser().get_doctest(
                block.code, scope, str(block), block.page, block.line
            )
            runner = doctest.DocTestRunner(optionflags=FLAGS)
            assert runner.run(example, out=said.append, clear_globs=False).attempted and not said, "".join(
                said
            )
            scope |= example.globs
        else:
            self._code(block, scope)

    def _code(self, block: Block, scope: dict[str, Any]) -> None:
        """Pages that begin alike are run once so far."""
        before = [b for b in RUN if b.page == block.page and b.line <= block.line]
        begun = tuple(b.code for b in before if b.language != "sh")
        if begun in self._again:
            scope |= self._again[begun]
            return
        with jax.numpy_rank_promotion("allow"):
            exec(compile("\n" * block.line + block.code, str(ROOT / block.page), "exec"), scope)
        self._again[begun] = dict(scope)

    def _tests(self, block: Block) -> None:
        """A file of tests: pytest runs it, each test passes."""
        if block.code in self._tested:
            return
        self._tested.add(block.code)
        write(self.folder, block.page)
        paths = os.pathsep.join([str(self.folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        program = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--xplore-rng", "0"]
        done = subprocess.run(
            [*program, str(block.file)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        count = len(re.findall(r"(?m)^def test_", block.code))
        assert f"{count} passed" in done.stdout and done.returncode == 0, done.stdout + done.stderr

    def _commands(self, block: Block) -> None:
        """Commands are checked; cheap ones run, and print what the page shows."""
        mine = self.folder / "runs" / "mine"
        for name in ("other", "more") if mine.is_dir() else ():
            shutil.copytree(mine, mine.with_name(name), dirs_exist_ok=True)
        shown = next((b.code for b in BLOCKS if b.before == block and b.language == "text"), None)
        for words in commands.lines(block.code):
            given = commands.check(words)
            torch = "mixed" in words[-1] and not HAS_TORCH
            if given is not None and commands.cheap(words, given) and not torch:
                printed = commands.run(words)
                assert shown in (None, printed), f"paste what `{' '.join(words)}` prints"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    fill(folder)
    return folder


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return Reader(folder)


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))


def of(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in languages], ids=str)


def test_every_block_is_of_a_language_that_is_checked_here() -> None:
    known = {"python", "pycon", "sh", "toml", "json", "yaml", "text"}
    assert [str(block) for block in BLOCKS if block.language not in known] == []
    shown = [b for b in BLOCKS if b.language == "text" and not (b.before and b.before.language == "sh")]
    assert [block.page for block in shown] == [], "what printed it?"
    fences = sum(len(re.findall(r"(?m)^```", page.read_text("utf-8"))) for page in PAGES)
    assert fences == 2 * len(BLOCKS) and len(RUN) > 20


@of("python", "pycon")
def test_python_runs(block: Block, reader: Reader) -> None:
    scope = reader.read(block)
    if block.page == "docs/your-model.md":
        assert scope["result"].valid, "each way ends in a finding"
        assert len([line for line in block.code.splitlines() if line.strip()]) < 20


@of("sh")
def test_commands_are_those_of_the_programs(block: Block, reader: Reader) -> None:
    reader.read(block)


def test_the_parts_of_the_skeletons_keep_the_laws(reader: Reader) -> None:
    last = next(block for block in RUN[::-1] if block.page == "docs/your-parts.md")
    made = reader.read(last)
    assert made["result"].valid and min(made["reached"]) > 0
    for criterion in (made["Signs"](), made["Signs"](0.5)):
        test_criterion.test_coverage_is_a_join_semilattice(criterion)
        test_criterion.test_a_row_gains_what_it_alone_would_add(criterion)
        test_criterion.test_closeness_is_positive_exactly_where_located(criterion)
    for shape in (GREY, COLOUR):
        test_constraint.test_laws(made["Fade"](), shape)
        test_constraint.test_a_row_depends_on_itself_alone(made["Fade"](), shape)
        test_constraint.test_no_change_is_within(made["Fade"](), shape)
    x0 = jnp.asarray(pictures(0, 4, GREY)) / 255
    assert not made["Fade"](0.4).within(x0, made["Fade"]().render(jnp.full(4, 0.5), (), x0)).any()
    test_objective.test_scores_and_slopes_are_finite(made["Push"](), 1e4)
    test_objective.test_a_score_depends_on_its_own_row(made["Push"]())
    kinds = made["KindsDiffer"](kinds=(0, 1, 0, 1))
    test_oracle.test_nothing_changed_is_no_finding(kinds)
    test_oracle.test_equal_models_never_differ(kinds)
    test_oracle.test_the_order_of_models_does_not_matter(kinds)
    test_oracle.test_models_that_differ_do_not_all_decide_the_same(kinds)


@of("toml")
def test_configs_are_valid(block: Block, folder: Path) -> None:
    data = tomllib.loads(block.code)
    if "tool" in data:
        assert set(data["tool"]["pytest"]["ini_options"]) <= {"xplore_regressions"}
        return
    missing = [text for key, text in PARTIAL.items() if key not in data]
    (folder / "block.toml").write_text("\n".join([*missing, block.code]), "utf-8")
    loaded = config.load("block.toml")
    assert {key for key, _ in config.parts(loaded)} >= set(data) - {"name", "campaign", "models", "criteria"}


@of("json", "yaml")
def test_data_are_read(block: Block) -> None:
    if block.language == "json":
        assert json.loads(block.code)
        return
    yaml = pytest.importorskip("yaml")
    told = yaml.safe_load(block.code)
    steps = [step["run"] for job in told["jobs"].values() for step in job["steps"] if "run" in step]
    assert steps
    for step in steps:
        for words in commands.lines(step):
            commands.check(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_scripts_are_there(page: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
    made = ("config.md", "cli.md", "python.md")  # by scripts/docs_reference.py; test_site follows these links
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http:", "https:")) and target not in made:
            assert (page.parent / target).exists(), target
    for script in re.findall(r"`python (\S+?\.py)\b", text):
        assert (ROOT / script).is_file(), script
