"""The durable queue's tables. `gateway.migrations` brings a database to this form."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()


def _text(name: str, length: int = 64, *, needed: bool = True) -> Column[str]:
    return Column(name, String(length), nullable=not needed)


def _time(name: str, *, needed: bool = True) -> Column[float]:
    """Seconds since 1970."""
    return Column(name, Float(53), nullable=not needed)


def _attempts() -> tuple[Column[str], Column[int], Column[float], Column[float], Column[str]]:
    """``state`` is waiting, done or parked."""
    return (
        _text("state", 16),
        Column("attempts", Integer, nullable=False),
        _time("due_at"),
        _time("first_try_at", needed=False),
        Column("problem", Text),
    )


# What was received. ``state`` is received, routed, ignored or parked; ``size`` 0 is erased.
instances = Table(
    "instances",
    METADATA,
    Column("id", Integer, primary_key=True),
    _text("sop_uid"),
    _text("digest"),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    _text("source", 16),
    _text("calling", 16),
    _text("called", 16),
    _time("received_at"),
    _text("state", 16),
    Column("reason", Text),
    _text("rule", needed=False),
    _text("series_uid", needed=False),
    Column("facts", JSON),
    UniqueConstraint("sop_uid", "digest"),
    Index("instances_by_state", "state", "id"),
    Index("instances_by_series", "series_uid"),
)

# What a service is asked: one frame of an image, or a series.
jobs = Table(
    "jobs",
    METADATA,
    Column("id", Integer, primary_key=True),
    _text("unit", 16),
    _text("uid"),
    Column("frame", Integer, nullable=False),
    _text("rule"),
    Column("instance_id", Integer, ForeignKey("instances.id"), nullable=False),
    _text("calling", 16),
    Column("arrivals", Integer, nullable=False),
    _time("last_arrival_at"),
    *_attempts(),
    UniqueConstraint("unit", "uid", "frame", "rule"),
    Index("jobs_by_due_time", "state", "due_at"),
)

# What was answered, once for each key. An empty ``bundle_path`` is erased.
results = Table(
    "results",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("job_id", Integer, ForeignKey("jobs.id"), nullable=False),
    Column("version", Integer, nullable=False),
    _time("created_at"),
    _time("last_arrival_at"),
    Column("bundle_path", Text, nullable=False),
    UniqueConstraint("job_id", "version"),
)

# The DICOM objects of a result; the report comes first.
objects = Table(
    "objects",
    METADATA,
    Column("sop_uid", String(64), primary_key=True),
    Column("result_key", String(64), ForeignKey("results.key"), nullable=False, index=True),
    _text("sop_class"),
    _text("study_uid"),
    _text("series_uid"),
    Column("path", Text, nullable=False),
)

deliveries = Table(
    "deliveries",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("result_key", String(64), ForeignKey("results.key"), nullable=False),
    _text("destination"),
    *_attempts(),
    _time("done_at", needed=False),
    UniqueConstraint("result_key", "destination"),
    Index("deliveries_by_due_time", "destination", "state", "due_at"),
)
