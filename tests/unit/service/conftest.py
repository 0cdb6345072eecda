from collections.abc import Iterator

import pytest

from service.executors import PriorityExecutor


@pytest.fixture
def executor() -> Iterator[PriorityExecutor]:
    """One thread, which is named test-0."""
    made = PriorityExecutor("test", 1)
    yield made
    made.close()
