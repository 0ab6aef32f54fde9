"""`python -m xplore.cli`."""

from xplore.cli import main

main()
