"""For all tests: the rows that layers declare are in the table of operations from the start."""

import pytest

import microgradopt.nn  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """Compiled code goes to a folder of the session's, also that of the processes it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROGRADOPT_CACHE_DIR", str(tmp_path_factory.mktemp("machine_code")))
        yield
