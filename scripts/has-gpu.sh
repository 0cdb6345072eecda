#!/usr/bin/env bash
# Succeeds where an NVIDIA GPU and its driver are there.
command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU '
