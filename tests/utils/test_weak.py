"""Weak dictionaries by identity, and the records of checkpoints."""

import copy
import gc
import io

import torch

import flowtorch
from flowtorch.utils.weak import TensorWeakRef, WeakIdKeyDictionary, WeakIdRef, WeakTensorKeyDictionary


def test_keys_are_told_apart_by_identity_and_held_weakly():
    a, b = flowtorch.ones(2), flowtorch.ones(2)
    table = WeakTensorKeyDictionary({a: 1})
    assert a in table and b not in table and 3 not in table
    table[b] = 2
    assert len(table) == 2 and {id(k) for k in table} == {id(a), id(b)}
    assert sorted(table.values()) == [1, 2] and table.copy() == table and copy.deepcopy(table)[a] == 1
    del a
    gc.collect()
    assert list(table.values()) == [2] and table.pop(b) == 2 and not table


def test_references_compare_by_what_they_refer_to():
    a, b = flowtorch.ones(2), flowtorch.ones(2)
    assert WeakIdRef(a) == WeakIdRef(a) != WeakIdRef(b) and WeakIdRef(a)() is a
    dead = WeakIdRef(flowtorch.ones(1))
    assert dead() is None and dead == dead != WeakIdRef(flowtorch.ones(1))
    assert WeakIdKeyDictionary().data == {} and TensorWeakRef(b)() is b


def test_records_of_a_checkpoint(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"w": torch.arange(6.0)}, path)
    mine, theirs = flowtorch.PyTorchFileReader(str(path)), torch.PyTorchFileReader(str(path))
    assert mine.get_all_records() == theirs.get_all_records() and mine.has_record("data.pkl")
    for name in theirs.get_all_records():
        assert mine.get_record(name) == theirs.get_record(name)
        assert mine.get_record_offset(name) == theirs.get_record_offset(name)
    assert mine.serialization_id() == theirs.serialization_id()
    assert mine.get_storage_from_record("data/0", 4, flowtorch.float32).tolist() == [0, 1, 2, 3]


def test_an_archive_written_record_by_record():
    stream = io.BytesIO()
    writer = flowtorch._C.PyTorchFileWriter(stream)
    writer.write_record("a/b", b"12345", 4)
    writer.write_end_of_file()
    stream.seek(0)
    reader = torch._C.PyTorchFileReader(stream)
    assert bytes(reader.get_record("a/b")) == b"1234" and reader.has_record("version")
