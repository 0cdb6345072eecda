"""From a data set to a trained, calibrated and evaluated Keras model in a workdir."""
