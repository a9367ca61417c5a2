"""Storages and the exchange of memory, compared with torch's."""

import io
import pickle
import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft


def outcome(function, library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function(library)
        except Exception as error:
            return type(error).__name__
    if isinstance(result, (torch.Tensor, ft.Tensor)):
        return str(result.dtype), result.tolist()
    return result if isinstance(result, (int, float, str, list, tuple, bool, complex, type(None))) else repr(result)


@pytest.mark.parametrize(
    "function",
    [
        lambda t: t.arange(3, dtype=t.uint8).untyped_storage(),
        lambda t: t.arange(3.0).storage(),
        lambda t: t.tensor([1.5, -2.0], dtype=t.bfloat16).storage().tolist(),
        lambda t: len(t.arange(3.0).untyped_storage()),
        lambda t: t.arange(6.0)[2:].untyped_storage().nbytes(),
        lambda t: t.arange(6.0)[2:].storage_offset(),
        lambda t: [t.arange(6, dtype=t.uint8).untyped_storage()[i] for i in (0, -1)],
        lambda t: t.arange(6, dtype=t.uint8).untyped_storage()[2:4].tolist(),
        lambda t: t.arange(6).untyped_storage()[0:4:2],
        lambda t: t.arange(2).untyped_storage()[100],
        lambda t: t.arange(2).storage()[0:1],
        lambda t: t.arange(2).storage()[5],
        lambda t: [t.arange(2.0).storage()[1], t.arange(2).storage()[-1]],
        lambda t: t.FloatStorage([1, 2]).tolist(),
        lambda t: t.FloatStorage(3).size(),
        lambda t: t.FloatStorage(),
        lambda t: t.UntypedStorage([1, 2]).tolist(),
        lambda t: t.UntypedStorage(3, device="meta"),
        lambda t: t.UntypedStorage(["a"]),
        lambda t: t.TypedStorage([1, 2], dtype=t.int64),
        lambda t: [isinstance(t.ones(2).storage(), c) for c in (t.FloatStorage, t.IntStorage, t.TypedStorage)],
        lambda t: [t.is_storage(x) for x in (t.ones(2).storage(), t.ones(2).untyped_storage(), t.ones(2), 1)],
        lambda t: [t.ones(2).storage().type(), t.ones(2).untyped_storage().type()],
        lambda t: t.ones(2).storage().pickle_storage_type(),
        lambda t: t.FloatStorage.dtype,
        lambda t: t.arange(3).untyped_storage() == t.arange(3).untyped_storage(),
        lambda t: (lambda x: x.untyped_storage() == x[1:].untyped_storage())(t.arange(3)),
        lambda t: t.empty(0).untyped_storage().data_ptr(),
        lambda t: t.empty(0).set_(t.arange(6.0).untyped_storage()),
        lambda t: t.empty(0).set_(t.arange(6.0).untyped_storage(), 1, (2, 2)),
        lambda t: t.empty(0).set_(t.arange(6.0), 0, (2, 2), (1, 2)),
        lambda t: t.empty(0).set_(t.arange(4.0).storage()),
        lambda t: t.empty(0).set_(t.arange(4)),
        lambda t: t.empty(3).set_(),
        lambda t: t.empty(0, requires_grad=True).set_(t.ones(2)),
        lambda t: t.arange(3.0).storage().int().tolist(),
        lambda t: t.arange(3.0).untyped_storage().clone().fill_(1)[3],
        lambda t: t.UntypedStorage(2).copy_(t.UntypedStorage(3)),
        lambda t: t.UntypedStorage.from_buffer(b"abcd", dtype=t.int16, byte_order="big").tolist(),
        lambda t: t.UntypedStorage.from_buffer(b"abcdefgh", 'little', dtype=t.int16, count=2, offset=1).tolist(),
        lambda t: t.UntypedStorage.from_buffer(b"abc", 'little', dtype=t.int16),
        lambda t: t.UntypedStorage.from_buffer(b"abc", 'little', dtype=t.int8, count=9),
        lambda t: t.FloatStorage.from_buffer(b"\0\0\x80?", byte_order="little").tolist(),
        lambda t: [t.ones(2).is_shared(), t.ones(2).share_memory_().is_shared(), t.ones(2).share_memory_().tolist()],
        lambda t: [t.ones(2).is_pinned(), t.ones(2).untyped_storage().is_pinned()],
        lambda t: (lambda x: [x.is_set_to(x), x.is_set_to(x[1:])])(t.arange(3)),
        lambda t: t.ones(2).__dlpack_device__()[0] == t.utils.dlpack.DLDeviceType.kDLCPU,
        lambda t: t.ones(2, requires_grad=True).__dlpack__(),
        lambda t: t.from_dlpack(5),
        lambda t: t.from_dlpack(np.arange(3.0)),
        lambda t: t.from_dlpack(t.utils.dlpack.to_dlpack(t.arange(3))),
        lambda t: np.from_dlpack(t.arange(3.0)[1:]).tolist(),
    ],
)  # fmt: skip
def test_storages(function):
    assert outcome(function, ft) == outcome(function, torch)


def test_writing_through_a_storage_is_seen():
    x = ft.arange(4.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x.storage()[2] = 9
    x.untyped_storage()[0:4] = 0
    assert x.tolist() == [0, 1, 9, 3]
    with pytest.raises(NotImplementedError, match="resize_"):
        x.untyped_storage().resize_(0)


def test_files_as_storages(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(np.arange(4, dtype=np.float32).tobytes())
    shared = ft.UntypedStorage.from_file(path, shared=True, nbytes=32)
    assert shared.is_shared() and shared.filename == str(path) and path.stat().st_size == 32
    ft.empty(0).set_(shared)[4] = 7
    assert np.frombuffer(path.read_bytes(), np.float32).tolist() == [0, 1, 2, 3, 7, 0, 0, 0]
    private = ft.UntypedStorage.from_file(path, nbytes=8)
    private.fill_(0)
    assert not private.is_shared() and path.read_bytes()[4:8] != bytes(4)
    with pytest.raises(RuntimeError, match="it has 32 bytes"):
        ft.UntypedStorage.from_file(path, nbytes=100)


def test_storages_are_pickled():
    for storage in (ft.arange(3.0).untyped_storage(), ft.arange(3.0)._typed_storage()):
        made = pickle.loads(pickle.dumps(storage))
        assert made.tolist() == (storage.tolist() if made.element_size() == storage.element_size() else None)
    stream = io.BytesIO()
    ft.save(ft.arange(3.0).untyped_storage(), stream)
    stream.seek(0)
    assert torch.load(stream).tolist() == ft.arange(3.0).untyped_storage().tolist()


def test_memory_is_exchanged_not_copied():
    array = np.arange(4.0)
    x = ft.from_dlpack(array)
    x[0] = 5
    assert array[0] == 5
    assert ft.from_dlpack(array, copy=True).data_ptr() != x.data_ptr()
    y = torch.from_dlpack(x)
    y[1] = 6
    assert x[1] == 6
    z = ft.from_dlpack(y)
    z[2] = 7
    assert y[2] == 7
    taken = ft.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(y))
    taken[3] = 8
    assert y[3] == 8
    with pytest.raises(RuntimeError, match="negative strides"):
        ft.from_dlpack(array[::-1])
