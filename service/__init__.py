"""The HTTP service: FastAPI and ONNX Runtime; it never sees a training framework."""

__version__ = "0.1.0"
