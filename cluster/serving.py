"""The service as a Ray Serve deployment: ``serve run cluster.serving:app`` or the files beside it.

Ray routes, scales and replaces replicas; each is the whole service of ``create_app``, configured
by its PNEUMO_ variables.
"""

from fastapi import FastAPI
from ray import serve

from service.app import create_app
from service.settings import read_settings


def _service() -> FastAPI:
    """Make the application in the replica, with the environment of the replica.

    Ray listens for it, and not on the loopback alone.

    Raises:
        StartError: It asks for no keys, and nobody said that something else guards it.
    """
    settings = read_settings(host="0.0.0.0")  # noqa: S104 - where Ray listens
    settings.check_exposure()
    return create_app(settings)


@serve.deployment(
    # What is in flight in a replica is what its queue and its cores have: Ray scales by it.
    autoscaling_config={"min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 8},
    # Less than a replica's queue takes by default: what it would refuse waits in Ray.
    max_ongoing_requests=32,
    graceful_shutdown_timeout_s=40,
    ray_actor_options={"num_cpus": 1},
)
@serve.ingress(_service)
class Pneumoscope:
    """One replica. ``serve.yaml`` sets its CPUs, or a fraction of a GPU."""


app = Pneumoscope.bind()
