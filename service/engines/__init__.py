"""Processes that read images and run models on the CPU, each with an interpreter of its own.

Threads of one process would wait for each other's lock, and a file that crashes a decoder would
take the service down with it.
"""
