import re

import pytest

from contract import errors
from contract.errors import ContractError


def subclasses(kind: type[ContractError]) -> list[type[ContractError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in subclasses(child))]


def drawn_tree() -> dict[str, str]:
    """Read the tree in the module's docstring: class name to the name of its base."""
    tree = (errors.__doc__ or "").split("\n\n")[1]
    path: list[str] = []
    bases = {}
    for branches, name in re.findall(r"^([│├└─ ]*)(\w+)", tree, re.MULTILINE):
        depth = len(branches) // 4
        path = [*path[:depth], name]
        bases[name] = path[depth - 1] if depth else "Exception"
    return bases


@pytest.mark.parametrize("kind", subclasses(ContractError))
def test_every_error_stands_in_the_drawn_tree(kind: type[ContractError]) -> None:
    assert drawn_tree()[kind.__name__] == kind.__bases__[0].__name__


def test_the_drawn_tree_has_no_error_that_does_not_exist() -> None:
    assert set(drawn_tree()) == {kind.__name__ for kind in subclasses(ContractError)}
