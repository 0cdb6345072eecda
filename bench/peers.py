"""The peers: the same model behind a FastAPI handler and behind LitServe.

As documented, a peer decodes with Pillow or OpenCV in full, as its users do, and has its default
settings. With this project's decode it has a worker for each core, too. One JSON object in the
environment variable BENCH_PEER says which. Run as ``python -m bench.peers``, which is FastAPI.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import onnxruntime
import uvicorn
from fastapi import Body, FastAPI, File
from numpy.typing import NDArray
from pydantic import BaseModel

from bench.load import HOST
from contract.manifest import MODEL_FILE, read_manifest
from contract.preprocessing import preprocess
from contract.radiograph import decode

VARIABLE = "BENCH_PEER"
Decoder = Literal["pillow", "opencv", "ours"]
Answer = dict[str, list[float]]


class Peer(BaseModel):
    """What a peer is told; ``threads`` is within one run of the model, 0 the runtime's default."""

    decoder: Decoder
    body: Literal["raw", "multipart"]
    bundle: Path
    port: int
    workers: int = 1
    threads: int = 0


class Classifier:
    """The bytes of an image in, its probabilities out."""

    def __init__(self, peer: Peer) -> None:
        """Load the model."""
        spec = read_manifest(peer.bundle).preprocessing
        height, width = spec.size
        self._read: Callable[[bytes], NDArray[np.uint8]] = {
            "pillow": lambda data: _with_pillow(data, width, height),
            "opencv": lambda data: _with_opencv(data, width, height),
            "ours": lambda data: preprocess(decode(data, at_least=spec.size), spec),
        }[peer.decoder]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = peer.threads
        self._session = onnxruntime.InferenceSession(
            peer.bundle / MODEL_FILE, options, providers=["CPUExecutionProvider"]
        )

    def classify(self, data: bytes) -> Answer:
        """Decode, resize and run."""
        [rows] = self._session.run(["probabilities"], {"image": self._read(data)[np.newaxis]})
        return {"probabilities": rows[0].tolist()}


def _with_pillow(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L").resize((width, height)))[..., np.newaxis]


def _with_opencv(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    resized: NDArray[np.uint8] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return resized[..., np.newaxis]


def create_app() -> FastAPI:
    """A ``def`` endpoint, as FastAPI's pages on request bodies and files show it."""
    peer = told()
    classifier = Classifier(peer)
    app = FastAPI()

    def predict_body(image: Annotated[bytes, Body(media_type="image/jpeg")]) -> Answer:
        return classifier.classify(image)

    def predict_file(file: Annotated[bytes, File()]) -> Answer:
        return classifier.classify(file)

    app.post("/predict")(predict_body if peer.body == "raw" else predict_file)
    return app


def told() -> Peer:
    """What this process is to be."""
    return Peer.model_validate_json(os.environ[VARIABLE])


if __name__ == "__main__":
    peer = told()
    app = "bench.peers:create_app"
    where = {"host": HOST, "port": peer.port, "workers": peer.workers}
    uvicorn.run(app, factory=True, log_level="warning", **where)
