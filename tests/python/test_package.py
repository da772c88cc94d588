"""The package as such: what it exports, what it says of another torch, how errors come out, what an import costs."""

import ast
import inspect
import os
import pathlib
import subprocess
import sys

import pytest
import torch

import limbeck as lb
from limbeck import _extension, built_with


def test_has_docstrings_for_all_that_it_exports():
    for name in lb.__all__:
        assert inspect.getdoc(getattr(lb, name)), name


def stub_signatures():
    """{function or Class.method: [argument names]} of the type stub."""
    stub = pathlib.Path(lb.__file__).with_name("__init__.pyi")
    found = {}
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and not member.decorator_list:
                    found[f"{node.name}.{member.name}"] = member
    return {name: [arg.arg for arg in node.args.args + node.args.kwonlyargs] for name, node in found.items()}


def named_arguments(value):
    return [p.name for p in inspect.signature(value).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def test_stub_agrees_with_the_package():
    signatures = stub_signatures()
    functions = [name for name in lb.__all__ if inspect.isfunction(getattr(lb, name))]
    assert set(functions) <= set(signatures)
    for name, arguments in signatures.items():
        value = lb
        for part in name.split("."):
            value = getattr(value, part)
        assert named_arguments(value) == arguments, name


def test_stub_has_all_that_the_package_exports():
    stub = pathlib.Path(lb.__file__).with_name("__init__.pyi").read_text()
    names = {getattr(node, "name", None) for node in ast.parse(stub).body}
    names |= {node.target.id for node in ast.parse(stub).body if isinstance(node, ast.AnnAssign)}
    names |= {alias.asname for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(lb.__all__) <= names


def test_another_torch_gives_one_sentence(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "9.9.9+cpu")
    with pytest.raises(ImportError) as raised:
        _extension.check_torch()
    assert str(raised.value) == (
        f"limbeck was built against torch {built_with.TORCH_VERSION}, found torch 9.9.9+cpu: rebuild it with pip install "
        "--no-build-isolation --force-reinstall --no-deps .")


def test_another_build_of_the_same_torch_is_tried(monkeypatch):
    monkeypatch.setattr(torch, "__version__", built_with.TORCH_VERSION.split("+")[0] + "+cu999")
    _extension.check_torch()


def test_errors_keep_their_class_and_text(tmp_path):
    with pytest.raises(ValueError, match=r"\[load\] 'resnet19' is no file and no model of the zoo.*resnet18"):
        lb.load("resnet19")
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pth")
    with pytest.raises(NotImplementedError, match=r"holds weights without a model"):
        lb.load(tmp_path / "weights.pth")
    (tmp_path / "broken.lmb").write_bytes(b"no model at all")
    with pytest.raises(OSError, match=r"\[load\].*is no model"):
        lb.load(tmp_path / "broken.lmb")
    with pytest.raises(ValueError, match=r"only a limbeck.Model can be saved"):
        lb.save(torch.nn.Linear(2, 2), tmp_path / "x.lmb")


def test_import_costs_little_beside_torch():
    code = ("import time, torch; start = time.perf_counter(); import limbeck; "
            "print(time.perf_counter() - start)")
    seconds = min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
                  for _ in range(2))
    assert seconds < 0.5


def test_maps_one_libgomp_and_one_libtorch():
    mapped = {line.split()[-1] for line in pathlib.Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    own = [os.path.basename(path) for path in mapped if "scikit" not in path]
    for library in ("libtorch_cpu", "libc10.", "libgomp"):
        assert sum(name.startswith(library) for name in own) == 1, [n for n in own if n.startswith(library)]
