"""Files that are damaged, or made to do harm: a clear error, nothing run, little memory taken."""

import collections
import io
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest

import flowtorch as ft
from flowtorch import serialization
from flowtorch.serialization.archive import ArchiveReader, ArchiveWriter
from flowtorch.serialization.restricted import RestrictedUnpickler

CLEAR = (RuntimeError, pickle.UnpicklingError, EOFError)


def archive(pickled, **records):
    """A checkpoint around a pickle."""
    stream = io.BytesIO()
    writer = ArchiveWriter(stream)
    writer.write("data.pkl", pickled)
    writer.write("byteorder", b"little")
    for key, data in records.items():
        writer.write(f"data/{key.removeprefix('k')}", data)
    writer.write("version", b"3\n")
    writer.close()
    stream.seek(0)
    return stream


def refused(pickled, match, kind=pickle.UnpicklingError, **records):
    with pytest.raises(kind, match=match):
        ft.load(archive(pickled, **records))
    with pytest.raises(CLEAR):
        RestrictedUnpickler(io.BytesIO(pickled)).load()


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_is_run(tmp_path, zipped, protocol):
    flag = tmp_path / "flag"
    calls = [
        Runs(os.system, f"touch {flag}"),
        Runs(exec, f"open({str(flag)!r}, 'w')"),
        Runs(eval, f"open({str(flag)!r}, 'w')"),
        Runs(open, str(flag), "w"),
        Runs(getattr, os, "system"),
        Runs(__import__, "os"),
        Runs(subprocess.Popen, ["touch", str(flag)]),
        Runs(pickle.loads, b"c"),
        Runs(ft.load, "x"),
        Runs(np.frombuffer, b"1234"),
    ]
    for call in calls:
        stream = io.BytesIO()
        try:
            ft.save([1, call], stream, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        except (pickle.PicklingError, TypeError):
            continue  # getattr of a module cannot even be pickled
        stream.seek(0)
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            ft.load(stream)
    assert not flag.exists()


def test_the_way_out_is_named():
    with pytest.raises(pickle.UnpicklingError, match=r"add_safe_globals\(\[eval\]\).*safe_globals\(\[eval\]\)"):
        ft.load(archive(pickle.dumps(Runs(eval, "1"), 2)))
    with pytest.raises(pickle.UnpicklingError, match="whose module posix is blocked"):
        ft.load(archive(pickle.dumps(Runs(os.system, "true"), 2)))
    stream = archive(pickle.dumps([Runs(eval, "1"), collections.OrderedDict()], 2))
    assert serialization.get_unsafe_globals_in_checkpoint(stream) == ["builtins.eval"]


def test_calls_of_allowed_names_are_guarded():
    refused(b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x40\x85R.", "bytearray of int")
    refused(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.", "latin1")
    refused(b"\x80\x02ctorch\nTensor\nJ\x00\x00\x00\x40\x85R.", "constructed empty")
    refused(b"\x80\x02ctorch\nFloatStorage\nK\x08\x85R.", "unrecognized function")
    refused(b"\x80\x02ctorch\nfloat32\n)R.", "unrecognized function")
    refused(b"\x80\x02ctorch.storage\nUntypedStorage\nK\x08\x85R.", "unrecognized function")
    # A classmethod, a builtin's attribute and the like cannot be reached by a dotted name either.
    refused(b"\x80\x02ctorch\nTensor.__init_subclass__\n)R.", "not an allowed global")
    refused(b"\x80\x04\x8c\x05torch\x8c\x10save.__globals__\x93.", "not an allowed global")


def test_states_of_classes_are_out_of_reach():
    refused(b"\x80\x02ctorch\nTensor\n}X\x01\x00\x00\x00aK\x01sb.", "build")
    refused(b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.", "build")
    refused(b"\x80\x02]}X\x01\x00\x00\x00aK\x01sb.", "build")
    refused(b"\x80\x02ctorch\nSize\nK\x01a.", "append")
    refused(b"\x80\x02ctorch\nSize\nK\x01K\x02s.", "SETITEM")


def tensor_pickle(numel, offset, size, stride, kind="Float", location="cpu"):
    stream = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return obj.pid if isinstance(obj, Storage) else None

    class Storage:
        pid = None

    class Rebuilt:
        def __reduce__(self):
            return marker, (storage, offset, size, stride, False, collections.OrderedDict())

    def marker():
        pass

    storage = Storage()
    storage.pid = ("storage", np.float32, "0", location, numel)
    globals()["marker"] = marker
    marker.__qualname__ = "marker"
    Pickler(stream, 2).dump(Rebuilt())
    raw = stream.getvalue()
    raw = raw.replace(f"c{__name__}\nmarker\n".encode(), b"ctorch._utils\n_rebuild_tensor_v2\n")
    return raw.replace(b"cnumpy\nfloat32\n", f"ctorch\n{kind}Storage\n".encode())


@pytest.mark.parametrize(
    ("offset", "size", "stride", "match"),
    [
        (0, (5,), (1,), "out of bounds"),
        (4, (1,), (1,), "out of bounds"),
        (10**30, (1,), (1,), "out of bounds"),
        (-1, (1,), (1,), "invalid storage offset"),
        (3, (2,), (-1,), "[Nn]egative strides"),
        (0, (-1,), (1,), "negative dimension"),
        (0, (2, 2), (1,), "unequal size length"),
        (0, (2,), (10**18,), "out of bounds"),
        (0, (2**62, 2**62), (1, 1), "out of bounds"),
        (0, ("2",), (1,), "interpreted as an integer"),
        (0, (1,) * 100, (1,) * 100, "64 dimensions"),
    ],
)
def test_tensors_cannot_reach_outside_their_storage(offset, size, stride, match):
    pickled = tensor_pickle(4, offset, size, stride)
    with pytest.raises((RuntimeError, pickle.UnpicklingError), match=match):
        ft.load(archive(pickled, k0=bytes(16)))


def test_the_harmless_neighbour_of_those_is_read():
    assert ft.load(archive(tensor_pickle(4, 1, (3,), (1,)), k0=bytes(16))).tolist() == [0, 0, 0]
    assert ft.load(archive(tensor_pickle(4, 3, (10**6,), (0,)), k0=bytes(16))).shape == (10**6,)


def test_storages_must_be_there():
    big = 2**40
    with pytest.raises(RuntimeError, match="claims 4398046511104"):
        ft.load(archive(tensor_pickle(big, 0, (4,), (1,)), k0=bytes(16)))
    with pytest.raises(RuntimeError, match="file not found"):
        ft.load(archive(tensor_pickle(4, 0, (4,), (1,))))
    with pytest.raises(pickle.UnpicklingError, match="invalid description of a storage"):
        ft.load(archive(tensor_pickle(-4, 0, (4,), (1,)), k0=bytes(16)))
    with pytest.raises(pickle.UnpicklingError, match="storage"):
        ft.load(archive(b"\x80\x02(X\x07\x00\x00\x00storageK\x01K\x02K\x03K\x04tQ."))
    with pytest.raises(pickle.UnpicklingError, match="persistent_load of storage"):
        ft.load(archive(b"\x80\x02X\x06\x00\x00\x00module\x85Q."))


def test_stream_format_claims_no_memory():
    stream = io.BytesIO()
    ft.save(ft.ones(4), stream, _use_new_zipfile_serialization=False)
    data = re.sub(rb"(cpuq.)K\x04", lambda m: m[1] + b"J\x00\x00\x00\x70", stream.getvalue())
    assert data != stream.getvalue()
    with pytest.raises(RuntimeError, match="more than it has"):
        ft.load(io.BytesIO(data))


def test_lengths_beyond_the_end():
    refused(b"\x80\x02X\xff\xff\xff\x7fabc.", "truncated")
    refused(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "truncated")
    refused(b"\x80\x02Nq\x00", "Ran out of input", EOFError)


def test_zip_bombs():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a/data.pkl", bytes(200 << 20))
    with pytest.raises(RuntimeError, match="claims to grow"):
        ft.load(io.BytesIO(packed.getvalue()))
    # The directory lies: the record says it has 4 bytes and expands to many.
    data = bytearray(packed.getvalue())
    for at, signature, field in ((data.find(b"PK\1\2"), b"PK\1\2", 24), (0, b"PK\3\4", 22)):
        assert data[at : at + 4] == signature
        data[at + field : at + field + 4] = struct.pack("<I", 4)
    with pytest.raises(RuntimeError, match=r"does not expand to 4 bytes|failed"):
        ft.load(io.BytesIO(bytes(data)))


def test_records_that_overlap():
    stream = archive(pickle.dumps(1, 2), k0=bytes(1000))
    data = stream.getvalue()
    directory = data.index(b"PK\1\2")
    end = data.index(b"PK\6\6")
    entries = data[directory:end]
    first = entries[: entries.index(b"PK\1\2", 4)]
    doubled = data[:directory] + entries + first.replace(b"data.pkl", b"data.pkX") * 3
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 7, 7, len(entries) + 3 * len(first), directory, 0)
    with pytest.raises(RuntimeError, match=r"overlap or have the same name|failed finding central directory"):
        ft.load(io.BytesIO(doubled + tail))


def test_names_that_climb_out_of_the_archive(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z:
        z.writestr("../evil/data.pkl", pickle.dumps("loaded", 2))
        z.writestr("/etc/passwd", b"x")
    before = os.listdir(tmp_path.parent)
    with pytest.raises(RuntimeError, match="file not found"):
        ft.load(io.BytesIO(packed.getvalue()))  # nothing is ever extracted
    assert os.listdir(tmp_path.parent) == before


def test_other_archives():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z:
        z.writestr("script/data.pkl", pickle.dumps({}, 2))
        z.writestr("script/constants.pkl", pickle.dumps((), 2))
    for weights_only in (True, False):
        with pytest.raises(RuntimeError, match="TorchScript"):
            ft.load(io.BytesIO(packed.getvalue()), weights_only=weights_only)
    import tarfile

    old = io.BytesIO()
    with tarfile.open(fileobj=old, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("storages"))
    old.seek(0)
    with pytest.raises(RuntimeError, match="tar format"):
        ft.load(old)
    for junk in (b"", b"\x00" * 100, b"PK\3\4", b"not a checkpoint at all", b"\x89HDF\r\n\x1a\n", zlib.compress(b"x")):
        with pytest.raises(CLEAR):
            ft.load(io.BytesIO(junk))


def victim(zipped):
    base = ft.arange(600.0).reshape(20, 30)
    obj = collections.OrderedDict(
        a=base, t=base.t(), p=ft.nn.Parameter(ft.ones(2)), u=ft.ones(3, dtype=ft.uint16), l=[1, 2.5, "s", {"k": (1, 2)}]
    )
    stream = io.BytesIO()
    ft.save(obj, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def attempt(data):
    """Load damaged data: it may still be readable, otherwise the error must be a clear one."""
    try:
        ft.load(io.BytesIO(data))
    except CLEAR:
        return False
    return True


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files(zipped):
    data = victim(zipped)
    readable = [n for n in range(0, len(data), 5) if attempt(data[:n])]
    assert readable == []


@pytest.mark.parametrize("zipped", [True, False])
def test_flipped_bytes(zipped):
    rng, data = random.Random(5), victim(zipped)
    head = 1400 if zipped else 900  # the pickle
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 5])):
            damaged[rng.randrange(len(data) if rng.random() < 0.3 else head)] = rng.randrange(256)
        attempt(bytes(damaged))


def test_flipped_bytes_of_the_pickle_inside_a_whole_archive():
    rng = random.Random(6)
    reader = ArchiveReader(io.BytesIO(victim(True)))
    pickled = reader.read("data.pkl")
    records = {f"k{name[5:]}": reader.read(name) for name in reader.records() if name.startswith("data/")}
    for _ in range(3000):
        damaged = bytearray(pickled)
        for _ in range(rng.choice([1, 1, 2, 4])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        attempt(archive(bytes(damaged), **records).getvalue())


def test_damage_in_the_data_is_noticed():
    data = bytearray(victim(True))
    at = data.index(np.arange(600, dtype=np.float32).tobytes()) + 1234
    data[at] ^= 1
    with pytest.raises(RuntimeError, match="checksum"):
        ft.load(io.BytesIO(bytes(data)))


def test_user_classes_are_called_only_when_declared():
    pickled = pickle.dumps(Declared(3), 2)
    with pytest.raises(pickle.UnpicklingError, match="Declared"):
        ft.load(archive(pickled))
    with serialization.safe_globals([Declared]):
        assert serialization.get_safe_globals() == [Declared]
        assert ft.load(archive(pickled)).x == 3
    assert serialization.get_safe_globals() == []
    renamed = pickled.replace(f"c{__name__}\nDeclared\n".encode(), b"cold.place\nThing\n")
    serialization.add_safe_globals([(Declared, "old.place.Thing")])
    try:
        assert ft.load(archive(renamed)).x == 3
    finally:
        serialization.clear_safe_globals()
    with pytest.raises(RuntimeError, match="explicit pickle_module"):
        ft.load(archive(pickled), weights_only=True, pickle_module=pickle)


class Declared:
    def __init__(self, x):
        self.x = x


def test_environment_decides(monkeypatch):
    pickled = pickle.dumps(Declared(4), 2)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.warns(UserWarning, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        assert ft.load(archive(pickled)).x == 4
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(RuntimeError, match="both were set"):
        ft.load(archive(pickled))
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    with pytest.raises(pickle.UnpicklingError):
        ft.load(archive(pickled), weights_only=False)


def test_memory_stays_small_whatever_a_file_claims():
    """The worst files of above under a limit of address space that their claims exceed by far."""
    script = (
        "import resource, sys; sys.path[:0] = sys.argv[1:]; import test_hostile as t, flowtorch as ft, io\n"
        "ft.nn; t.victim(True); resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "t.test_storages_must_be_there(); t.test_zip_bombs(); t.test_lengths_beyond_the_end()\n"
        "t.test_calls_of_allowed_names_are_guarded(); t.test_stream_format_claims_no_memory(); print('fine')"
    )
    here = os.path.dirname(__file__)
    root = os.path.dirname(os.path.dirname(here))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, here, root], capture_output=True, text=True, env=env, check=False
    )
    assert done.stdout == "fine\n", done.stderr
