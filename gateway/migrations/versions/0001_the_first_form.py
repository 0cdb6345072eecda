"""The first form. A new database is made in its latest form, and is marked as such."""

# By date: a queue of an earlier draft is refused and not misread.
revision = "20261130b"
down_revision = None


def upgrade() -> None:
    """Nothing was before."""
