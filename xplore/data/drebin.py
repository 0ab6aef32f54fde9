"""Android apps as sets of features, in the files of Drebin (Arp et al., 2014), and apps made up like that.

Drebin's are had from its authors. What `load` gives without a path is synthetic: made by `generate`, good for
running the parts, and of no meaning for real malware.
"""

import csv
import functools
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int32, Int64

from xplore._util.errors import InputError
from xplore._util.files import found, inside, text
from xplore.data._base import PARTS, split

if TYPE_CHECKING:
    from xplore.constraints import Additions

CLASSES = ("benign", "malware")
MANIFEST = ("activity", "feature", "intent", "permission", "provider", "service_receiver")
"""What an app's manifest declares, and so what can be added to it (Pei et al., 2017)."""

FOLDER, FAMILIES = "feature_vectors", "sha256_family.csv"
LARGEST = 2**24  # bytes of an app's file, and of the list of families
MOST_APPS, MOST_FEATURES = 2**18, 2**20  # twice those of Drebin: 129,013 and 545,333
WIDEST = 512
"""Apps with more features are left out: all are stored as wide as the widest."""

ROOM = 32  # places of a code that are left for features to be added


@dataclass(frozen=True)
class Apps:
    """Apps as codes: sorted numbers of `names`, filled up with `len(names)`, and 1 as the label of malware.

    `images` is what a campaign calls its inputs; `seen` says which names an app of the training part has.

    >>> apps = load()
    >>> [apps.names[at] for at in apps.images[0][:2]]
    ['activity::synthetic.activity.0221', 'activity::synthetic.activity.0224']
    """

    images: Int32[np.ndarray, "n k"]
    labels: Int64[np.ndarray, " n"]
    name: str
    names: tuple[str, ...]
    seen: tuple[int, ...]
    classes: tuple[str, ...] = CLASSES


def load(part: str = "test", path: str | os.PathLike[str] | None = None, widest: int = WIDEST) -> Apps:
    """Apps with their labels: a fifth for testing ("test"), the others for training ("train"), a fixed split.

    `path` is a folder as Drebin comes: `feature_vectors/`, a file an app with a line a feature, and
    `sha256_family.csv`, whose apps are malware. Without it, 2,000 synthetic apps. Apps with one and the same
    features go together; those with more than `widest` are left out.

    Raises:
        InputError: files that are missing, empty, too large or too many, are links out of the folder, or have
            lines that are no `kind::value`.

    >>> apps = load("test")
    >>> apps.name, apps.images.dtype, apps.labels.max()
    ('drebin, synthetic/test', dtype('int32'), np.int64(1))
    """
    if part not in PARTS:
        raise InputError("part", expected=" or ".join(map(repr, PARTS)), got=repr(part))
    return _parts(None if path is None else os.fspath(path), widest)[part]


@functools.lru_cache(maxsize=2)
def _parts(path: str | None, widest: int) -> dict[str, Apps]:
    """Both parts; read once, since the constraint asks, too."""
    if path is None:
        apps, malware, name = *generate(), "drebin, synthetic"
    else:
        apps, malware, name = *read(path), "drebin"
    narrow = {app: lines for app, lines in sorted(apps.items()) if len(lines) <= widest}
    if not narrow:
        wanted = f"an app with at most {widest} features"
        raise InputError(str(path), expected=wanted, got="none", fix="raise `widest`")
    if len(narrow) < len(apps):
        name = f"{name} but {len(apps) - len(narrow)} apps of more than {widest} features"
    names = tuple(sorted({line for lines in narrow.values() for line in lines}))
    number = {line: at for at, line in enumerate(names)}
    width = max(map(len, narrow.values())) + ROOM
    codes = np.full((len(narrow), width), len(names), np.int32)
    for row, lines in enumerate(narrow.values()):
        codes[row, : len(lines)] = sorted(number[line] for line in lines)
    labels = np.array([app in malware for app in narrow], np.int64)
    chosen = split(codes)
    seen = tuple(np.unique(codes[chosen["train"]]).tolist())
    seen = tuple(at for at in seen if at < len(names))
    return {
        part: Apps(codes[rows], labels[rows], f"{name}/{part}", names, seen) for part, rows in chosen.items()
    }


def additions(path: str | None = None, changes: int = 5, widest: int = WIDEST) -> "Additions":
    """What may happen to an app of `load`: features of a `MANIFEST` are added that some training app has.

    >>> additions(changes=3)
    Additions(at most 3 of 1,454 features, out of 2,900 in all)
    """
    from xplore.constraints import Additions

    apps = load("train", path, widest)
    allowed = [at for at in apps.seen if apps.names[at].split("::")[0] in MANIFEST]
    return Additions.of(apps.names, allowed, apps.images.shape[1], changes)


