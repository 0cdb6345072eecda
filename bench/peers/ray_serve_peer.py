"""Ray Serve, written as its pages on HTTP, on batching and on performance tuning show it.

While it runs, Ray's own processes listen on every network interface, which cannot be told
otherwise: leave this peer out (``--only``) where the network is not to be trusted.
"""

import signal
from collections.abc import Sequence

import ray
from ray import serve
from starlette.requests import Request

from bench.peers.classifier import Answer, Classifier
from bench.peers.config import PeerConfig
from bench.wire import HOST

BATCH_WAIT_S = 0.005
# Enough for every connection of the benchmark: the queue is to be in the replicas, not before them.
MAX_ONGOING_REQUESTS = 128


def deployment(config: PeerConfig) -> serve.Application:
    """Make the application."""
    settings = config.settings

    class Model:
        def __init__(self) -> None:
            self._classifier = Classifier(config)

        @serve.batch(max_batch_size=settings.max_batch, batch_wait_timeout_s=BATCH_WAIT_S)
        async def classify(self, files: Sequence[bytes]) -> list[Answer]:
            return self._classifier.classify(files)

        async def __call__(self, request: Request) -> Answer:
            body = await request.body()
            if settings.max_batch > 1:
                answer: Answer = await self.classify(body)
                return answer
            return self._classifier.classify([body])[0]

    options = serve.deployment(
        num_replicas=settings.workers,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        logging_config={"enable_access_log": False},
        ray_actor_options={
            "num_cpus": 1,
            "num_gpus": 1 / settings.workers if config.provider == "cuda" else 0,
        },
    )
    return options(Model).bind()


def main() -> None:
    """Serve until a signal comes."""
    config = PeerConfig.read()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ray.init(
            num_cpus=config.cores,
            num_gpus=1 if config.provider == "cuda" else 0,
            include_dashboard=False,
            logging_level="WARNING",
            _temp_dir=str(config.folder),
        )
        serve.start(http_options={"host": HOST, "port": config.port})
        serve.run(deployment(config), route_prefix="/predict")
        signal.pause()
    except KeyboardInterrupt:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
