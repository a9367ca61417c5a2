"""torch.cuda: under the interpreter, and its calls of CuPy against a recorder of them.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_cuda_api.py
"""

from types import SimpleNamespace

import pytest

import flowtorch as ft

cuda = ft.cuda


def test_the_interpreter_is_one_device_without_streams_to_wait_for():
    assert cuda.is_available() and cuda.device_count() == 1 and cuda.current_device() == 0
    properties = cuda.get_device_properties()
    assert "interpreter" in properties.name and properties.total_memory > 0
    assert cuda.get_device_capability() == (0, 0) and cuda.get_device_name() == properties.name
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    with cuda.stream(cuda.Stream()) as stream:
        start.record()
        end.record(stream)
        stream.wait_stream(cuda.current_stream())
    assert start.query() and stream.query() and start.elapsed_time(end) >= 0
    with pytest.raises(ValueError, match="enable_timing"):
        cuda.Event().elapsed_time(end)
    free, total = cuda.mem_get_info()
    assert 0 < free <= total and cuda.memory_allocated() == 0
    with pytest.raises(RuntimeError, match="need a GPU"):
        cuda.CUDAGraph()


def test_seeds_and_states():
    cuda.manual_seed(5)
    assert cuda.initial_seed() == 5
    state = cuda.get_rng_state()
    first = ft.rand(4, device="cuda")
    cuda.set_rng_state(state)
    assert (ft.rand(4, device="cuda") == first).all()
    cuda.set_rng_state_all(cuda.get_rng_state_all())


class Recorder:
    """The part of CuPy that torch.cuda calls, noting the calls."""

    __name__ = "cupy"

    def __init__(self):
        self.calls = calls = []

        def noting(name, result=None):
            return lambda *args, **kwargs: (calls.append((name, *args)), result)[1]

        class Stream:
            def __init__(self, non_blocking=False, ptr=7):
                self.ptr, self.done = ptr, True

            def begin_capture(self):
                calls.append("begin")

            def end_capture(self):
                calls.append("end")
                return SimpleNamespace(launch=lambda stream: calls.append(("launch", stream.ptr)))

            def __enter__(self):
                calls.append("enter")
                recorder.current = self

            def __exit__(self, *exc):
                recorder.current = Stream.null
                calls.append("exit")

            wait_event = synchronize = noting("wait")

        class Event:
            def __init__(self, block=False, disable_timing=True):
                self.done, self.timing = True, not disable_timing

            def record(self, stream=None):
                calls.append(("record", None if stream is None else stream.ptr))

            def synchronize(self):
                calls.append("event")

        recorder = self
        Stream.null = self.current = Stream(ptr=0)
        pool = SimpleNamespace(used_bytes=lambda: 100, total_bytes=lambda: 300, free_all_blocks=noting("free"))
        runtime = SimpleNamespace(
            getDevice=lambda: 0, deviceSynchronize=noting("sync"), memGetInfo=lambda: (1, 2),
            getDeviceProperties=lambda index: {
                "name": b"A GPU", "major": 9, "minor": 0, "totalGlobalMem": 80, "warpSize": 32, "l2CacheSize": 50,
                "multiProcessorCount": 132, "sharedMemPerBlock": 48, "maxThreadsPerMultiProcessor": 2048,
            },
        )  # fmt: skip
        self.get_default_memory_pool = lambda: pool
        self.cuda = SimpleNamespace(
            runtime=runtime, Stream=Stream, Event=Event, get_current_stream=lambda: self.current,
            get_elapsed_time=lambda a, b: 2.5, get_allocator=lambda: "usual", set_allocator=noting("allocator"),
            MemoryPool=lambda: SimpleNamespace(malloc="own", used_bytes=lambda: 10, total_bytes=lambda: 20),
        )  # fmt: skip
        self.empty = lambda shape, dtype: None


@pytest.fixture
def recorder(monkeypatch):
    from flowtorch.array import cuda as arrays

    found = Recorder()
    monkeypatch.setattr(arrays, "array_module", lambda: found)
    monkeypatch.setattr(arrays, "faults", SimpleNamespace(check=lambda: found.calls.append("faults")))
    return found


def test_questions_are_answered_by_cupy(recorder):
    assert cuda.get_device_name() == "A GPU" and cuda.get_device_capability() == (9, 0)
    assert cuda.get_device_properties().multi_processor_count == 132
    assert cuda.memory_allocated() == 100 and cuda.memory_reserved() == 300 and cuda.mem_get_info() == (1, 2)
    assert cuda.max_memory_allocated() == 100 and cuda.memory_stats()["reserved_bytes.all.peak"] == 300
    cuda.reset_peak_memory_stats()
    cuda.empty_cache()
    assert recorder.calls == [("free",)]


def test_waiting_looks_for_faults(recorder):
    cuda.synchronize()
    assert recorder.calls == [("sync",), "faults"]


def test_streams_and_events(recorder):
    stream = cuda.Stream()
    assert stream.cuda_stream == 7 and cuda.default_stream().cuda_stream == 0
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    with cuda.stream(stream):
        assert cuda.current_stream() == stream
        start.record()
        end.record(stream)
    assert recorder.calls == ["enter", ("record", None), ("record", 7), "exit"]
    assert start.elapsed_time(end) == 2.5


def test_a_graph_is_captured_with_memory_of_its_own_and_replayed(recorder):
    graph = cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="without a preceding"):
        graph.replay()
    with cuda.graph(graph):
        pass
    graph.replay()
    assert recorder.calls == [
        ("sync",), "faults", ("free",), "enter", "begin", ("allocator", "own"), "end", ("allocator", "usual"), "exit",
        ("launch", 0),
    ]  # fmt: skip
    assert cuda.memory_allocated() == 110 and cuda.max_memory_reserved() == 320  # the graph's pool counts
    graph.reset()
    assert cuda.memory_allocated() == 100
