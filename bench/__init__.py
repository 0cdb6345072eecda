"""The benchmark: the in-process limit, this service and its peers, in one run on one machine."""
