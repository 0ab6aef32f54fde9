"""Frames of a drive: the published folder, and folders that are wrong in every way."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation import mutated
from PIL import Image
from profiles import many

from xplore._util.errors import InputError
from xplore.data import udacity

SECOND = 1_000_000_000
START = 1_479_425_441 * SECOND


def drive(folder: Path, n: int = 6, step: float = 40.0, size: tuple[int, int] = (16, 12)) -> Path:
    """A drive of n blocks of one frame each, the angle and the brightness rising."""
    (folder / "center").mkdir(parents=True)
    lines = ["frame_id,steering_angle"]
    for number in range(n):
        time = START + int(number * step * SECOND)
        Image.new("RGB", size, (10 * number, 20, 30)).save(folder / f"center/{time}.png")
        lines.append(f"{time},{number / 10 - 0.2}")
    (folder / "interpolated.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def table(folder: Path, text: str) -> Path:
    (folder / "interpolated.csv").write_text(text, "utf-8")
    return folder


def test_the_published_drive() -> None:
    if "XPLORE_DATA" not in os.environ:
        pytest.skip("XPLORE_DATA does not say where the drive lies")
    folder = Path(os.environ["XPLORE_DATA"], "udacity_ch2")
    test, train = udacity.load(folder, "test"), udacity.load(folder, "train")
    assert test.images.shape == (300, 120, 160, 3) and len(train.images) == 1107
    lines = (folder / "interpolated.csv").read_text().split()[1:]
    published = sorted(float(line.split(",")[1]) for line in lines)
    assert sorted([*test.labels, *train.labels]) == published
    assert len({image.tobytes() for image in (*test.images, *train.images)}) == 1407
    assert test.labels.std() > 0.1 and train.images.std() > 10


def test_parts_are_blocks_and_a_frame_goes_with_its_angle(tmp_path: Path) -> None:
    folder = drive(tmp_path, 11)
    test, train = udacity.load(folder, "test"), udacity.load(folder, "train")
    assert test.images[:, 0, 0, 0].tolist() == [0, 50, 100]
    np.testing.assert_allclose(test.labels, [-0.2, 0.3, 0.8])
    assert train.images[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 60, 70, 80, 90]
    assert test.images.shape[1:] == (12, 16, 3)


def test_a_block_is_cut_at_a_gap_or_after_half_a_minute() -> None:
    even = np.arange(0, 70 * SECOND, SECOND // 10)
    numbers = udacity.blocks(even)
    assert np.bincount(numbers).tolist() == [301, 301, 98]
    assert udacity.blocks(np.array([0, SECOND, 2 * SECOND + 1])).tolist() == [0, 0, 1]


def test_the_published_names_of_three_cameras(tmp_path: Path) -> None:
    folder = drive(tmp_path)
    lines = (folder / "interpolated.csv").read_text().split()[1:]
    head = "timestamp,camera_name,angle"
    rows = [
        f"{time},{camera},{float(angle) + shift}"
        for time, angle in (line.split(",") for line in lines)
        for camera, shift in (("left_camera", 0.3), ("center_camera", 0.0))
    ]
    table(folder, "\n".join([head, *rows]))
    np.testing.assert_allclose(udacity.load(folder).labels, [-0.2, 0.3])


@pytest.mark.parametrize(
    "text,message",
    [
        ("", "got an empty file"),
        ("a,b\n1,2\n", "columns frame_id and steering_angle .* got a, b"),
        ("frame_id,steering_angle\n", "a line for each frame"),
        ("frame_id,steering_angle\n12x,0.1\n", "line 2: expected frame_id in nanoseconds, got '12x'"),
        (f"frame_id,steering_angle\n{START},nan\n", "line 2: expected steering_angle in radians"),
        (f"frame_id,steering_angle\n{START},4\n", "line 2: expected steering_angle in radians"),
        (f"frame_id,steering_angle\n{START},\n", "line 2: expected steering_angle in radians"),
        (f"frame_id,steering_angle\n{START}\n", "line 2: expected steering_angle in radians"),
        (f"frame_id,steering_angle\n-{START},0\n", "line 2: expected frame_id in nanoseconds"),
        (f"frame_id,steering_angle\n{'9' * 30},0\n", "line 2: expected frame_id in nanoseconds"),
        (f"frame_id,steering_angle\n../../{START},0\n", "line 2: expected frame_id in nanoseconds"),
        (f"frame_id,steering_angle\n{START + 1},0\n", "expected the frame that the table names, got no"),
    ],
)
def test_a_table_that_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        udacity.load(table(drive(tmp_path), text))


def test_folders_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        udacity.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="got no such file"):
        udacity.load(tmp_path)
    with pytest.raises(InputError, match="part: expected 'test' or 'train'"):
        udacity.load(tmp_path, "valid")
    with pytest.raises(InputError, match="at least one block"):
        udacity.load(drive(tmp_path / "short", 1), "train")


def test_frames_that_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = drive(tmp_path / "drive")
    frame = folder / f"center/{START + 200 * SECOND}.png"
    Image.new("RGB", (8, 8)).save(frame)
    with pytest.raises(InputError, match="frames of one size, 16 x 12, got 8 x 8"):
        udacity.load(folder)
    frame.write_bytes(b"no picture")
    with pytest.raises(InputError, match="expected a picture"):
        udacity.load(folder)
    frame.unlink()
    outside = tmp_path / "outside.png"
    Image.new("RGB", (16, 12)).save(outside)
    frame.symlink_to(outside)
    with pytest.raises(InputError, match="expected a file inside this folder"):
        udacity.load(folder)
    monkeypatch.setattr(udacity, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="frames of 1,000 bytes in all, got 1,152"):
        udacity.load(folder)
    monkeypatch.setattr(udacity, "MOST_FRAMES", 3)
    with pytest.raises(InputError, match="at most 3 frames"):
        udacity.load(folder)
    monkeypatch.setattr(udacity, "LARGEST_TABLE", 20)
    with pytest.raises(InputError, match="at most 20 bytes"):
        udacity.load(folder)
    (folder / udacity.TABLE).rename(tmp_path / "table.csv")
    (folder / udacity.TABLE).symlink_to(tmp_path / "table.csv")
    with pytest.raises(InputError, match="expected a file inside this folder"):
        udacity.load(folder)


@settings(max_examples=many(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_tables_and_frames_are_told(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "drive"
    if not folder.exists():
        drive(folder)
    files = [folder / "interpolated.csv", folder / f"center/{START}.png"]
    whole = [file.read_bytes() for file in files]
    which = data.draw(st.integers(0, 1))
    try:
        files[which].write_bytes(mutated(data, whole[which], 6))
        inputs = udacity.load(folder)
        assert inputs.images.shape[1:] == (12, 16, 3) and np.isfinite(inputs.labels).all()
    except InputError as error:
        assert str(error)
    finally:
        files[which].write_bytes(whole[which])
