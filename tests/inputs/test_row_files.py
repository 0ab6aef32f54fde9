"""A row's bytes hold the row, and nothing else is read from them."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from laws.parts import examples
from mutation import mutated

from xplore._util.errors import InputError
from xplore.inputs.encoding import Rows, encoding_of
from xplore.inputs.media import NPY, from_npy, to_npy

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
rows = arrays.arrays(np.float32, st.integers(0, 40), elements=finite)


@examples(100)
@given(rows)
def test_a_row_survives_and_numpy_reads_it_too(row):
    data = to_npy(row)
    np.testing.assert_array_equal(from_npy(data), row)
    np.testing.assert_array_equal(np.load(io.BytesIO(data)), row)
    assert encoding_of(NPY).unpack(data).tobytes() == Rows().pack(row)[-row.nbytes or len(data) :]


@examples(300)
@given(rows, st.data())
def test_mutated_bytes_are_a_row_or_an_input_error(row, data):
    stored = mutated(data, to_npy(row), 4)
    try:
        read = from_npy(stored)
    except InputError as error:
        assert "a stored row" in str(error)
    else:
        assert read.dtype == np.float32 and read.ndim == 1 and np.isfinite(read).all()


@pytest.mark.parametrize("value", [np.array([object()], object), np.float64([1]), np.float32([[1]])])
def test_other_arrays_are_refused_unread(value):
    buffer = io.BytesIO()
    np.save(buffer, value)
    with pytest.raises(InputError, match="float32"):
        from_npy(buffer.getvalue())


def test_whole_numbers_are_rounded_and_others_stay():
    encoding = Rows((True, False), (0, 0))
    stored = encoding.encode(jnp.array([[1.6, 1.6], [2.5, 0.1]]))
    assert np.asarray(stored).tolist() == [[2.0, np.float32(1.6)], [2.0, np.float32(0.1)]]
    np.testing.assert_array_equal(encoding.encode(encoding.decode(stored)), stored)
    with pytest.raises(InputError, match="image/png or application/x-npy"):
        encoding_of("text/html")
