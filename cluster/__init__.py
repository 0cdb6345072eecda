"""The service on Ray: serving on a cluster, and the scoring of archives."""
