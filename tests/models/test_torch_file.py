"""State dicts of torch are read without torch, and nothing that they say is run."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutation import mutated

from xplore._util.errors import InputError
from xplore.models._torch_file import read_state_dict
from xplore.models._torch_tensors import Refusal, run

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
VALUES = np.arange(-6, 6, dtype="<f4")


class Named:
    """A global of a pickle, by a name that need not exist."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    def __init__(self, what, *given):
        self.what, self.given = what, given


def said(value):
    """A pickle of protocol 2 that says `value`, with `Named`s and `Call`s as they are."""
    match value:
        case Named(module=module, name=name):
            return f"c{module}\n{name}\n".encode()
        case Call(what=what, given=given):
            return said(what) + said(tuple(given)) + b"R"
        case tuple():
            return b"(" + b"".join(map(said, value)) + b"t"
        case dict():
            return b"}(" + b"".join(said(item) for pair in value.items() for item in pair) + b"u"
        case Persistent(value=inner):
            return said(inner) + b"Q"
        case _:
            return pickle.dumps(value, 2)[2:-1]


class Persistent:
    def __init__(self, value):
        self.value = value


def program(value):
    return b"\x80\x02" + said(value) + b"."


def tensor(shape=(3, 4), strides=(4, 1), offset=0, length=12, kind="FloatStorage", legacy=False):
    storage = Persistent(("storage", Named("torch", kind), "0", "cpu", length, *([None] if legacy else [])))
    made = Call(Named("collections", "OrderedDict"))
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), storage, offset, shape, strides, False, made)


def zipped(state, data=VALUES.tobytes(), compression=zipfile.ZIP_STORED):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as archive:
        archive.writestr("weights/data.pkl", program(state))
        archive.writestr("weights/byteorder", "little")
        archive.writestr("weights/data/0", data)
    return held.getvalue()


def legacy(state, data=VALUES.tobytes(), length=12, about=None):
    about = {"protocol_version": PROTOCOL, "little_endian": True} if about is None else about
    heads = b"".join(pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, about))
    return heads + program(state) + pickle.dumps(["0"], 2) + struct.pack("<q", length) + data


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("torch") / "some-weights.pth"


def read(file, content):
    file.write_bytes(content)
    return read_state_dict(file)


@pytest.mark.parametrize("content", [zipped({"w": tensor()}), legacy({"w": tensor(legacy=True)})])
def test_both_formats_are_read(file, content):
    came = read(file, content)
    assert list(came) == ["w"]
    np.testing.assert_array_equal(came["w"], VALUES.reshape(3, 4))
    came["w"] += 1  # its own memory


def test_views_are_laid_out(file):
    came = read(
        file, zipped({"t": tensor((4, 3), (1, 4)), "s": tensor((2,), (5,), offset=1), "0": tensor((), ())})
    )
    np.testing.assert_array_equal(came["t"], VALUES.reshape(3, 4).T)
    assert came["s"].tolist() == [-5.0, 0.0]
    assert came["0"].tolist() == -6.0


class Reduces:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


MARK = Path(tempfile.gettempdir()) / f"a-pickle-was-run-{os.getpid()}"

