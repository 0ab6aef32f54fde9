"""Seeds that are read a round at a time are those that they are in memory; where one cannot be read, nothing
that was found before is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import tiny
from PIL import Image

import xplore
from xplore._util.errors import InputError
from xplore._util.files import let_go
from xplore.archive import Archive
from xplore.campaign.config.run import repeated
from xplore.campaign.judge import Judge, Outputs
from xplore.campaign.result import Result
from xplore.constraints import Ball
from xplore.data import npz, photos

HOW = {"steps": 3, "tries": 2, "constraint": Ball(), "plan": tiny.plan(), "progress": False, "shrink": False}
DAMAGED = 14
"""Of 24 seeds in rounds of six: in the third round."""


def ran(images: Any, labels: Any, out: Path | None, **how: Any) -> Result:
    return xplore.run([tiny.one(), tiny.two()], images, labels, out=out, **{**HOW, **how})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a campaign on seeds in memory."""
    told = ran(tiny.images(), tiny.labels(), tmp_path_factory.mktemp("whole"))
    assert told.summary["findings"] > 3 and told.summary["seeds"] == tiny.N
    return small.content(told.folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The seeds as pictures, with their labels."""
    place = tmp_path / "pictures"
    place.mkdir()
    for number, image in enumerate(tiny.images()):
        Image.fromarray(image).save(place / f"{number:02d}.png")
    rows = (f"{number:02d}.png,{label}" for number, label in enumerate(tiny.labels()))
    (place / "labels.csv").write_text("\n".join(["file,label", *rows]))
    return place


def mapped(place: Path) -> tuple[Any, Any]:
    np.save(place / "images.npy", tiny.images())
    return np.load(place / "images.npy", mmap_mode="r"), tiny.labels()


def zipped(place: Path) -> tuple[Any, Any]:
    np.savez(place / "both.npz", images=tiny.images(), labels=tiny.labels())
    seeds = npz.load(place / "both.npz")
    assert isinstance(seeds.images, np.memmap)
    return seeds.images, seeds.labels


def drawn(place: Path) -> tuple[Any, Any]:
    del place
    return lambda: zip(tiny.images(), tiny.labels(), strict=True), None


def pictures(place: Path) -> tuple[Any, Any]:
    seeds = photos.load(place / "pictures", size=tiny.SIDE, crop=1.0, classes=["0", "1", "2"])
    return seeds.images, seeds.labels


@pytest.mark.slow
@pytest.mark.parametrize("source", [mapped, zipped, drawn, pictures])
@pytest.mark.usefixtures("folder")
def test_how_seeds_are_read_changes_nothing(
    source: Callable[[Path], tuple[Any, Any]], whole: dict[str, Any], tmp_path: Path
) -> None:
    ran(*source(tmp_path), tmp_path / "out")
    assert small.content(tmp_path / "out") == whole


@pytest.mark.parametrize("source", [mapped, pictures])
@pytest.mark.parametrize("total", [9, 60])
@pytest.mark.usefixtures("folder")
def test_fewer_or_more_seeds_than_there_are(
    source: Callable[[Path], tuple[Any, Any]], total: int, tmp_path: Path
) -> None:
    images, labels = repeated(*source(tmp_path), tiny.N, total)
    rows = np.arange(total) % tiny.N
    assert len(images) == total and labels.tolist() == tiny.labels()[rows].tolist()
    for start, stop in ((0, total), (5, 30), (8, 26), (total - 1, total + 5)):
        np.testing.assert_array_equal(images[start:stop], tiny.images()[rows][start:stop])


def test_what_was_read_of_a_mapped_file_is_let_go(tmp_path: Path) -> None:
    """It would count as this process's memory, though a private copy keeps its changes."""
    size = 2**26
    np.save(tmp_path / "large.npy", np.ones(size, np.uint8))
    array = np.load(tmp_path / "large.npy", mmap_mode="r")[:].view()
    assert int(array.sum()) == size
    before = resident()
    let_go(array)
    assert before - resident() > 0.9 * size and int(array[:9].sum()) == 9
    private = np.load(tmp_path / "large.npy", mmap_mode="c")
    private[:] = 7
    let_go(private)
    assert int(private.min()) == 7


def resident() -> int:
    """Bytes of mapped files in this process's memory."""
    told = Path("/proc/self/status")
    if not told.is_file():
        pytest.skip("no /proc: what is resident was not measured")
    return 1024 * int(re.findall(r"RssFile:\s+(\d+)", told.read_text())[0])


@pytest.mark.slow
def test_a_damaged_picture_ends_it_with_what_was_found_and_it_goes_on_once_mended(
    whole: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    file, out = folder / f"{DAMAGED}.png", tmp_path / "out"
    sound = file.read_bytes()
    file.write_bytes(sound[:60])
    with pytest.raises(InputError, match=rf"{file}: expected a whole picture, got a damaged one") as caught:
        ran(*pictures(tmp_path), out)
    assert caught.value.__notes__ == [
        "seeds from number 12 on",
        f"what was found before is in {out}; once that is mended, resume goes on there",
    ]
    with closing(Archive.open(out)) as archive:
        assert [record.seed for record in archive.seeds()] == list(range(12))
        assert len(list(archive.findings(origin=None))) > 0
        assert not archive.meta["finished"]
    report = (out / "report.html").read_text("utf-8")
    assert "ended before seeds that could not be read: 12 of 24 seeds" in report
    file.write_bytes(sound)
    assert ran(*pictures(tmp_path), out, resume=True).summary["ended"] == ""
    assert small.content(out) == whole


@pytest.mark.slow
def test_a_generator_that_fails_loses_nothing_either(whole: dict[str, Any], tmp_path: Path) -> None:
    """Without `out` the folder is told, and stays."""
    broken = True

    def seeds() -> Iterator[Any]:
        for number, pair in enumerate(zip(tiny.images(), tiny.labels(), strict=True)):
            if broken and number == DAMAGED:
                raise RuntimeError("the camera is off")
            yield pair

    with pytest.raises(RuntimeError, match="the camera is off") as caught:
        ran(seeds, None, None)
    (told,) = caught.value.__notes__
    out = Path(re.findall(r"is in (\S+);", told)[0])
    assert len(small.content(out)["seeds"]) == 12
    broken = False
    ran(seeds, None, out, resume=True)
    assert small.content(out) == whole


def test_what_fails_at_once_is_told_at_once(folder: Path, tmp_path: Path) -> None:
    (folder / "00.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00\.png: expected a picture"):
        ran(*pictures(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_line_names_the_file_and_how_to_go_on(folder: Path, tmp_path: Path) -> None:
    (folder / f"{DAMAGED}.png").write_bytes(b"no picture")
    reads = f'use = "xplore.data.photos:load", path = "pictures", size = {tiny.SIDE}'
    seeds = f'{{{reads}, classes = ["0", "1", "2"]}}'
    (tmp_path / "tiny.toml").write_text(tiny.CONFIG.replace('{use = "tiny:seeds"}', seeds))
    done = subprocess.run(
        [sys.executable, "-m", "xplore.cli", "run", "tiny.toml", "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": small.PATH},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    error = done.stderr[done.stderr.index("error:") :].splitlines()
    assert re.match(rf"error: \S+/{DAMAGED}\.png: expected a picture \(JPEG.*, got 10 bytes", error[0])
    assert error[1:] == [
        "seeds from number 12 on",
        "what was found before is in out; once that is mended, resume goes on there",
    ]
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_batch_that_was_read_is_searched_from_while_others_of_its_round_are_read() -> None:
    searched, waited = threading.Event(), []

    class Waits(Judge):
        """Reads the second batch once steps were made."""

        def read(self, codes: Any) -> Outputs:
            if len(codes) > 1:  # one is what it is warmed up with
                waited.append((len(codes), len(waited) == 1 and searched.wait(60)))
            return super().read(codes)

    running = small.campaign(seeds=32)  # a round of two batches
    judge = running.judge
    running.judge = Waits(**{field.name: getattr(judge, field.name) for field in fields(judge)})
    for tally in running.run():
        if tally.steps:
            searched.set()
    assert waited[:2] == [(16, False), (16, True)]
    assert running.tally.seeds == running.tally.closed == 32
