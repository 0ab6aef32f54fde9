"""Photographs for classifiers of ImageNet: those that foolbox and scikit-image carry, or any folder.

`imagenet.txt` names the 1,000 classes of ILSVRC 2012 (Russakovsky et al., 2015) in their order: the synset's
id in WordNet 3.0 and its words.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from xplore._util.errors import InputError, MissingExtraError, first, one_line
from xplore._util.files import found, inside, text
from xplore.data._base import Inputs
from xplore.data.pictures import MODES, SUFFIXES, Pictures, check_files, fitted, read_picture

MOST = 2**21  # pictures of a folder
LARGEST_SIZE = 2048
UNKNOWN = -1
UNLABELLED = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png"),
    *("coffee.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png"),
    *("motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png"),
)
"""The photographs of scikit-image; its drawings are left out."""

_LARGEST_TABLE = 2**24


def load(
    path: str | os.PathLike[str] | None = None,
    size: int = 224,
    crop: float = 0.875,
    classes: str | Sequence[str] = "imagenet",
    channels: int | None = None,
) -> Inputs:
    """Photographs, uint8 [n size size 3]: of each the middle, `crop` of its shorter side, scaled.

    With `channels=1` they are grey. What `xplore export --format png` wrote comes back as it was, grey or
    not: its `labels.csv` says so.

    Classifiers of ImageNet are commonly tested on 7/8 of the shorter side; 1 keeps all of it.

    Without `path`: the 20 photographs with an ImageNet label in the package foolbox, then 18 of scikit-image,
    whose label is not known (-1). With `path`: a folder of pictures in the order of their names, flat (no
    labels), or with a sub-folder a class, or with a `labels.csv` that has the columns file and label. A class
    is called by its number, its name or, in ImageNet, its synset's id or any of its words. With
    `classes="folders"` what the folder calls them is the classes, sorted; a list of names is the classes.

    Of a folder, names, classes and the files' sizes are checked at once; a picture is decoded when it is
    asked for (`images[3]`, `images[:]`): a campaign reads a round at a time, and holds no more. At most
    `MOST` pictures; `xplore.data.pictures` has the limits of one. Links and names that lead out of the folder
    are refused. Raises `InputError`; `MissingExtraError` where a package is needed.

    >>> photos = load()
    >>> photos.images.shape, photos.classes[photos.labels[0]], int(photos.labels[-1])
    ((38, 224, 224, 3), 'bull mastiff', -1)
    """
    if not 1 <= size <= LARGEST_SIZE:
        raise InputError("size", expected=f"1 to {LARGEST_SIZE} pixels", got=str(size))
    if channels not in (None, *MODES) or (path is None and channels not in (None, 3)):
        wanted = "3, of the embedded photographs" if path is None else "1 (grey) to 4"
        raise InputError("channels", expected=wanted, got=repr(channels))
    if not 0 < crop <= 1:
        raise InputError("crop", expected="a share of the shorter side, above 0 and at most 1", got=str(crop))
    names, words = _classes(classes)
    if path is None:
        if classes != "imagenet":
            raise InputError("classes", expected="'imagenet' for the embedded photographs", got=repr(classes))
        images, labels = embedded(size, crop)
        return Inputs(images.copy(), labels.copy(), "photos", names)
    folder = Path(path)
    files = _files(folder)
    channels = channels or _channels(folder)
    check_files(folder, [file for file, _ in files])
    if not names:
        names = tuple(sorted({word for _, word in files if word}))
        words = {word: {number} for number, word in enumerate(names)}
    labels = [_label(folder, file, word, names, words) for file, word in files]
    images = Pictures(folder, [file for file, _ in files], size, crop, channels)
    known = None if set(labels) == {UNKNOWN} else np.array(labels, np.int64)
    return Inputs(images, known, folder.resolve().name, names)


@functools.lru_cache(maxsize=2)
def embedded(size: int, crop: float) -> tuple[UInt8[np.ndarray, "n size size 3"], Int64[np.ndarray, " n"]]:
    """The photographs that come in packages, and their labels; -1 where it is not known.

    Read-only. Raises `InputError`; `MissingExtraError` where a package is not installed.

    >>> images, labels = embedded(16, 1.0)
    >>> images.shape, int((labels == UNKNOWN).sum())
    ((38, 16, 16, 3), 18)
    """
    labelled = sorted(_folder_in("foolbox", "foolbox").glob("imagenet_*_*.jpg"))
    place = _folder_in("skimage", "scikit-image")
    files = [*labelled, *(place / name for name in UNLABELLED)]
    if len(labelled) != 20:
        raise InputError(
            "foolbox", expected="20 photographs", got=str(len(labelled)), fix="install foolbox 3.3.4"
        )
    labels = [int(file.stem.split("_")[-1]) for file in labelled] + [UNKNOWN] * len(UNLABELLED)
    images, known = (
        np.stack([fitted(read_picture(file), size, crop) for file in files]),
        np.array(labels, np.int64),
    )
    images.flags.writeable = known.flags.writeable = False
    return images, known


@functools.cache
def imagenet() -> tuple[tuple[str, ...], dict[str, set[int]]]:
    """The names of ImageNet's classes in their order, and every word that calls one.

    >>> names, words = imagenet()
    >>> names[281], words["tabby cat"], words["n02123045"], names[134]
    ('tabby', {281}, {281}, 'crane (n02012849)')
    """
    lines = Path(__file__).with_name("imagenet.txt").read_text("utf-8").splitlines()
    words: dict[str, set[int]] = {}
    short = Counter(line[10:].split(", ")[0] for line in lines)
    names = []
    for number, line in enumerate(lines):
        synset, called = line.split(" ", 1)
        name = called.split(", ")[0]
        names.append(name if short[name] == 1 else f"{name} ({synset})")
        for word in (synset, names[-1], called, *called.split(", ")):
            words.setdefault(_plain(word), set()).add(number)
    return tuple(names), words


def _classes(classes: str | Sequence[str]) -> tuple[tuple[str, ...], dict[str, set[int]]]:
    """Names, and words that call them; neither, where the folder is to say so."""
    if classes == "imagenet":
        return imagenet()
    if classes == "folders":
        return (), {}
    if isinstance(classes, str) or not classes or len({*classes}) < len(classes):
        raise InputError(
            "classes", expected="'imagenet', 'folders', or a list of names that differ", got=repr(classes)
        )
    return tuple(classes), {_plain(name): {number} for number, name in enumerate(classes)}


def _plain(word: str) -> str:
    return " ".join(word.replace("_", " ").lower().split())


def _folder_in(module: str, package: str) -> Path:
    # The packages are not imported: they would load half of SciPy for a few files.
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(package, extra="imagenet", purpose="the embedded photographs")
    return Path(spec.submodule_search_locations[0], "data")


def _files(folder: Path) -> list[tuple[str, str]]:
    """Each picture's name in the folder, and what its class is called, if it is."""
    try:
        table = found(folder, "labels.csv")
        if table is not None:
            files = list(_limited(_table(table), folder))
        else:
            files = sorted(_limited(_listed(folder), folder))
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InputError(str(folder), expected="a readable folder", got=one_line(error)) from error
    if not files:
        raise InputError(
            str(folder),
            expected=f"pictures ({', '.join(SUFFIXES)})",
            got="none",
            fix="name the folder that holds them, or its sub-folders",
        )
    if len({bool(word) for _, word in files}) > 1 and table is None:
        flat = [file for file, word in files if not word]
        raise InputError(
            str(folder),
            expected="pictures, or one sub-folder a class",
            got=f"both: {first(flat, 2)}",
            fix="move them into sub-folders",
        )
    return files