def read(folder: str | os.PathLike[str]) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """The features of each app of a folder, and which apps are malware; raises `InputError`.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write(folder, {"an app": frozenset({"permission::SEND_SMS"})}, frozenset({"an app"}))
    >>> read(folder)
    ({'an app': frozenset({'permission::SEND_SMS'})}, frozenset({'an app'}))
    """
    home = found(folder, FOLDER)
    if home is None or not home.is_dir():
        wanted = f"a folder {FOLDER}/ and {FAMILIES}"
        raise InputError(
            os.fspath(folder), expected=wanted, got=f"no {FOLDER}", fix="name the folder of both"
        )
    files = sorted(entry.name for entry in home.iterdir())
    if not 0 < len(files) <= MOST_APPS:
        raise InputError(str(home), expected=f"1 to {MOST_APPS:,} apps", got=f"{len(files):,}")
    apps: dict[str, frozenset[str]] = {}
    seen: dict[str, str] = {}  # each name is kept once
    for name in files:
        path = inside(home, name)
        lines = {line for line in text(path, "an app's features", LARGEST).splitlines() if line.strip()}
        wrong = next((line for line in lines if not all(line.partition("::")[::2])), None)
        if wrong is not None or not lines:
            came = "none" if wrong is None else repr(wrong[:60])
            raise InputError(str(path), expected="lines kind::value, one at least", got=came)
        apps[name] = frozenset(seen.setdefault(line, line) for line in lines)
        if len(seen) > MOST_FEATURES:
            raise InputError(str(home), expected=f"at most {MOST_FEATURES:,} features", got="more")
    return apps, frozenset(_malware(folder)).intersection(apps)


def _malware(folder: str | os.PathLike[str]) -> Iterator[str]:
    path = found(folder, FAMILIES)
    if path is None:
        raise InputError(os.fspath(folder), expected=f"{FAMILIES} in this folder", got="no such file")
    what = "a CSV file with the columns sha256 and family"
    try:
        head, *lines = csv.reader(io.StringIO(text(path, what, LARGEST)), strict=True)
    except csv.Error as error:
        raise InputError(str(path), expected=what, got=str(error)) from error
    if head != ["sha256", "family"]:
        raise InputError(str(path), expected=what, got=repr(head)[:80])
    for number, line in enumerate(lines, start=2):
        if len(line) != 2 or not all(line):
            raise InputError(str(path), expected=what, got=f"{repr(line)[:60]} in line {number}")
        yield line[0]


COUNTS = {
    "activity": 900, "api_call": 250, "call": 30, "feature": 30, "intent": 150, "permission": 100,
    "provider": 30, "real_permission": 50, "service_receiver": 290, "url": 1170,
}  # fmt: skip
"""How many features of each kind synthetic apps share."""


@functools.lru_cache(maxsize=2)
def generate(apps: int = 2000, rng: int = 0) -> tuple[Mapping[str, frozenset[str]], frozenset[str]]:
    """Synthetic apps, their features, and which are malware; the same ones every time.

    Features are as frequent as Zipf's law has it. Malware, a quarter, is of families that share a core of
    features; the others are of genres that do, and one in eight malicious apps hides in a genre's core.

    >>> apps, malware = generate(8)
    >>> len(apps), malware <= set(apps)
    (8, True)
    """
    random = np.random.RandomState(rng)  # frozen by NEP 19
    vocabulary = [
        f"{kind}::synthetic.{kind}.{at:04}" for kind, count in COUNTS.items() for at in range(count)
    ]
    weight = np.concatenate([1 / (3 + random.permutation(count)) for count in COUNTS.values()])
    weight /= weight.sum()
    cores = [random.choice(len(vocabulary), random.randint(10, 24), False, weight**0.5 / (weight**0.5).sum())
             for _ in range(50)]  # fmt: skip
    families, genres = cores[:20], cores[20:]
    made: dict[str, frozenset[str]] = {}
    malware = []
    for number in range(apps):
        name = hashlib.sha256(f"synthetic app {number} of {rng}".encode()).hexdigest()
        bad = random.random_sample() < 0.25
        core = [] if not bad else _some(random, families, 0.6)
        if not bad or random.random_sample() < 0.125:
            core = [*core, *_some(random, genres, 0.6)]
        others = random.choice(len(vocabulary), random.randint(8, 60), False, weight)
        made[name] = frozenset(vocabulary[at] for at in (*core, *others))
        malware += [name] if bad else []
    return made, frozenset(malware)


def _some(random: np.random.RandomState, cores: list[np.ndarray], share: float) -> list[int]:
    """Some of the features of a core, of which the first are the most frequent."""
    at = min(random.zipf(1.3) - 1, len(cores) - 1)
    return [int(feature) for feature in cores[at] if random.random_sample() < share]


def write(
    folder: str | os.PathLike[str], apps: Mapping[str, frozenset[str]], malware: frozenset[str]
) -> None:
    """Apps as Drebin's files are: what `read` reads.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write(folder, *generate(5))
    >>> len(read(folder)[0])
    5
    """
    home = Path(folder)
    (home / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, lines in apps.items():
        (home / FOLDER / name).write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")
    rows = "".join(f"{name},synthetic\n" for name in sorted(malware))
    (home / FAMILIES).write_text(f"sha256,family\n{rows}", encoding="utf-8")
