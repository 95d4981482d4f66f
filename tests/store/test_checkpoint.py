"""A checkpoint comes back exactly, is never half there, and holds nothing that could run."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from store_runs import saves_model

from strop.errors import StoreError
from strop.records import Problem, Turn, Verdict
from strop.store import checkpoint
from strop.store.tree import read_tree, write_tree
from strop.text import Parts


def same(a: Any, b: Any) -> bool:
    """Equal in value, type, shape and dtype, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(type(x) is type(y) for x, y in zip(a, b, strict=True)) and all(
            same(a[key], b[key]) for key in a
        )  # fmt: skip
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        # bytes, so that NaN equals NaN and -0.0 differs from 0.0
        return a.dtype == b.dtype and a.shape == b.shape and _bytes(a) == _bytes(b)
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return str(a) == str(b)  # as above, and a NaN has no sign
    return a == b


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def back(tree: Any, folder: Path) -> Any:
    write_tree(folder / "t.safetensors", tree)
    return read_tree(folder / "t.safetensors")


@pytest.mark.parametrize(
    "dtype",
    [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool],
)
def test_tensors(dtype: torch.dtype, tmp_path: Path):
    values = torch.tensor([[0.0, -1.5, 3e4], [7.0, math.nan, -0.0]])
    tensor = (values if dtype.is_floating_point else values.nan_to_num().abs().clamp(max=255)).to(dtype)
    for shape in (tensor, tensor.T, tensor[0, 0], tensor[:, :0], tensor[:, 1]):
        assert same(back({"x": shape}, tmp_path)["x"], shape), shape


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8"])
def test_arrays_and_scalars(dtype: str, tmp_path: Path):
    array = np.array([[0, 1, 100], [3, 4, 5]]).astype(dtype)
    frozen = array.copy()
    frozen.flags.writeable = False
    tree = [array, array.T, array[:0], np.array(array[0, 1]), array[1, 2], frozen]
    assert same(back(tree, tmp_path), tree)


def test_foreign_byte_order_comes_back_native(tmp_path: Path):
    found = back(np.array([1, -2, 70_000], ">i4"), tmp_path)
    assert same(found, np.array([1, -2, 70_000], "=i4"))


def test_plain_data(tmp_path: Path):
    tree = {
        "ints": (0, -1, 2**63, 2**200, -(2**64)),
        "floats": [0.1, -0.0, 1e-320, math.inf, -math.inf, math.nan],
        "others": [None, True, False, "", "é\x00\ud800", b"", b"\xff\x00"],
        "empty": [{}, [], ()],
        3: "int key", "3": "text key", None: 1, True: 2, (1, "a"): 3, 0.5: 4,
        "looks like ours": ["tensor", "state.x"], "dict": ["dict", [["a", 1]]],
        "state.a'": 1, "a": torch.ones(1), "a'": torch.zeros(2),
    }  # fmt: skip
    assert same(back(tree, tmp_path), tree)


def test_names_of_tensors_may_collide(tmp_path: Path):
    tree = {"a.b": torch.zeros(1), "a": {"b": torch.ones(2)}, 1: torch.ones(3), "1": torch.ones(4)}
    assert same(back(tree, tmp_path), tree)


def test_state_of_real_things(tmp_path: Path):
    generator = np.random.Generator(np.random.Philox(5))
    generator.random(3)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    optimizer.step()
    tree = {"numpy": generator.bit_generator.state, "adam": optimizer.state_dict(), "torch": torch.get_rng_state()}
    found = back(tree, tmp_path)
    again = np.random.Generator(np.random.Philox(0))
    again.bit_generator.state = found["numpy"]
    assert again.random() == generator.random()
    assert same(found["adam"], tree["adam"])
    assert same(found["torch"], tree["torch"])


def test_records_of_strop(tmp_path: Path):
    tree = [
        Problem(id="a", task="t", prompt=(Turn("user", "2+3"),), reference={"x": 1}),
        Verdict("right", "5"),
        Parts("", "5", True),
    ]
    found = back(tree, tmp_path)
    assert found == tree
    assert [type(item) for item in found] == [Problem, Verdict, Parts]


def test_tensors_that_share_memory(tmp_path: Path):
    base = torch.arange(10.0)
    tree = {"all": base, "half": base[:5], "again": base, "weight": torch.nn.Parameter(base[2:4])}
    found = back(tree, tmp_path)
    assert same(found, tree | {"weight": base[2:4].clone()})


_plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
_keys = st.text() | st.integers() | st.booleans() | st.none()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tree=st.recursive(_plain, lambda s: st.lists(s) | st.tuples(s, s) | st.dictionaries(_keys, s), max_leaves=12))
def test_any_plain_tree_comes_back(tree: Any, tmp_path_factory: pytest.TempPathFactory):
    assert same(back(tree, tmp_path_factory.getbasetemp()), tree)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), r"state\.a\.0 is a builtins\.object"),
        ({1, 2}, r"state\.a\.0 is a builtins\.set"),
        (np.array(["x"]), r"state\.a\.0 is a NumPy array of <U1"),
        (np.array([None]), r"state\.a\.0 is a NumPy array of object"),
    ],
)
def test_what_cannot_be_held_is_named(value: Any, said: str, tmp_path: Path):
    with pytest.raises(StoreError, match=said):
        write_tree(tmp_path / "t", {"a": [value]})


