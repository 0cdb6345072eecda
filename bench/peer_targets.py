"""The peers: how each is started, and which of its settings are worth trying."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from bench.peers.config import PeerConfig, PeerSettings
from bench.servers import ServerCommand
from bench.targets import REPOSITORY, Conditions, Target
from bench.wire import HOST

Arguments = Callable[[PeerConfig], tuple[str, ...]]


def peers(cores: int) -> tuple[Target, ...]:
    """The peers, with the settings that are worth trying on so many cores."""
    return (
        _peer("fastapi", "FastAPI handler", "fastapi", _fastapi(cores), _python("fastapi_plain")),
        _peer("litserve", "LitServe", "litserve", _litserve(cores), _python("litserve_peer")),
        _peer("bentoml", "BentoML", "bentoml", _bentoml(cores), _bentoml_command),
        _peer("ray-serve", "Ray Serve", "ray", _ray(cores), _python("ray_serve_peer")),
        _peer(
            "flask-keras", "Flask + keras.predict", "gunicorn", _flask(cores), _gunicorn_command,
            needs_keras_model=True,
        ),
    )  # fmt: skip


def _fastapi(cores: int) -> tuple[PeerSettings, ...]:
    return (
        PeerSettings(intra_op_threads=0),
        PeerSettings(),
        PeerSettings(workers=cores),
        PeerSettings(body="multipart"),
        PeerSettings(body="multipart", workers=cores),
    )


def _litserve(cores: int) -> tuple[PeerSettings, ...]:
    return (
        PeerSettings(workers=cores, max_batch=8),
        PeerSettings(workers=cores),
        PeerSettings(max_batch=8, intra_op_threads=0),
        PeerSettings(body="multipart", workers=cores, max_batch=8),
    )


def _bentoml(cores: int) -> tuple[PeerSettings, ...]:
    return (
        PeerSettings(workers=cores),
        PeerSettings(threads=cores),
        PeerSettings(workers=cores, threads=2),
        PeerSettings(body="multipart", workers=cores, max_batch=8),
    )


def _ray(cores: int) -> tuple[PeerSettings, ...]:
    fast = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    return (
        PeerSettings(workers=cores, max_batch=8),
        PeerSettings(workers=cores, max_batch=8, environment=fast),
        PeerSettings(workers=cores, environment=fast),
        PeerSettings(workers=cores, environment={**fast, "RAY_SERVE_ENABLE_HA_PROXY": "1"}),
    )


def _flask(cores: int) -> tuple[PeerSettings, ...]:
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1"}
    many = PeerSettings(body="multipart", workers=cores, threads=4, intra_op_threads=0)
    return (
        PeerSettings(body="multipart", threads=8, intra_op_threads=0),
        many,
        many.model_copy(update={"intra_op_threads": 1, "environment": one_thread}),
    )


def _peer(
    key: str, title: str, module: str, candidates: tuple[PeerSettings, ...],
    arguments: Arguments, *, needs_keras_model: bool = False,
) -> Target:  # fmt: skip
    def start(conditions: Conditions, settings: PeerSettings, port: int) -> ServerCommand:
        config = PeerConfig(
            port=port,
            bundle=conditions.bundle,
            provider=conditions.provider,
            cores=conditions.cores,
            # Its path must be short: sockets lie in it, and a socket's path has about 100 bytes.
            folder=Path(mkdtemp(prefix="", dir=conditions.scratch)),
            keras_model=conditions.keras_model,
            settings=settings,
        )
        environment = {**_at_home(config.folder), **config.environment()}
        return ServerCommand(arguments(config), REPOSITORY, environment)

    return Target(key, title, "peer", module, candidates, start, needs_keras_model)


def _at_home(folder: Path) -> dict[str, str]:
    """Keep what peers write in one folder, and keep them from reporting to their makers."""
    return {
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "haproxy.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "haproxy-state"),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _python(module: str) -> Arguments:
    return lambda _: (sys.executable, "-m", f"bench.peers.{module}")


def _bentoml_command(config: PeerConfig) -> tuple[str, ...]:
    service = "Batched" if config.settings.max_batch > 1 else "Single"
    return (
        sys.executable, "-m", "bentoml", "serve", f"bench.peers.bentoml_peer:{service}",
        "--host", HOST, "--port", str(config.port), "--working-dir", str(REPOSITORY),
    )  # fmt: skip


def _gunicorn_command(config: PeerConfig) -> tuple[str, ...]:
    return (
        sys.executable, "-m", "gunicorn", "bench.peers.flask_keras:create_app()",
        "--bind", f"{HOST}:{config.port}", "--worker-class", "gthread",
        "--workers", str(config.settings.workers), "--threads", str(config.settings.threads),
        "--log-level", "warning",
    )  # fmt: skip
