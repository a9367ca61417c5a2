"""Checkpoints travel between flowtorch and torch unchanged, in both formats."""

import collections
import copy
import io
import mmap
import os
import pickle
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch

import flowtorch as ft
from flowtorch import serialization
from flowtorch.serialization.archive import ArchiveReader
from flowtorch.tensor import wrap

PLAIN = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
         "complex64", "complex128"]  # fmt: skip
BESIDE = ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
FORMATS = [True, False]


def bits(t):
    """The elements as bytes, whatever the library and the dtype."""
    if isinstance(t, ft.Tensor):
        return np.ascontiguousarray(t.detach()._array).tobytes()
    return bytes(t.detach().contiguous().flatten().view(torch.uint8).numpy()) if t.numel() else b""


def assert_same(ours, theirs):
    """Compare an object of flowtorch with one of torch."""
    if isinstance(ours, ft.Tensor):
        assert type(ours).__name__ == type(theirs).__name__
        assert str(ours.dtype) == str(theirs.dtype)
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert ours.stride() == theirs.stride()
        assert ours.storage_offset() == theirs.storage_offset()
        assert ours.requires_grad == theirs.requires_grad
        assert bits(ours) == bits(theirs)
    elif isinstance(ours, dict):
        assert type(ours) is type(theirs)
        assert list(ours) == list(theirs)
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, (list, tuple)):
        assert type(ours).__name__ == type(theirs).__name__
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    elif isinstance(ours, (ft.dtype, ft.device, ft.layout)):
        assert repr(ours) == repr(theirs)
    else:
        assert ours == theirs
        assert type(ours) is type(theirs)


def sample(library, names=PLAIN):
    base = library.arange(24.0).reshape(4, 6)
    tensors = {name: library.tensor([[0, 1, 3]]).to(getattr(library, name)) for name in names}
    return {
        "tensors": tensors,
        "views": [base, base.t(), base[1:, ::2], base[3, 4]],
        "empty": library.empty(0, 3),
        "scalar": library.tensor(2.5),
        "expanded": library.ones(1, 3).expand(2, 3),
        "leaf": library.ones(2, requires_grad=True),
        "parameter": library.nn.Parameter(library.ones(2, 2)),
        "frozen": library.nn.Parameter(library.ones(2), requires_grad=False),
        "ordered": collections.OrderedDict(z=1, a=(2.5, None, True)),
        "counter": collections.Counter("abca"),
        "plain": [1, -1, 300, -70_000, 10**30, 1e-300, "text é \ud800", b"bytes\xff", bytearray(b"ab"), 1 + 2j, {1, 2}],
        "types": [library.float16, library.bool, library.device("cpu"), library.Size([2, 3]), library.strided],
        5: "a key that is no text",
    }


def saved(library, obj, zipped=True):
    stream = io.BytesIO()
    library.save(obj, stream, _use_new_zipfile_serialization=zipped)
    stream.seek(0)
    return stream


@pytest.mark.parametrize("zipped", FORMATS)
def test_torch_reads_what_flowtorch_wrote(zipped):
    obj = sample(ft, PLAIN + BESIDE if zipped else PLAIN)
    assert_same(obj, torch.load(saved(ft, obj, zipped), weights_only=True))
    assert_same(obj, torch.load(saved(ft, obj, zipped), weights_only=False))


@pytest.mark.parametrize("zipped", FORMATS)
def test_flowtorch_reads_what_torch_wrote(zipped):
    obj = sample(torch, PLAIN + BESIDE)
    assert_same(ft.load(saved(torch, obj, zipped)), obj)
    assert_same(ft.load(saved(torch, obj, zipped), weights_only=False), obj)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", FORMATS)
