"""The report of an evaluation: a page with pictures, and the shortcut-learning checks behind it.

A page shows patients' images, so it stays in the workdir, apart from the plots in ``figures`` that
export puts into a bundle.
"""
