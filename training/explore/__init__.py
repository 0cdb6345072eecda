"""A look at a data set before it is trained on: what is in it, and what gives the class away."""
