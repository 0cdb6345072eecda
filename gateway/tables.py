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
_UID = String(64)

instances = Table(
    "instances",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sop_uid", _UID, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("source", String(16), nullable=False),
    Column("calling", String(16), nullable=False),
    Column("called", String(16), nullable=False),
    Column("received_at", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("rule", String(64)),
    Column("series_uid", _UID),
    Column("facts", JSON),
    UniqueConstraint("sop_uid", "digest", name="one_row_for_each_content"),
    Index("instances_by_state", "state", "id"),
    Index("instances_by_series", "series_uid"),
)

# What a service is asked: one frame of an image, or a series.
jobs = Table(
    "jobs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("unit", String(16), nullable=False),
    Column("uid", _UID, nullable=False),
    Column("frame", Integer, nullable=False),
    Column("rule", String(64), nullable=False),
    Column("instance_id", Integer, ForeignKey("instances.id"), nullable=False),
    Column("calling", String(16), nullable=False),
    Column("arrivals", Integer, nullable=False),
    Column("last_arrival_at", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("first_try_at", Float),
    Column("problem", Text),
    UniqueConstraint("unit", "uid", "frame", "rule", name="one_job_for_each_subject"),
    Index("jobs_by_due_time", "state", "due_at"),
)

# What was answered, once for each key.
results = Table(
    "results",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("job_id", Integer, ForeignKey("jobs.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("last_arrival_at", Float, nullable=False),
    Column("bundle_path", Text, nullable=False),
    UniqueConstraint("job_id", "version", name="one_result_for_each_version"),
)

# The DICOM objects of a result.
objects = Table(
    "objects",
    METADATA,
    Column("sop_uid", _UID, primary_key=True),
    Column("result_key", String(64), ForeignKey("results.key"), nullable=False, index=True),
    Column("sop_class", _UID, nullable=False),
    Column("study_uid", _UID, nullable=False),
    Column("series_uid", _UID, nullable=False),
    Column("path", Text, nullable=False),
)

deliveries = Table(
    "deliveries",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("result_key", String(64), ForeignKey("results.key"), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("first_try_at", Float),
    Column("done_at", Float),
    Column("problem", Text),
    UniqueConstraint("result_key", "destination", name="one_delivery_for_each_destination"),
    Index("deliveries_by_due_time", "destination", "state", "due_at"),
)
