"""The report of an evaluation: a page with pictures, and the shortcut-learning checks on it."""
