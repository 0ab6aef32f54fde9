"""Frames of a drive with steering angles: the folder of Udacity's self-driving-car challenge 2."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from xplore._util.errors import InputError
from xplore._util.files import found, text
from xplore.data._base import Inputs
from xplore.data.motion import turns
from xplore.data.pictures import read_picture

PARTS = ("test", "train")
LABELS = ("table", "motion", "none")
TABLE = "interpolated.csv"
GAP = 1_000_000_000
"""Nanoseconds between frames that are not of one block: the camera takes one every 50 ms or so."""
MOST_FRAMES = 200_000
LARGEST_TABLE = 2**27  # bytes
MOST_BYTES = 2**31
"""Of all pixels together."""

_TEST_EACH = 5  # every fifth block is for testing


def load(path: str | os.PathLike[str], part: str = "test", labels: str = "table") -> Inputs:
    """Frames uint8 [n h w 3] in the order of the drive, with angles (radians, left is positive).

    `path` holds `interpolated.csv`, columns `frame_id` (nanoseconds) and `steering_angle`, among others, and
    `center/<frame_id>.jpg` or `.png`. Frames of one second look alike, so that the parts are blocks of the
    drive: frames in a row, cut where more than a second is missing, or after half a minute; every fifth block
    is for testing.

    `labels` are the `"table"`'s steering angles; told by the pictures, `"motion"`: how far the car turns in
    the coming second (`xplore.data.motion`; NaN at the end of a block); or `"none"`. Raises `InputError`.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "center").mkdir()
    >>> Image.new("RGB", (4, 3)).save(folder / "center" / "1000.png")
    >>> _ = (folder / TABLE).write_text(f"frame_id,steering_angle{os.linesep}1000,0.25")
    >>> drive = load(folder)
    >>> drive.images.shape, drive.labels.tolist()
    ((1, 3, 4, 3), [0.25])
    """
    for name, value, known in (("part", part, PARTS), ("labels", labels, LABELS)):
        if value not in known:
            raise InputError(name, expected=" or ".join(map(repr, known)), got=repr(value))
    folder = Path(path)
    times, angles = _table(folder)
    chosen = np.flatnonzero((blocks(times) % _TEST_EACH == 0) == (part == "test"))
    if not len(chosen):
        got = f"{len(times)} frames in {int(blocks(times)[-1]) + 1} blocks"
        raise InputError(f"{folder}, part {part!r}", expected="at least one block of the drive", got=got)
    frames = _frames(folder, times[chosen])
    sources = {"none": None, "table": angles[chosen]}
    truth = turns(frames, times[chosen]) if labels == "motion" else sources[labels]
    return Inputs(frames, truth, f"udacity/{part}")


def blocks(times: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The block that each frame is of: frames in a row, at most 30 seconds of them.

    >>> milliseconds = np.array([0, 50, 100, 7000, 7050, 36900, 37100])
    >>> blocks(milliseconds * 1_000_000).tolist()
    [0, 0, 0, 1, 1, 2, 2]
    """
    number, first, block = [], times[0], 0
    for before, now in zip(np.concatenate([times[:1], times]), times, strict=False):
        if now - before > GAP or now - first > 30 * GAP:
            block, first = block + 1, now
        number.append(block)
    return np.array(number, np.int64)


def _table(folder: Path) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Times and angles, in the order of the drive, each frame once."""
    path = found(folder, TABLE)
    if path is None:
        fix = "name the folder of the drive, with center/ in it"
        raise InputError(str(folder / TABLE), expected="the table of a drive", got="no such file", fix=fix)
    what = "a table of comma-separated text"
    try:
        rows = _rows(csv.DictReader(io.StringIO(text(path, what, LARGEST_TABLE), newline="")), path)
    except csv.Error as error:
        raise InputError(str(path), expected=what, got=str(error)) from error
    if not rows:
        raise InputError(str(path), expected="a line for each frame", got="none of the camera in the centre")
    times = sorted(rows)
    return np.array(times, np.int64), np.array([rows[time] for time in times])


def _rows(lines: csv.DictReader[str], path: Path) -> dict[int, float]:
    columns = lines.fieldnames or ()
    if not {"frame_id", "steering_angle"} <= set(columns) and not {"timestamp", "angle"} <= set(columns):
        wanted = "columns frame_id and steering_angle (or timestamp and angle)"
        raise InputError(str(path), expected=wanted, got=", ".join(map(str, columns)) or "none")
    frame, steering = ("frame_id", "steering_angle") if "frame_id" in columns else ("timestamp", "angle")
    rows = {}
    for number, line in enumerate(lines, start=2):
        if line.get("camera_name") not in (None, "", "center_camera", "center"):
            continue  # the published table names three cameras
        time, angle = (line.get(frame) or "").strip(), (line.get(steering) or "").strip()
        if not (time.isascii() and time.isdigit() and len(time) <= 19 and int(time) < 2**63):
            wanted = f"{frame} in nanoseconds"
            raise InputError(f"{path}, line {number}", expected=wanted, got=repr(time[:40]))
        try:
            rows[int(time)] = float(angle)
        except ValueError:
            rows[int(time)] = math.nan
        if not -math.pi <= rows[int(time)] <= math.pi:
            wanted = f"{steering} in radians, from -pi to pi"
            raise InputError(f"{path}, line {number}", expected=wanted, got=repr(angle[:40]))
        if len(rows) > MOST_FRAMES:
            raise InputError(str(path), expected=f"at most {MOST_FRAMES:,} frames", got="more")
    return rows


def _frames(folder: Path, times: Int[np.ndarray, " n"]) -> np.ndarray:
    """The pictures of some frames, which are of one size."""
    frames: np.ndarray | None = None
    for row, time in enumerate(times.tolist()):
        path = found(folder, f"center/{time}.jpg", f"center/{time}.png")
        if path is None:
            raise InputError(
                f"{folder}/center/{time}.jpg", expected="the frame that the table names", got="none"
            )
        frame = np.asarray(read_picture(path))
        if frames is None:
            if frame.nbytes * len(times) > MOST_BYTES:
                wanted, got = f"frames of {MOST_BYTES:,} bytes in all", f"{frame.nbytes * len(times):,}"
                raise InputError(
                    str(folder), expected=wanted, got=got, fix="scale them down, to 160 x 120, say"
                )
            frames = np.empty((len(times), *frame.shape), np.uint8)
        if frame.shape != frames.shape[1:]:
            wanted = f"frames of one size, {frames.shape[2]} x {frames.shape[1]}"
            raise InputError(str(path), expected=wanted, got=f"{frame.shape[1]} x {frame.shape[0]}")
        frames[row] = frame
    assert frames is not None
    return frames
