"""A person's look at a sample of the findings: does each still show what its seed showed?

A page on this machine alone asks one finding after the other, by keyboard; the archive keeps each answer at
once. Where the classes have names a person can read off a picture, it asks what the picture shows, and tells
nothing that would sway the answer: the seed, its label and what the models answer are shown afterwards. Of
others it asks whether what was expected is still right, without what the models answer.
"""

from xplore.report.review._server import Server
from xplore.report.review._session import Population, Session, order, queue

__all__ = ["Population", "Server", "Session", "order", "queue"]
