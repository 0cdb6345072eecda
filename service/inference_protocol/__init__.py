"""The Open Inference Protocol, version 2, over HTTP: tensors in, the outputs of a graph out.

Source: Open Inference Protocol, HTTP/REST; NVIDIA Triton, extensions for binary tensor data, model
configuration and statistics.
"""
