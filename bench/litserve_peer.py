"""LitServe, written as its pages on images show it. Run as ``python -m bench.litserve_peer``."""

from typing import Annotated

import litserve
from fastapi import Body, Request

from bench.load import HOST
from bench.peers import Answer, Classifier, told


class Form(litserve.LitAPI):
    """Takes the image as a part of a form."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - of LitServe's interface
        """Load the model; called in each worker."""
        self._classifier = Classifier(told())

    def decode_request(self, request: Request) -> bytes:
        """Take the file out of the form."""
        data: bytes = request["file"].file.read()
        return data

    def predict(self, x: bytes) -> Answer:
        """Decode and classify."""
        return self._classifier.classify(x)

    def encode_response(self, output: Answer) -> Answer:
        """It is JSON already."""
        return output


class Raw(Form):
    """Takes the image as the whole body."""

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> bytes:
        """The body is the file."""
        return request


if __name__ == "__main__":
    peer = told()
    server = litserve.LitServer(
        (Raw if peer.body == "raw" else Form)(), accelerator="cpu", workers_per_device=peer.workers
    )
    server.run(host=HOST, port=peer.port, log_level="warning", generate_client_file=False)
