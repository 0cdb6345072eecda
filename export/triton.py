"""config.pbtxt: what NVIDIA Triton needs, beside the graphs, to serve a model of the repository.

It lies beside the versions of a model and describes the newest one, which is what both Triton and
this project's service serve where no version is named. The service itself never reads it.

Source: NVIDIA Triton, model configuration and its schema, model_config.proto.
"""

from pathlib import Path

from contract.manifest import Signature, TensorSpec

CONFIG_FILE = "config.pbtxt"
MAX_BATCH_SIZE = 32
_DATA_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


def triton_config(name: str, signature: Signature) -> str:
    """Describe a model to Triton, in the text format of protocol buffers.

    Its priorities are those of this project's service: 1 is stat, 2 is routine and the default.
    """
    return (
        f'name: "{name}"\n'
        'platform: "onnxruntime_onnx"\n'
        f"max_batch_size: {MAX_BATCH_SIZE}\n"
        f"{_tensors('input', signature.inputs)}"
        f"{_tensors('output', signature.outputs)}"
        "version_policy { latest { num_versions: 1 } }\n"
        "dynamic_batching {\n"
        f"  preferred_batch_size: [4, 8, 16, {MAX_BATCH_SIZE}]\n"
        "  priority_levels: 2\n"
        "  default_priority_level: 2\n"
        "}\n"
    )


def write_triton_config(bundle: Path, signature: Signature) -> None:
    """Describe a model by one of its versions; where there is a newer one, nothing changes."""
    if bundle == newest_version(bundle.parent):
        (bundle.parent / CONFIG_FILE).write_text(triton_config(bundle.parent.name, signature))


def newest_version(folder: Path) -> Path | None:
    """The bundle with the highest version of a model; None where there is none."""
    bundles = [path for path in folder.glob("*") if path.is_dir() and path.name.isdecimal()]
    return max(bundles, key=lambda path: int(path.name), default=None)


def _tensors(kind: str, specs: tuple[TensorSpec, ...]) -> str:
    text = ""
    for spec in specs:
        # Triton leaves the batch axis out, and wants a dimension beside it all the same.
        _, *sizes = spec.shape
        dims = f"dims: {sizes}" if sizes else "dims: [1] reshape { shape: [] }"
        text += f'{kind} {{ name: "{spec.name}" data_type: {_DATA_TYPES[spec.dtype]} {dims} }}\n'
    return text
