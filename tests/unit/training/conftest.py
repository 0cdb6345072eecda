from collections.abc import Sequence

import pytest

# TensorFlow's variables have not yet learnt NumPy 2's ``copy`` argument; Keras copies them so.
KNOWN_WARNING = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.filterwarnings(KNOWN_WARNING))
