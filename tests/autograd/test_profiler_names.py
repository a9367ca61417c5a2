"""What stands beside profile in autograd.profiler."""

import pytest

import flowtorch
from flowtorch.autograd import profiler, profiler_legacy, profiler_util


def test_unique_keys():
    keys = profiler.EnforceUnique()
    keys.see("a", 1)
    keys.see("a", 2)
    with pytest.raises(RuntimeError, match="duplicate key"):
        keys.see("a", 1)


def test_the_step_is_the_highest_count():
    tracker = profiler.KinetoStepTracker
    tracker.init_step_count("one")
    tracker.init_step_count("two")
    start = tracker.current_step()
    assert [tracker.increment_step(w) - start for w in ("one", "two", "one", "two")] == [1, 1, 2, 2]
    assert tracker.erase_step_count("one") and tracker.erase_step_count("two")
    assert not tracker.erase_step_count("one")


def test_records_within_an_interval():
    class Record:
        def __init__(self, start):
            self.start = start

        def start_ns(self):
            return self.start

    records = profiler.MemRecordsAcc([(Record(t), None) for t in (5000, 1000, 3000)])
    assert [r.start for r, _ in records.in_interval(1, 3)] == [1000, 3000]


def test_vendors_marks_are_refused():
    with profiler.emit_nvtx(enabled=False):
        pass
    for mark in (profiler.emit_nvtx, profiler.emit_itt):
        with pytest.raises(RuntimeError, match=r"use torch\.profiler\.profile"), mark():
            pass


def test_other_homes():
    assert profiler_legacy.profile is profiler.profile
    assert profiler_util.EventList is profiler.EventList
    assert flowtorch.autograd.profiler_util is profiler_util
