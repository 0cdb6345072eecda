"""The Open Inference Protocol, version 2, over HTTP: tensors in, the outputs of a graph out."""
