"""The service on Ray: serving on a cluster, and the scoring of archives."""

import os

# Ray reports its use to its makers unless told otherwise, before it starts a cluster.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
