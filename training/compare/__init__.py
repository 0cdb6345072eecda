"""Compare networks and classical learners on one split, to choose among them."""

from training.compare.run import compare

__all__ = ["compare"]