def test_flowtorch_reads_what_flowtorch_wrote(zipped, protocol):
    obj = sample(ft, PLAIN + BESIDE)
    stream = io.BytesIO()
    ft.save(obj, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    stream.seek(0)
    assert_same(ft.load(stream), sample(torch, PLAIN + BESIDE))


def test_records_have_torchs_bytes():
    # Everything but the number of the writing, which is free: even positions and padding are torch's.
    ours, theirs = saved(ft, sample(ft)), saved(torch, sample(torch))
    mine, other = ArchiveReader(ours), ArchiveReader(theirs)
    assert mine.records() == other.records()
    free = (".data/serialization_id", "data.pkl")
    for record in mine.records():
        assert mine.offset(record) % 64 == 0
        assert record in free or mine.read(record) == other.read(record)
    assert len(mine.read(free[0])) == len(other.read(free[0])) == 40
    assert zipfile.ZipFile(ours).testzip() is None


@pytest.mark.parametrize("zipped", FORMATS)
def test_tensors_that_share_memory_share_it_again(zipped):
    base = ft.arange(6.0)
    a, b = ft.load(saved(ft, [base, base[2:]], zipped))
    b[0] = 100
    assert a[2] == 100
    assert a.untyped_storage() == b.untyped_storage()


def test_memory_seen_as_two_dtypes_is_refused():
    base = ft.arange(4.0)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        ft.save([base, base.view(ft.int32)], io.BytesIO())


def test_state_dict_of_a_module():
    ours, theirs = ft.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    ours.load_state_dict(ft.load(saved(torch, theirs.state_dict())))
    assert bits(ours.weight) == bits(theirs.weight)
    state = torch.load(saved(ft, ours.state_dict()))
    assert state._metadata == theirs.state_dict()._metadata
    theirs.load_state_dict(state)


def test_whole_modules_change_library():
    ours = ft.nn.Sequential(ft.nn.Linear(3, 2), ft.nn.ReLU(), ft.nn.Embedding(4, 2), ft.nn.BatchNorm1d(2))
    theirs = torch.load(saved(ft, ours), weights_only=False)
    assert isinstance(theirs[2], torch.nn.Embedding)
    assert bits(theirs[0].weight) == bits(ours[0].weight)
    again = ft.load(saved(torch, theirs), weights_only=False)
    assert isinstance(again, ft.nn.Sequential)
    assert repr(again) == repr(theirs)
    x = np.ones((2, 3), np.float32)
    expected = theirs[1](theirs[0](torch.from_numpy(x))).detach().numpy()
    np.testing.assert_allclose(again[1](again[0](ft.from_numpy(x))).detach().numpy(), expected, rtol=1e-6)


def test_files_of_the_other_byte_order():
    stream = io.BytesIO()
    from flowtorch.serialization.archive import ArchiveWriter

    source = ArchiveReader(saved(ft, {"f": ft.arange(3.0), "c": ft.tensor([1 + 2j]), "b": ft.tensor([True])}))
    writer = ArchiveWriter(stream)
    swapped = {"data/0": 4, "data/1": 4, "data/2": 1}
    for record in source.records():
        data = source.read(record)
        if record in swapped:
            width = swapped[record]
            data = np.frombuffer(data, np.uint8).reshape(-1, width)[:, ::-1].tobytes()
        writer.write(record, b"big" if record == "byteorder" else data)
    writer.close()
    stream.seek(0)
    loaded = ft.load(stream)
    assert loaded["f"].tolist() == [0, 1, 2]
    assert loaded["c"].tolist() == [1 + 2j]


def test_several_objects_in_one_stream():
    stream = io.BytesIO()
    for i in range(3):
        ft.save(ft.full((2,), i), stream, _use_new_zipfile_serialization=False)
    stream.seek(0)
    assert [ft.load(stream).tolist() for _ in range(3)] == [[0, 0], [1, 1], [2, 2]]


def test_streams_that_cannot_seek():
    class WriteOnly:
        def __init__(self):
            self.data = b""

        def write(self, data):
            self.data += data
            return len(data)

    stream = WriteOnly()
    ft.save(sample(ft), stream)
    assert_same(ft.load(io.BytesIO(stream.data)), sample(torch))
    read, write = os.pipe()
    with (
        os.fdopen(read, "rb") as source,
        os.fdopen(write, "wb"),
        pytest.raises(io.UnsupportedOperation, match="seekable"),
    ):
        ft.load(source)


def test_compressed_archives_are_read(tmp_path):
    source = zipfile.ZipFile(saved(ft, sample(ft)))
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    assert_same(ft.load(tmp_path / "packed.pt"), sample(torch))


# --- paths --------------------------------------------------------------------------------------


def test_paths_of_every_kind(tmp_path):
    for path in (tmp_path / "a.pt", str(tmp_path / "ü.pt"), str(tmp_path / "x.y.pth")):
        ft.save({"x": ft.ones(2)}, path)
        assert torch.load(path)["x"].tolist() == [1, 1]
    assert zipfile.ZipFile(tmp_path / "x.y.pth").namelist()[0] == "x.y/data.pkl"
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
        ft.save(1, tmp_path / "missing" / "a.pt")
    with pytest.raises(FileNotFoundError):
        ft.load(tmp_path / "none.pt")
    with pytest.raises(AttributeError, match="'write' attribute"):
        ft.save(1, 5)


def test_links_and_permissions_survive(tmp_path):
    target, link = tmp_path / "target.pt", tmp_path / "link.pt"
    ft.save(1, target)
    os.chmod(target, 0o640)
    link.symlink_to(target)
    ft.save(2, link)
    assert link.is_symlink()
    assert ft.load(target) == 2
    assert target.stat().st_mode & 0o777 == 0o640
    mask = os.umask(0o027)
    try:
        ft.save(3, tmp_path / "new.pt")
    finally:
        os.umask(mask)
    assert (tmp_path / "new.pt").stat().st_mode & 0o777 == 0o640
    ft.save(4, os.devnull)


@pytest.mark.parametrize("zipped", FORMATS)
def test_a_failed_save_leaves_the_old_file(tmp_path, zipped):
    path = tmp_path / "model.pt"
    ft.save("old", path)
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        ft.save([ft.ones(3), lambda: None], path, _use_new_zipfile_serialization=zipped)
    assert ft.load(path) == "old"
    assert os.listdir(tmp_path) == ["model.pt"]


def test_a_process_killed_while_saving_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pt"
    ft.save({"step": 0}, path)
    script = (
        "import sys, flowtorch as ft\n"
        "x = ft.ones(3_000_000)\n"
        "print('ready', flush=True)\n"
        "for step in range(1, 10**9):\n"
        "    ft.save({'step': step, 'x': x}, sys.argv[1])\n"
    )
    for delay in (0.02, 0.05, 0.11, 0.17):
        child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        loaded = ft.load(path)
        assert loaded["step"] == 0 or bool((loaded["x"] == 1).all())


# --- options ------------------------------------------------------------------------------------


def test_map_location_in_every_form(tmp_path):
    ft.save({"x": ft.arange(3.0), "p": ft.nn.Parameter(ft.ones(2))}, tmp_path / "m.pt")
    seen = []

    def keep(storage, location):
        seen.append((type(storage).__name__, location))
        return storage if len(seen) == 1 else None

    for where in (None, "cpu", ft.device("cpu"), {"cpu": "cpu"}, {"cuda:0": "cpu"}, keep):
        assert ft.load(tmp_path / "m.pt", map_location=where)["x"].tolist() == [0, 1, 2]
    assert seen == [("UntypedStorage", "cpu")] * 2
    meta = ft.load(tmp_path / "m.pt", map_location="meta")
    assert meta["x"].is_meta and meta["x"].shape == (3,)
    with pytest.raises(RuntimeError, match=r"don.t know how to restore data location .*tagged with moon"):
        ft.load(tmp_path / "m.pt", map_location="moon")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_checkpoints_of_a_gpu_ask_for_map_location():
    stream = saved(ft, ft.ones(2))
    data = stream.getvalue().replace(b"X\x03\x00\x00\x00cpu", b"X\x04\x00\x00\x00cuda")
    reader, target = ArchiveReader(io.BytesIO(stream.getvalue())), io.BytesIO()
    from flowtorch.serialization.archive import ArchiveWriter

    writer = ArchiveWriter(target)
    for record in reader.records():
        raw = reader.read(record)
        writer.write(record, raw.replace(b"X\x03\x00\x00\x00cpu", b"X\x04\x00\x00\x00cuda"))
    writer.close()
    assert data != stream.getvalue()
    with pytest.raises(RuntimeError, match=r"map_location=torch.device\('cpu'\)"):
        ft.load(io.BytesIO(target.getvalue()))
    assert ft.load(io.BytesIO(target.getvalue()), map_location="cpu").tolist() == [1, 1]


def test_mapped_files(tmp_path):
    path = tmp_path / "m.pt"
    base = ft.arange(6.0)
    ft.save({"a": base, "b": base[2:], "c": ft.arange(3)}, path)
    loaded = ft.load(path, mmap=True)
    loaded["b"][0] = 50
    assert loaded["a"].tolist() == [0, 1, 50, 3, 4, 5]
    assert loaded["c"].tolist() == [0, 1, 2]
    assert loaded["c"].storage_offset() == 0
    assert ft.load(path)["a"].tolist() == base.tolist()  # private: the file is as it was
    with serialization.set_default_mmap_options(mmap.MAP_SHARED):
        ft.load(path, mmap=True)["a"][0] = 9
    assert torch.load(path)["a"][0] == 9
    with pytest.raises(ValueError, match="must be a file path"):
        ft.load(saved(ft, 1), mmap=True)
    with pytest.raises(RuntimeError, match="mmap can only be used"):
        ft.save(1, path, _use_new_zipfile_serialization=False)
        ft.load(path, mmap=True)


def test_data_left_out(tmp_path):
    with serialization.skip_data():
        ft.save({"x": ft.ones(1000)}, tmp_path / "x.pt")
    assert ft.load(tmp_path / "x.pt")["x"].tolist() == [0.0] * 1000
    assert torch.load(tmp_path / "x.pt")["x"].tolist() == [0.0] * 1000


def test_checksums_can_be_left_out():
    try:
        serialization.set_crc32_options(False)
        assert not serialization.get_crc32_options()
        data = saved(ft, ft.arange(5.0))
    finally:
        serialization.set_crc32_options(True)
    assert ft.load(data).tolist() == torch.load(io.BytesIO(data.getvalue())).tolist() == [0, 1, 2, 3, 4]


# --- pickle and copy ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickle(protocol):
    obj = sample(ft, PLAIN + BESIDE)
    assert_same(pickle.loads(pickle.dumps(obj, protocol)), sample(torch, PLAIN + BESIDE))


def test_deepcopy_keeps_sharing_and_gradients():
    base = ft.arange(4.0, requires_grad=True)
    (base * 2).sum().backward()
    base.note = ["x"]
    made = copy.deepcopy({"a": base, "b": base.detach()[1:]})
    assert made["a"].grad.tolist() == [2, 2, 2, 2]
    assert made["a"].grad is not base.grad
    assert made["a"].note == ["x"] and made["a"].note is not base.note
    made["b"][0] = 77
    assert made["a"][1] == 77 and base[1] == 1
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(base * 2)


def test_copy_shares_memory():
    x = ft.ones(2, requires_grad=True)
    y = copy.copy(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    assert y.requires_grad


def test_subclasses_and_attributes():
    x = ft.ones(2).as_subclass(Marked)
    x.mark = "here"
    stream = saved(ft, x)
    with pytest.raises(pickle.UnpicklingError, match="Marked"):
        ft.load(stream)
    stream.seek(0)
    assert serialization.get_unsafe_globals_in_checkpoint(stream) == [f"{__name__}.Marked"]
    stream.seek(0)
    with serialization.safe_globals([Marked]):
        y = ft.load(stream)
    assert type(y) is Marked and y.mark == "here"
    z = ft.ones(2)
    z.mark = 5
    assert ft.load(saved(ft, z)).mark == torch.load(saved(ft, z)).mark == 5


class Marked(ft.Tensor):
    pass


def test_wrapped_arrays_are_saved_whole():
    part = wrap(np.arange(10.0)[2:5])
    assert ft.load(saved(ft, part)).tolist() == [2, 3, 4]


def test_legacy_files_hold_tensors_whose_rebuilding_looks_at_data(tmp_path):
    a = torch.arange(1.0, 13.0)
    z = torch.complex(a, -a)
    held = {
        "conj": z.conj(), "part": z[2:7].conj(), "again": z, "neg": torch._neg_view(a.clone()),
        "coo": (a.view(3, 4) > 6).double().to_sparse(), "csr": a.view(3, 4).to_sparse_csr(),
        "csc": (a.view(4, 3) > 3).float().to_sparse_csc(),
    }  # fmt: skip
    torch.save(held, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    for weights_only in (False, True):
        # Memory that is handed out anew holds what was there before: fill some with what would not pass.
        rubbish = [np.full(n, 77, np.uint8) for n in (24, 40, 48, 96) for _ in range(20)]
        del rubbish
        found = ft.load(tmp_path / "legacy.pt", weights_only=weights_only)
        for name, value in held.items():
            dense = value.to_dense() if value.layout is not torch.strided else value.resolve_conj().resolve_neg()
            assert str(found[name].layout) == str(value.layout), name
            ours = found[name].to_dense() if value.layout is not torch.strided else found[name]
            np.testing.assert_array_equal(ours.numpy(), dense.numpy(), err_msg=name)


def test_a_damaged_sparse_tensor_in_a_legacy_file_is_found(tmp_path):
    a = torch.arange(6.0).view(2, 3).to_sparse_csr()
    torch.save(a, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "legacy.pt").read_bytes()
    columns = np.array([1, 2, 0, 1, 2], np.int64).tobytes()
    assert data.count(columns) == 1
    (tmp_path / "legacy.pt").write_bytes(data.replace(columns, np.array([1, 9, 0, 1, 2], np.int64).tobytes()))
    with pytest.raises(RuntimeError, match="col_indices"):
        ft.load(tmp_path / "legacy.pt")
