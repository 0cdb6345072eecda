"""The wire format of the Open Inference Protocol, version 2, over HTTP: read and written, no more.

Source: Open Inference Protocol, HTTP/REST; NVIDIA Triton, binary tensor data extension.
"""
