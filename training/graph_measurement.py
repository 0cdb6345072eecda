"""onnx.json: what a trained network costs once it is exported. Written by export, read here."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.manifest import sha256_digest
from training.workdir import Workdir

GRAPH_MEASUREMENT = "onnx.json"


class GraphMeasurement(BaseModel):
    """The size and the speed of a network's graph.

    ``ms_per_image`` is the median time of ONNX Runtime for one image on one thread of the CPU.
    ``model_digest`` names the exact model.keras that the graph was made from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_digest: str
    parameters: int = Field(gt=0)
    size_bytes: int = Field(gt=0)
    ms_per_image: float = Field(gt=0)
    runtime: str


def model_digest(workdir: Path) -> str:
    """The digest of a workdir's trained model.

    Raises:
        OSError: There is none.
    """
    return sha256_digest(Workdir(workdir).model.read_bytes())


def read_graph_measurement(workdir: Path) -> GraphMeasurement | None:
    """What was measured of a workdir's model, None where that was never done or is out of date."""
    try:
        content = (workdir / GRAPH_MEASUREMENT).read_bytes()
        found = GraphMeasurement.model_validate_json(content)
        return found if found.model_digest == model_digest(workdir) else None
    except (OSError, ValidationError):
        return None
