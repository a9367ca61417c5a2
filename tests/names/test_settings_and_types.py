"""Names of ``torch`` that are no functions of tensors: dtypes, streams, settings, events."""

from __future__ import annotations

import copy
import pickle
import time
from datetime import datetime, timedelta

import pytest
import torch
import torch.monitor
from compared import both

import flowtorch

SMALL = [f"{sign}int{n}" for sign in ("", "u") for n in range(1, 8)]
KINDS = ["cpu", "cuda", "xla", "ipu", "xpu", "mps", "hpu", "mtia", "maia", "meta"]


@pytest.mark.parametrize("name", [
    *SMALL, "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2", "bit", "float32", "float16", "bfloat16", "bool", "int8",
    "uint16", "complex64", "float8_e4m3fn", "float8_e8m0fnu", "float8_e5m2fnuz", "quint8", "qint32", "quint4x2",
    "float4_e2m1fn_x2",
])  # fmt: skip
def test_dtypes(name):
    for what in ("", ".abbr", ".itemsize", ".is_floating_point"):
        expected, found = both(f"torch.{name}{what}")
        assert found == expected
    if name[0] in "iuf" and "bit" not in name:
        expected, found = both(f"torch.{name}.is_signed")
        assert found == expected


@pytest.mark.parametrize("name", ["int3", "bits8", "uint7"])
def test_tensors_of_dtypes_that_numpy_lacks_are_refused(name):
    with pytest.raises(RuntimeError, match=name):
        flowtorch.empty(2, dtype=getattr(flowtorch, name))


@pytest.mark.parametrize("name", [
    "per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric",
    "per_channel_affine_float_qparams",
])  # fmt: skip
def test_schemes_of_quantisation(name):
    expected, found = both(f"torch.{name}, isinstance(torch.{name}, torch.qscheme), torch.qscheme()")
    assert found == expected
    scheme = getattr(flowtorch, name)
    assert pickle.loads(pickle.dumps(scheme)) is scheme
    assert copy.deepcopy(scheme) is scheme


@pytest.mark.parametrize("source", [
    *(f"torch.{kind}{arguments}" for kind in ("Stream", "Event") for arguments in (
        "()", "('cpu')", "(device='meta')", "('cuda')", "(torch.device('cpu'))")),
    "torch.Stream(3)", "torch.Stream(stream_id=5, device_index=0, device_type=0)", "torch.Event(enable_timing=True)",
    *(f"torch.Stream().{what}" for what in (
        "device", "device_index", "device_type", "stream_id", "native_handle", "query()", "synchronize()",
        "record_event()", "wait_event(torch.Event())", "wait_stream(torch.Stream())", "is_capturing()")),
    "torch.Stream() == torch.Stream('cpu')", "hash(torch.Stream()) == hash(torch.Stream('cpu'))",
    *(f"torch.Event().{what}" for what in (
        "device", "event_id", "record()", "query()", "synchronize()", "wait()", "elapsed_time(torch.Event())",
        "ipc_handle()", "from_ipc_handle(torch.device('cpu'), b'')")),
    "isinstance(torch.Stream(), torch.Stream)", "isinstance(1, torch.Event)",
])  # fmt: skip
def test_streams_and_events(source):
    expected, found = both(source)
    assert found == expected


def test_a_stream_is_a_context():
    with flowtorch.Stream("cpu") as stream:
        assert stream.query()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("question", ["torch.is_autocast_enabled({!r})", "torch.get_autocast_dtype({!r})",
                                      "torch.amp.is_autocast_available({!r})"])  # fmt: skip
def test_autocast_of_every_kind_of_device(kind, question):
    expected, found = both(question.format(kind))
    assert found == expected or kind == "meta"


@pytest.mark.parametrize("kind", ["xla", "ipu"])
def test_old_names_of_autocast_settings(kind):
    with pytest.warns(DeprecationWarning, match=f"'{kind}'"):
        before = getattr(flowtorch, f"get_autocast_{kind}_dtype")()
    with pytest.warns(DeprecationWarning):
        getattr(flowtorch, f"set_autocast_{kind}_enabled")(True)
    with pytest.warns(DeprecationWarning):
        assert getattr(flowtorch, f"is_autocast_{kind}_enabled")()
    with pytest.warns(DeprecationWarning):
        getattr(flowtorch, f"set_autocast_{kind}_dtype")(flowtorch.float32)
    assert flowtorch.get_autocast_dtype(kind) is flowtorch.float32
    flowtorch.set_autocast_dtype(kind, before)
    flowtorch.set_autocast_enabled(kind, False)
    assert flowtorch.ones(2, 2).matmul(flowtorch.ones(2, 2)).dtype is flowtorch.float32


