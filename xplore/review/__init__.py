"""A person's look at a sample of the findings: does each still show what its seed showed?

A page on this machine alone asks one finding after the other, by keyboard; the archive keeps each answer at
once. What the models answer is not shown, so that it sways nobody.
"""

from xplore.review._server import Server
from xplore.review._session import Session, order

__all__ = ["Server", "Session", "order"]
