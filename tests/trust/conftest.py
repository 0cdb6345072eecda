from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, select, text

from service.audit import TRAIL
from tests.gateway.stack import Database, database

_numbers = count()


def fresh_database(server: Database) -> str:
    """The address of a new, empty database."""
    name = f"audit_{next(_numbers)}"
    engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server.url).set(database=name).render_as_string(hide_password=False)


def change(url: str, statement: object) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(statement)  # type: ignore[call-overload]
    engine.dispose()


def rows(url: str) -> list[dict[str, object]]:
    """Every record of a trail, each chain in its order."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(select(TRAIL).order_by(TRAIL.c.chain, TRAIL.c.number))
        result = [dict(row) for row in found.mappings()]
    engine.dispose()
    return result


def answers(url: str) -> list[object]:
    return [row["answer_id"] for row in rows(url) if row["action"] == "predict"]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("postgres") / "log") as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def audit_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'audit.db'}"
    return fresh_database(request.getfixturevalue("postgres"))
