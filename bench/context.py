"""What every measurement of one run needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.images import ImageSet
from bench.peers.config import PeerSettings
from bench.plan import Plan
from bench.servers import Server, free_port
from bench.targets import Conditions, Target, request


@dataclass(frozen=True, slots=True)
class Context:
    """The conditions, the extent and the images; ``say`` tells whoever waits what is going on."""

    conditions: Conditions
    plan: Plan
    images: ImageSet
    say: Callable[[str], None]

    def requests(self, settings: PeerSettings) -> list[bytes]:
        """Every image as a request."""
        return [request(settings.body, image) for image in self.images.files]

    @contextmanager
    def running(self, target: Target, settings: PeerSettings) -> Iterator[Server]:
        """Start a server; it is stopped afterwards, whatever happens."""
        port = free_port()
        server = Server(target.start(self.conditions, settings, port), port)
        try:
            yield server
        finally:
            server.stop()
