"""How unlike its training images an image is: ``ood_score``, an output of the served graph.

A network answers on anything, a cat or a blank page, and often with confidence. What it has learnt
to look at cannot say that an image is no chest image, so the score looks at the image as well.
"""
