"""The first form. A new database is made in its latest form, and is marked as such."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing was before."""