def _channels(folder: Path) -> int:
    """How many channels a `labels.csv` says that its pictures have; three, where it does not."""
    table = found(folder, "labels.csv")
    if table is None:
        return 3
    rows = csv.DictReader(io.StringIO(text(table, "a CSV file", _LARGEST_TABLE)))
    channels = {row.get("channels") for row in rows}
    return next((count for count in MODES if channels == {str(count)}), 3)


def _limited(files: Iterator[tuple[str, str]], folder: Path) -> Iterator[tuple[str, str]]:
    for number, file in enumerate(files):
        if number == MOST:
            fix = "name a smaller folder"
            raise InputError(str(folder), expected=f"at most {MOST} pictures", got="more", fix=fix)
        yield file


def _listed(folder: Path) -> Iterator[tuple[str, str]]:
    def pictures(place: Path) -> Iterator[str]:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."):
                    yield entry.name

    yield from ((name, "") for name in pictures(folder))
    with os.scandir(folder) as entries:
        kinds = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    for kind in kinds:
        yield from ((f"{kind}/{name}", kind) for name in pictures(inside(folder, kind)))


def _table(path: Path) -> Iterator[tuple[str, str]]:
    what = "a CSV file with the columns file and label"
    try:
        rows = csv.DictReader(io.StringIO(text(path, what, _LARGEST_TABLE)), strict=True)
        if rows.fieldnames is None or not {"file", "label"} <= {*rows.fieldnames}:
            came = str(rows.fieldnames or "an empty file")[:200]
            raise InputError(str(path), expected="the columns file and label", got=came)
        for row in rows:
            if not row["file"] or row["label"] is None:
                raise InputError(
                    f"{path}, line {rows.line_num}", expected="a file and a label", got=str(row)[:200]
                )
            yield row["file"], row["label"].strip()
    except csv.Error as error:
        raise InputError(str(path), expected=what, got=one_line(error)) from error


def _label(folder: Path, file: str, word: str, names: tuple[str, ...], words: dict[str, set[int]]) -> int:
    """Which class a picture is said to be of."""
    if not word:
        return UNKNOWN
    found = words.get(word) or words.get(_plain(word), set())
    if not found and word.isascii() and word.isdigit() and len(word) < 9 and int(word) < len(names):
        return int(word)
    if len(found) != 1:
        choice = ", ".join(names[number] for number in sorted(found))
        raise InputError(
            f"the class of {file} in {folder}",
            expected=f"one of {choice}" if found else f"one of {len(names)} classes, as {names[0]} or 0",
            got=repr(word[:80]),
            fix='call it otherwise, or say classes = "folders", or a list of names',
        )
    return next(iter(found))
