"""CUDA graphs: what a stream was given once, replayed as a whole.

Everything that a captured part uses must exist before: run it once first, so that its kernels are compiled and loaded.
Random numbers go on from replay to replay, as they do from call to call. Under Triton's interpreter there is nothing to
capture; making a graph there says so.
"""

from __future__ import annotations

import gc
from typing import Any, NoReturn

import numpy as np

from flowtorch import cuda
from flowtorch.array import cuda as memory
from flowtorch.array import philox

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "make_graphed_callables"]


def _cupy() -> Any:
    module = cuda.cupy()
    if module is None:
        raise RuntimeError("CUDA graphs need a GPU: Triton's interpreter has no streams to capture")
    return module


class CUDAGraph:
    """A captured sequence of kernels. Tensors that it reads and writes keep their memory as long as it lives."""

    def __init__(self, keep_graph: bool = False) -> None:
        _cupy()
        self.stream: Any = None
        self.native: Any = None
        self.memory: Any = None
        self.generators: dict[Any, tuple[Any, int]] = {}
        """Of each generator: where a replay finds its seed and offset, and how many draws a replay makes."""
        self.register_generator_state(philox.default_generator(cuda.current_device()))

    def register_generator_state(self, generator: Any) -> None:
        """Let a generator's random numbers differ from replay to replay; the default generator's do."""
        self.generators.setdefault(generator, (memory.empty((2,), np.dtype(np.int64)), 0))

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Start capturing what the current stream is given; it may not be the default stream."""
        module = _cupy()
        if memory.capture.active:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing: one graph at a time")
        stream = module.cuda.get_current_stream()
        if not stream.ptr:
            raise RuntimeError("CUDA graphs must be captured on a non-default stream: use torch.cuda.graph, or "
                               "torch.cuda.stream(torch.cuda.Stream())")
        with cuda._translating():
            stream.begin_capture()
        self.stream = stream
        # a pool of its own: memory that the graph uses is not given to anybody else between replays
        self.memory = pool or module.cuda.MemoryPool()
        self.before = module.cuda.get_allocator(), {g: g.begin_capture(at) for g, (at, _) in self.generators.items()}
        module.cuda.set_allocator(self.memory.malloc)
        memory.capture.active = True

    def capture_end(self) -> None:
        """Stop capturing."""
        if not memory.capture.active or self.stream is None:
            raise RuntimeError("CUDAGraph.capture_end: nothing is being captured")
        stream, self.stream = self.stream, None
        try:
            with cuda._translating():
                self.native = stream.end_capture()
        finally:
            memory.capture.active = False
            allocator, offsets = self.before
            _cupy().cuda.set_allocator(allocator)
            for generator, before in offsets.items():
                self.generators[generator] = self.generators[generator][0], generator.end_capture(before)
        memory.peak.graphs.add(self)

    def replay(self) -> None:
        """Run the captured kernels again, on the current stream."""
        if self.native is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        for generator, (state, count) in self.generators.items():
            if count:
                generator.replay(state, count)
        with cuda._translating():
            self.native.launch(_cupy().cuda.get_current_stream())

    def pool(self) -> Any:
        """The memory that the graph uses, which another graph may share."""
        return self.memory

    def reset(self) -> None:
        """Forget what was captured."""
        self.native = self.memory = None


class graph:
    """Capture what runs inside, on a stream of its own."""

    def __init__(self, cuda_graph: CUDAGraph, pool: Any = None, stream: Any = None,
                 capture_error_mode: str = "global") -> None:  # fmt: skip
        self.graph, self.pool = cuda_graph, pool
        self.stream = cuda.Stream() if stream is None else stream

    def __enter__(self) -> None:
        cuda.synchronize()
        gc.collect()  # memory given back in the middle of a capture would go to the wrong pool
        cuda.empty_cache()
        self.stream.__enter__()
        self.graph.capture_begin(self.pool)

    def __exit__(self, *exc: object) -> None:
        try:
            self.graph.capture_end()
        finally:
            self.stream.__exit__(*exc)


def graph_pool_handle() -> Any:
    """Memory that several graphs may share."""
    return _cupy().cuda.MemoryPool()


def make_graphed_callables(*args: Any, **kwargs: Any) -> NoReturn:
    """Functions that replay a graph: not supported; capture with ``torch.cuda.graph``."""
    raise NotImplementedError("torch.cuda.make_graphed_callables is not supported; capture with torch.cuda.graph")
