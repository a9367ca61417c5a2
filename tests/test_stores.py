"""torch.distributed's stores of keys and values: within a process, and between processes."""

import multiprocessing
import pickle
import threading
from datetime import timedelta

import pytest

from flowtorch import distributed as dist

SHORT = timedelta(milliseconds=150)


def tcp():
    return dist.TCPStore("127.0.0.1", 0, 1, True, timeout=SHORT)


def hashed():
    store = dist.HashStore()
    store.set_timeout(SHORT)
    return store


def prefixed():
    return dist.PrefixStore("part", hashed())


@pytest.fixture(params=[tcp, hashed, prefixed])
def store(request):
    return request.param()


def test_values_counters_and_comparisons(store):
    store.set("a", "x")
    store.set("b", b"\x00y\xff")
    assert (store.get("a"), store.get("b"), store.multi_get(["b", "a"])) == (b"x", b"\x00y\xff", [b"\x00y\xff", b"x"])
    assert (store.add("n", 3), store.add("n", -5), store.get("n")) == (3, -2, b"-2")
    assert store.check(["a", "b"]) is True and store.check(["a", "none"]) is False and store.check([]) is True
    assert [store.compare_set(*v) for v in (("c", "", "1"), ("c", "1", "2"), ("c", "5", "3"), ("none", "x", "3"))] == [
        b"1", b"2", b"2", b"x",
    ]  # fmt: skip
    assert not store.check(["none"])
    store.append("c", "z")
    store.append("d", b"z")
    store.multi_set(["e", "f"], ["1", "2"])
    assert store.multi_get(["c", "d", "e", "f"]) == [b"2z", b"z", b"1", b"2"]
    before = store.num_keys()
    assert store.delete_key("a") is True and store.delete_key("a") is False
    assert store.num_keys() == before - 1 and store.has_extended_api()


def test_what_is_waited_for_comes_or_is_named(store):
    with pytest.raises(dist.DistStoreError, match=r"wait timeout after 150ms, keys: .*late"):
        store.get("late")
    with pytest.raises(dist.DistStoreError, match="wait timeout after 20ms"):
        store.wait(["late"], timedelta(milliseconds=20))
    other = store.clone()
    store.set_timeout(timedelta(seconds=20))
    threading.Timer(0.05, other.set, ["late", "now"]).start()
    assert store.get("late") == b"now"
    store.barrier("here", 1)
    assert store.timeout == timedelta(seconds=20)


def test_queues(store):
    store.queue_push("q", "first")
    store.queue_push("q", "second")
    assert (store.queue_len("q"), store.queue_pop("q"), store.queue_pop("q", False)) == (2, b"first", b"second")
    with pytest.raises(dist.QueueEmptyError, match="queue is empty"):
        store.queue_pop("q", block=False)
    with pytest.raises(dist.DistStoreError, match="Wait timeout"):
        store.queue_pop("q")


def test_what_is_no_key_or_value_is_refused(store):
    for call in (
        lambda: store.set(1, "x"), lambda: store.set("k", 3), lambda: store.get(3), lambda: store.wait("key"),
        lambda: store.add("x", 1.5), lambda: store.add("x", "1"), lambda: store.set_timeout(3),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="incompatible function arguments"):
            call()
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(store)
    store.set("text", "x")
    with pytest.raises(ValueError, match="invalid literal"):
        store.add("text", 1)
    assert store.get("text") == b"x", "the store still answers"


def test_a_prefix_stands_before_keys():
    below = hashed()
    store = dist.PrefixStore("outer", dist.PrefixStore("inner", below))
    store.set("k", "v")
    assert below.get("inner/outer/k") == b"v" and store._underlying_non_prefix_store is below


def count(port, rank):
    store = dist.TCPStore("127.0.0.1", port, 3)
    store.add("total", rank)
    store.set(f"rank{rank}", str(rank) * 100_000)
    store.barrier("end", 3)


def test_processes_meet_in_a_store():
    server = dist.TCPStore("127.0.0.1", 0, 3, True, wait_for_workers=False)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count, args=(server.port, rank)) for rank in (1, 2)]
    for process in processes:
        process.start()
    server.set_timeout(timedelta(seconds=100))
    server.barrier("end", 3)
    assert server.get("total") == b"3" and server.get("rank2") == b"2" * 100_000
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_errors_of_the_network_name_the_fault():
    store = tcp()
    with pytest.raises(dist.DistNetworkError, match=rf"failed to listen.*{store.port}"):
        dist.TCPStore("127.0.0.1", store.port, 1, True)
    client = dist.TCPStore("127.0.0.1", store.port)
    store.set("z", "1")
    assert client.get("z") == b"1" and client.port == store.port
    assert dist.TCPStore("127.0.0.1", store.port, 1, True, multi_tenant=True).get("z") == b"1"
    with pytest.raises(dist.DistStoreError, match=r"Timed out .* 1/2 clients joined"):
        dist.TCPStore("127.0.0.1", 0, 2, True, timeout=SHORT)
    port = store.port
    del store
    with pytest.raises(dist.DistNetworkError):
        client.get("z")
    with pytest.raises(dist.DistNetworkError, match=rf"timed out after 150ms while trying to connect .*{port}"):
        dist.TCPStore("127.0.0.1", port, timeout=SHORT)


def test_there_is_a_store_but_still_no_process_group():
    assert not dist.is_available() and not hasattr(dist, "FileStore")
    with pytest.raises(NotImplementedError, match="not implemented"):
        dist.Store().set("a", "b")
