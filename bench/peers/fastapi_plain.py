"""The handler that most people write: FastAPI, a plain function, ONNX Runtime.

Written as FastAPI's pages on request files and on request bodies show it: a ``def`` endpoint, which
FastAPI runs in its thread pool.
"""

from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI, File

from bench.peers.classifier import Answer, Classifier
from bench.peers.config import PeerConfig
from bench.wire import HOST


def create_app() -> FastAPI:
    """Make the application; uvicorn calls this in each of its workers."""
    config = PeerConfig.read()
    classifier = Classifier(config)
    app = FastAPI()

    def predict_body(image: Annotated[bytes, Body(media_type="image/jpeg")]) -> Answer:
        return classifier.classify([image])[0]

    def predict_file(file: Annotated[bytes, File()]) -> Answer:
        return classifier.classify([file])[0]

    app.post("/predict")(predict_body if config.settings.body == "raw" else predict_file)
    return app


def main() -> None:
    """Serve until a signal comes."""
    config = PeerConfig.read()
    uvicorn.run(
        "bench.peers.fastapi_plain:create_app",
        factory=True,
        host=HOST,
        port=config.port,
        workers=config.settings.workers,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
