"""BentoML, written as its pages on services, input types and adaptive batching show it."""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from bench.peers.classifier import Answer, Classifier
from bench.peers.config import PeerConfig

_CONFIG = PeerConfig.read()
_BATCH_LATENCY_MS = 1000
Jpeg = Annotated[Path, ContentType("image/jpeg")]


@bentoml.service(
    workers=_CONFIG.settings.workers,
    threads=_CONFIG.settings.threads,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
class Single:
    """Takes one image as the whole body."""

    def __init__(self) -> None:
        """Load the model; called in each worker."""
        self._classifier = Classifier(_CONFIG)

    @bentoml.api(route="/predict")
    def predict(self, image: Jpeg, /) -> Answer:
        """Classify one file."""
        return self._classifier.classify([image.read_bytes()])[0]


@bentoml.service(
    workers=_CONFIG.settings.workers,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
class Batched:
    """Takes images as parts of forms, and batches what comes together."""

    def __init__(self) -> None:
        """Load the model; called in each worker."""
        self._classifier = Classifier(_CONFIG)

    @bentoml.api(
        route="/predict",
        batchable=True,
        # BentoML checks it even where this service is not the one that is served.
        max_batch_size=max(2, _CONFIG.settings.max_batch),
        max_latency_ms=_BATCH_LATENCY_MS,
    )
    def predict(self, file: list[Jpeg]) -> list[Answer]:
        """Classify a batch of files."""
        return self._classifier.classify([path.read_bytes() for path in file])