@pytest.mark.parametrize("source", [
    "torch.AVG", "torch.SUM", "list(torch.AggregationType.__members__)", "torch.FatalError('x')",
    "torch.has_lapack, torch.has_spectral, torch.has_openmp", "torch.legacy_contiguous_format",
    "torch.init_num_threads()", "torch.prepare_multiprocessing_environment('x')",
    "torch.profiler_allow_cudagraph_cupti_lazy_reinit_cuda12()", "torch.classes.loaded_libraries",
    "torch.classes.a.B", "torch.get_file_path('a', 'b')[-4:]",
    *(f"torch.sym_constrain_range{rest}" for rest in (
        "(3, min=2, max=5)", "(8, min=2, max=5)", "(3)", "(1, min=7, max=5)", "_for_size(3, min=2, max=5)",
        "_for_size(3, min=2, max=2)", "_for_size(1, min=2, max=5)", "_for_size(1.5, min=2, max=5)")),
])  # fmt: skip
def test_answers_about_the_build(source):
    expected, found = both(source)
    assert found == expected


def test_no_library_of_classes_is_loaded():
    with pytest.raises(OSError, match="Could not load this library"):
        flowtorch.classes.load_library("x.so")


def statistics(monitor, window, most, values):
    """Return what a Stat logged and says after some values."""
    kinds = [getattr(monitor.Aggregation, n) for n in ("SUM", "MEAN", "COUNT", "MAX", "MIN")]
    events = []
    handle = monitor.register_event_handler(lambda event: events.append((event.name, dict(sorted(event.data.items())))))
    stat = monitor.Stat("loss", kinds, timedelta(seconds=window), most)
    before = {a.name: v for a, v in stat.get().items()}
    for value in values:
        stat.add(value)
    found = sorted(before.items()), stat.count, sorted((a.name, v) for a, v in stat.get().items()), stat.name
    del stat
    monitor.unregister_event_handler(handle)
    return found, events


@pytest.mark.parametrize(("window", "most", "values"), [
    (3600, 100, [3.0, 5.0, -1.0]), (3600, 3, range(7)), (3600, 100, []),
])  # fmt: skip
def test_statistics_become_events(window, most, values):
    assert statistics(flowtorch.monitor, window, most, values) == statistics(torch.monitor, window, most, values)


def test_events_reach_handlers_until_they_leave():
    seen, written = [], []

    class Writer:
        def add_scalar(self, *args, **kwargs):
            written.append((args, kwargs))

    monitor, now = flowtorch.monitor, datetime.now()
    handles = [monitor.register_event_handler(f) for f in (seen.append, monitor.TensorboardEventHandler(Writer()))]
    monitor.log_event(monitor.Event("torch.monitor.Stat", now, {"a.sum": 3.0}))
    monitor.log_event(monitor.Event("other", now, {"a.sum": 3.0}))
    for handle in handles:
        monitor.unregister_event_handler(handle)
    monitor.log_event(monitor.Event("late", now, {}))
    assert [event.name for event in seen] == ["torch.monitor.Stat", "other"]
    assert written == [(("a.sum", 3.0), {"walltime": now.timestamp()})]


def test_a_window_ends_with_its_time():
    monitor, events = flowtorch.monitor, []
    handle = monitor.register_event_handler(events.append)
    stat = monitor.Stat("s", [monitor.Aggregation.SUM, monitor.Aggregation.VALUE], timedelta(milliseconds=10))
    stat.add(1.0)
    stat.add(2.0)
    time.sleep(0.02)
    stat.add(5.0)
    monitor.unregister_event_handler(handle)
    assert [event.data for event in events] == [{"s.sum": 3.0, "s.value": 2.0}]
    assert stat.count == 1
