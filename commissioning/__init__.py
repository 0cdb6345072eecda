"""Acceptance testing of a model on a hospital's own labelled images."""
