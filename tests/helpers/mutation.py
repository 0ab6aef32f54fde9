"""Files as damage leaves them."""

from __future__ import annotations

from hypothesis import strategies as st


def mutated(data: st.DataObject, content: bytes, most: int, *, cut: bool = True) -> bytes:
    """Up to `most` bytes changed, and the end cut off somewhere."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, most))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed[: data.draw(st.integers(0, len(changed)))] if cut else changed)
