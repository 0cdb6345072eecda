"""What every peer serves: the bytes of images in, their probabilities out."""

from collections.abc import Sequence

import numpy as np

from bench.peers.config import PeerConfig
from bench.sessions import open_session, read_image, run
from contract.manifest import read_manifest

Answer = dict[str, list[float]]


class Classifier:
    """The model under test, in ONNX Runtime."""

    def __init__(self, config: PeerConfig) -> None:
        """Load it, with the threads that the settings ask for."""
        self._spec = read_manifest(config.bundle).preprocessing
        self._session = open_session(
            config.bundle, config.provider, config.settings.intra_op_threads
        )

    def classify(self, files: Sequence[bytes]) -> list[Answer]:
        """Run the model once for all files, at least one."""
        images = np.stack([read_image(file, self._spec) for file in files])
        probabilities = run(self._session, images)
        return [{"probabilities": row.tolist()} for row in probabilities]