@pytest.mark.parametrize(
    "tree",
    [
        ["record", "os:system", [["command", "touch pwned"]]],
        ["record", "evil:Evil", []],
        ["record", "strop.store.files:remove", [["path", "x"]]],
        ["record", "strop.store.files:Path.cwd", []],
        ["record", "strop.nothing:Here", []],
        ["record", "strop.records:Problem", []],
        ["unknown", 1], ["tensor", "absent"], ["dict", 5], [], {"a": 1}, ["list"], ["record"],
    ],
)  # fmt: skip
def test_a_hostile_file_runs_nothing(tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    evil = "import dataclasses, pathlib\npathlib.Path('pwned').touch()\n@dataclasses.dataclass\nclass Evil: pass\n"
    (tmp_path / "evil.py").write_text(evil)
    text = json.dumps({"version": "1", "tree": tree}).encode()
    save_file({"__tree__": torch.frombuffer(bytearray(text), dtype=torch.uint8)}, tmp_path / "t.safetensors")
    if tree == {"a": 1}:
        assert read_tree(tmp_path / "t.safetensors") == tree  # plain JSON, nothing else
        return
    with pytest.raises(StoreError, match="cannot be read as a checkpoint"):
        read_tree(tmp_path / "t.safetensors")
    assert not (tmp_path / "pwned").exists()


def test_broken_files_are_named(tmp_path: Path):
    path = tmp_path / "t.safetensors"
    write_tree(path, {"a": torch.ones(100)})
    whole = path.read_bytes()
    for broken in (b"", b"x" * 100, whole[:50], whole[:-20]):
        path.write_bytes(broken)
        with pytest.raises(StoreError, match=r"t\.safetensors cannot be read as a checkpoint"):
            read_tree(path)


def test_save_and_load_with_a_model(tmp_path: Path):
    folder = tmp_path / "checkpoints" / "step=000010"
    checkpoint.save(folder, {"step": 10}, lambda path: save_file({"w": torch.ones(2)}, path / "model.safetensors"))
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "state.safetensors"]
    assert load_file(folder / "model.safetensors")["w"].tolist() == [1.0, 1.0]
    assert checkpoint.load(folder) == {"step": 10}
    assert checkpoint.latest(folder.parent) == 10
    with pytest.raises(StoreError, match=r"step=000011 is no checkpoint: .* Complete ones: step=000010"):
        checkpoint.load(tmp_path / "checkpoints" / "step=000011")


def test_only_complete_folders_count(tmp_path: Path):
    for step in (2, 1_000_000, 30):
        checkpoint.save(tmp_path / f"step={step:06d}", {}, saves_model)
    (tmp_path / ".step=000099.tmp").mkdir()
    (tmp_path / "step=000098").mkdir()
    (tmp_path / "notes").mkdir()
    assert checkpoint.steps(tmp_path) == [2, 30, 1_000_000]
    assert checkpoint.steps(tmp_path / "none") == []
    assert checkpoint.latest(tmp_path / "none") is None


@pytest.mark.parametrize(("keep", "expected"), [(1, [5]), (2, [4, 5]), (9, [1, 2, 3, 4, 5]), (None, [1, 2, 3, 4, 5])])
def test_keep(keep: int | None, expected: list[int], tmp_path: Path):
    for step in range(1, 6):
        checkpoint.save(tmp_path / f"step={step:06d}", {}, saves_model)
    checkpoint.prune(tmp_path, keep)
    assert checkpoint.steps(tmp_path) == expected
    assert not list(tmp_path.glob(".*"))


class _Crash(BaseException):
    pass


def test_a_failure_anywhere_leaves_the_one_before(tmp_path: Path):
    home = tmp_path / "step=000001"
    checkpoint.save(home, {"v": 1}, saves_model)

    def fails(path: Path) -> None:
        saves_model(path)
        raise _Crash

    for folder in (home, tmp_path / "step=000002"):
        with pytest.raises(_Crash):
            checkpoint.save(folder, {"v": 2}, fails)
        with pytest.raises(StoreError, match="cannot hold"):
            checkpoint.save(folder, {"v": object()}, saves_model)
    assert checkpoint.load(home) == {"v": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["step=000001"]


@pytest.mark.parametrize("at", range(3))
def test_killed_while_replacing(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A checkpoint saved twice: at every rename, what a kill would leave behind recovers to the old or the new one."""
    home = tmp_path / "step=000001"
    checkpoint.save(home, {"v": 1}, saves_model)
    replace, count = os.replace, 0

    def cut(source: Path, target: Path) -> None:
        nonlocal count
        if count == at:
            raise _Crash
        count += 1
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", cut)
        patch.setattr(checkpoint, "_discard", lambda made: None)  # a kill tidies nothing
        try:
            checkpoint.save(home, {"v": 2}, saves_model)
        except _Crash:
            assert at < 2
    checkpoint.recover(tmp_path)
    assert checkpoint.load(home)["v"] == (1 if at < 2 else 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step=000001"]


def test_a_full_disk_inside_safetensors_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from safetensors import SafetensorError

    def full(path: Path, tree: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "write_tree", full)
    with pytest.raises(StoreError, match="the disk or quota is full"):
        checkpoint.save(tmp_path / "step=000001", {}, saves_model)
    assert not list(tmp_path.iterdir())