HOSTILE = {
    "a command": Reduces(os.mkdir, (str(MARK),)),
    "code": Reduces(eval, (f"__import__('os').mkdir({str(MARK)!r})",)),
    "a file": Reduces(open, (str(MARK), "w")),
    "an attribute": Reduces(getattr, (collections.OrderedDict, "clear")),
    "nested": {"w": Reduces(collections.OrderedDict, ([("w", Reduces(os.mkdir, (str(MARK),)))],))},
    "a dict by its items": collections.OrderedDict(w=1),
    "an array": {"w": np.zeros(2)},
    "a number": {"w": 1.5},
    "a set": {"w": {1}},
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("pack", ["zip", "legacy", "first"])
def test_nothing_of_python_is_run(file, name, pack):
    content = pickle.dumps(HOSTILE[name], 2)
    if pack == "zip":
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("weights/data.pkl", content)
        content = held.getvalue()
    elif pack == "legacy":
        content = legacy({}).replace(program({}), content)
    with pytest.raises(InputError, match="some-weights"):
        read(file, content)
    assert not MARK.exists()


def test_the_hostile_pickles_would_run():
    pickle.loads(pickle.dumps(HOSTILE["a command"], 2))
    MARK.rmdir()


def test_the_name_that_a_file_says_is_told(file):
    with pytest.raises(InputError, match=r"names posix\.mkdir"):
        read(file, pickle.dumps(HOSTILE["a command"], 2))


BAD = {
    "empty": b"",
    "text": b"weights\n",
    "not a state dict": zipped(("w", 1)),
    "nothing in it": zipped({}),
    "compressed": zipped({"w": tensor()}, compression=zipfile.ZIP_DEFLATED),
    "short": zipped({"w": tensor()}, data=VALUES.tobytes()[:-1]),
    "long": zipped({"w": tensor()}, data=VALUES.tobytes() + b"\0"),
    "beyond its end": zipped({"w": tensor((3, 5), (4, 1))}),
    "an offset beyond": zipped({"w": tensor(offset=1)}),
    "a negative stride": zipped({"w": tensor(strides=(-4, 1))}),
    "spread from little": zipped({"w": tensor((2**20, 2**20), (0, 0))}),
    "huge": zipped({"w": tensor((2**40,), (1,), length=2**40)}),
    "numbers of another kind": zipped({"w": tensor(kind="QInt8Storage")}),
    "big-endian": legacy({"w": tensor(legacy=True)}, about={"little_endian": False}),
    "another length": legacy({"w": tensor(legacy=True)}, length=11),
    "a truncated storage": legacy({"w": tensor(legacy=True)}, data=VALUES.tobytes()[:-2]),
    "a truncated zip": zipped({"w": tensor()})[:-30],
    "a shape of words": zipped({"w": tensor(("a", "b"), (1, 1))}),
    "axes without end": zipped({"w": tensor((1,) * 100, (1,) * 100)}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(file, name):
    with pytest.raises(InputError, match="some-weights"):
        read(file, BAD[name])


@pytest.mark.parametrize("path", ["nowhere.pth", "null\0byte", "."])
def test_what_is_no_file_is_an_input_error(path):
    with pytest.raises(InputError):
        read_state_dict(path)


def test_the_limit_is_named(file):
    file.write_bytes(zipped({"w": tensor()}))
    with pytest.raises(InputError, match="at most 100 bytes"):
        read_state_dict(file, largest=100)
    shared = {str(number): tensor((12_000,), (1,), length=12_000) for number in range(10)}
    file.write_bytes(zipped(shared, bytes(48_000)))
    with pytest.raises(InputError, match="480000 bytes of tensors"):
        read_state_dict(file, largest=100_000)


def test_memory_and_time_follow_the_file_not_what_it_says(monkeypatch):
    assert run(io.BytesIO(b"Nr\xff\xff\xff\x7f.")) is None  # a place of the memo far away
    doubled = b"N" + b"q\0h\0\x86" * 60 + b"."  # 2**60 leaves, were they counted
    assert isinstance(run(io.BytesIO(doubled)), tuple)
    with pytest.raises(Refusal, match="no dict of names"):
        run(io.BytesIO(b"}" + doubled[:-1] + b"Ns."))  # as a key it would be hashed, leaf by leaf
    monkeypatch.setattr("xplore.models._torch_tensors.MOST_STEPS", 1000)
    with pytest.raises(Refusal, match="more than 1000 steps"):
        run(io.BytesIO(b"N" * 1001))


@given(data=st.data(), pack=st.sampled_from([zipped({"w": tensor()}), legacy({"w": tensor(legacy=True)})]))
def test_mutated_bytes_give_an_input_error_or_arrays(file, data, pack):
    try:
        came = read(file, mutated(data, pack, most=4))
    except InputError as error:
        assert str(file) in str(error)
    else:
        assert all(isinstance(value, np.ndarray) for value in came.values())


@given(
    content=st.binary(max_size=300),
    prefix=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", legacy({})[:60]]),
)
def test_random_bytes_are_refused(file, content, prefix):
    with pytest.raises(InputError, match="some-weights"):
        read(file, prefix + content)


@pytest.mark.slow
@pytest.mark.parametrize("as_zip", [True, False])
def test_it_reads_what_torch_writes(file, as_zip):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2).half())
    state = net.state_dict()
    state["shared"] = state["0.weight"][1:, :, ::2].transpose(1, 2)
    state["true"] = torch.tensor([True, False])
    for number, kind in enumerate([torch.float64, torch.int32, torch.int16, torch.int8, torch.uint8]):
        state[f"kind{number}"] = torch.arange(5).to(kind)
    torch.save(state, file, _use_new_zipfile_serialization=as_zip)
    came, wanted = read_state_dict(file), torch.load(file, weights_only=True)
    assert list(came) == list(wanted)
    for name, value in wanted.items():
        assert came[name].dtype == value.numpy().dtype
        np.testing.assert_array_equal(came[name], value.numpy())
    assert np.abs(came["shared"]).min() > 0
