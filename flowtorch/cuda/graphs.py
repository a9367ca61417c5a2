"""CUDA graphs: what a stream was given once, replayed as a whole.

Under Triton's interpreter there is nothing to capture; making a graph there says so. Everything that a captured part
uses must exist before: run it once first, so that its kernels are compiled and loaded.
"""

from __future__ import annotations

from typing import Any, NoReturn

from flowtorch import cuda
from flowtorch.array import cuda as memory

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

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Start capturing what the current stream is given; it may not be the default stream."""
        module = _cupy()
        self.stream = module.cuda.get_current_stream()
        # a pool of its own: memory that the graph uses is not given to anybody else between replays
        self.memory = pool or module.cuda.MemoryPool()
        self._allocator = module.cuda.get_allocator()
        module.cuda.set_allocator(self.memory.malloc)
        memory.capture.active = True
        self.stream.begin_capture()

    def capture_end(self) -> None:
        """Stop capturing."""
        try:
            self.native = self.stream.end_capture()
        finally:
            memory.capture.active = False
            _cupy().cuda.set_allocator(self._allocator)

    def replay(self) -> None:
        """Run the captured kernels again, on the current stream."""
        if self.native is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
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
        self.stream.__enter__()
        self.graph.capture_begin(self.pool)

    def __exit__(self, *exc: object) -> None:
        self.graph.capture_end()
        self.stream.__exit__(*exc)


def graph_pool_handle() -> Any:
    """Memory that several graphs may share."""
    return _cupy().cuda.MemoryPool()


def make_graphed_callables(*args: Any, **kwargs: Any) -> NoReturn:
    """Functions that replay a graph: not supported; capture with ``torch.cuda.graph``."""
    raise NotImplementedError("torch.cuda.make_graphed_callables is not supported; capture with torch.cuda.graph")
