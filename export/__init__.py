"""From a trained Keras model to a bundle that the service loads."""
