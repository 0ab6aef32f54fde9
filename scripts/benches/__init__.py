"""The benchmarks of `scripts/bench.py`, one a file.

Each has `TITLE`, the heading of its section in docs/results/performance.md; `arguments(parser)`;
`measure(options)`, its figures with `ratio`, the one that has a bound; and `section(figures)`, the same in
words.
"""
