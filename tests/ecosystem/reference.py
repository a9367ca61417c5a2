"""Run a program on PyTorch itself: reference.py PROGRAM [ARGUMENT ...], for recording results."""

import os
import runpy
import sys

import torch

# The package torchvision describes its compiled operators at import, which fails where they cannot be loaded.
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
