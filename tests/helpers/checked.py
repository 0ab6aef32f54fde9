"""What checks annotations in the test run: beartype, on functions and methods.

A pytree's generated `__init__` is left alone: JAX rebuilds pytrees of tracers, shapes and axis numbers.
"""

from typing import Any

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers have it


def functions(checked: Any) -> Any:
    return checked if checked.__qualname__.endswith("__init__") else _check(checked)
