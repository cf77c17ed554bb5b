"""For all tests: the rows that layers declare are in the table of operations from the start."""

import microgradopt.nn  # noqa: F401
