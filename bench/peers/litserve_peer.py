"""LitServe, written as its pages on images and on batching show it."""

from typing import Annotated

import litserve
from fastapi import Body, Request

from bench.peers.classifier import Answer, Classifier
from bench.peers.config import PeerConfig
from bench.wire import HOST

BATCH_TIMEOUT_S = 0.005


class Form(litserve.LitAPI):
    """Takes the image as a part of a form."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - of LitServe's interface
        """Load the model; called in each worker."""
        self._classifier = Classifier(PeerConfig.read())

    def decode_request(self, request: Request) -> bytes:
        """Take the file out of the form."""
        data: bytes = request["file"].file.read()
        return data

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Files of different sizes do not stack; the list is the batch."""
        return inputs

    def predict(self, x: bytes | list[bytes]) -> Answer | list[Answer]:
        """Decode and classify one file, or a batch of them."""
        if isinstance(x, bytes):
            return self._classifier.classify([x])[0]
        return self._classifier.classify(x)

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """One answer per request."""
        return output

    def encode_response(self, output: Answer) -> Answer:
        """It is JSON already."""
        return output


class Raw(Form):
    """Takes the image as the whole body."""

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> bytes:
        """The body is the file."""
        return request


def main() -> None:
    """Serve until a signal comes."""
    config = PeerConfig.read()
    settings = config.settings
    api = (Raw if settings.body == "raw" else Form)(
        max_batch_size=settings.max_batch, batch_timeout=BATCH_TIMEOUT_S
    )
    server = litserve.LitServer(
        api,
        accelerator="cuda" if config.provider == "cuda" else "cpu",
        workers_per_device=settings.workers,
    )
    server.run(
        host=HOST, port=config.port, log_level="warning", generate_client_file=False,
        access_log=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
