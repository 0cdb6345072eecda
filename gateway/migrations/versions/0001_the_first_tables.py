"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "instances",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sop_uid", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("calling", sa.String(16), nullable=False),
        sa.Column("called", sa.String(16), nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("rule", sa.String(64)),
        sa.Column("series_uid", sa.String(64)),
        sa.Column("facts", sa.JSON),
        sa.UniqueConstraint("sop_uid", "digest", name="one_row_for_each_content"),
    )
    op.create_index("instances_by_state", "instances", ["state", "id"])
    op.create_index("instances_by_series", "instances", ["series_uid"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("frame", sa.Integer, nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("instance_id", sa.Integer, sa.ForeignKey("instances.id"), nullable=False),
        sa.Column("calling", sa.String(16), nullable=False),
        sa.Column("arrivals", sa.Integer, nullable=False),
        sa.Column("last_arrival_at", sa.Float, nullable=False),
        *_attempts(),
        sa.UniqueConstraint("unit", "uid", "frame", "rule", name="one_job_for_each_subject"),
    )
    op.create_index("jobs_by_due_time", "jobs", ["state", "due_at"])
    op.create_table(
        "results",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("last_arrival_at", sa.Float, nullable=False),
        sa.Column("bundle_path", sa.Text, nullable=False),
        sa.UniqueConstraint("job_id", "version", name="one_result_for_each_version"),
    )
    op.create_table(
        "objects",
        sa.Column("sop_uid", sa.String(64), primary_key=True),
        sa.Column("result_key", sa.String(64), sa.ForeignKey("results.key"), nullable=False),
        sa.Column("sop_class", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
    )
    op.create_index("ix_objects_result_key", "objects", ["result_key"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("result_key", sa.String(64), sa.ForeignKey("results.key"), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        *_attempts(),
        sa.Column("done_at", sa.Float),
        sa.UniqueConstraint("result_key", "destination", name="one_delivery_for_each_destination"),
    )
    op.create_index("deliveries_by_due_time", "deliveries", ["destination", "state", "due_at"])


def _attempts() -> list[sa.Column]:
    return [
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("first_try_at", sa.Float),
        sa.Column("problem", sa.Text),
    ]
