"""Flask and ``keras.predict`` behind gunicorn: how most projects of the field are deployed.

Written as Flask's page on file uploads and Keras's on prediction show it.
"""

import keras
import numpy as np
from flask import Flask, request

from bench.peers.classifier import Answer
from bench.peers.config import PeerConfig
from bench.sessions import read_image
from contract.manifest import read_manifest
from training.models import with_serving_outputs


def create_app() -> Flask:
    """Make the application; gunicorn calls this in each of its workers."""
    config = PeerConfig.read()
    manifest = read_manifest(config.bundle)
    trained = keras.saving.load_model(config.keras_model, compile=False)
    model = with_serving_outputs(trained, manifest.temperature)
    app = Flask(__name__)

    @app.post("/predict")
    def predict() -> Answer:
        data = request.files["file"].read()
        image = read_image(data, manifest.preprocessing)[np.newaxis]
        outputs = model.predict(image, verbose=0)
        return {"probabilities": outputs["probabilities"][0].tolist()}

    return app
