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


PACKAGE = pathlib.Path(lb.__file__).parent
STUBS = {"__init__": lb, "data": lb.data, "optim": lb.optim}


def parameters_of_stub(node):
    """[(name, whether by keyword alone, its default or "..." or None)] of a function in a stub."""
    plain, named = node.args.args, node.args.kwonlyargs
    defaults = [None] * (len(plain) - len(node.args.defaults)) + node.args.defaults + node.args.kw_defaults
    keyword_only = [False] * len(plain) + [True] * len(named)
    text = [None if default is None else ast.unparse(default) for default in defaults]
    return list(zip([arg.arg for arg in plain + named], keyword_only, text))


def parameters_of(value):
    kinds = inspect.Parameter
    return [(p.name, p.kind == kinds.KEYWORD_ONLY, p.default is not kinds.empty, p.default)
            for p in inspect.signature(value).parameters.values() if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]


def stubbed_functions(stub):
    """[(function or Class.method, node)] of a type stub; of overloads the last."""
    found = {}
    for node in ast.parse(stub.read_text()).body:
        members = node.body if isinstance(node, ast.ClassDef) else []
        prefix = f"{node.name}." if members else ""
        for function in members or [node]:
            if isinstance(function, ast.FunctionDef):
                decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
                found[prefix + function.name] = (function, "property" in decorators, "overload" in decorators)
    return found


def assert_parameters_agree(name, node, value, has_overloads):
    stubbed, actual = parameters_of_stub(node), parameters_of(value)
    assert [parameter[0] for parameter in stubbed] == [parameter[0] for parameter in actual], name
    if has_overloads:  # each gives its own arguments a default
        return
    for (argument, by_keyword, default), (_, is_by_keyword, has_default, actual_default) in zip(stubbed, actual):
        assert (by_keyword, default is not None) == (is_by_keyword, has_default), f"{name}({argument})"
        if default not in (None, "..."):
            assert ast.literal_eval(default) == actual_default, f"{name}({argument})"


@pytest.mark.parametrize("stub", STUBS)
def test_stub_agrees_with_the_module(stub):
    functions = stubbed_functions(PACKAGE / f"{stub}.pyi")
    assert functions
    for name, (node, is_property, has_overloads) in functions.items():
        value = STUBS[stub]
        for part in name.split("."):
            value = getattr(value, part)
        if is_property:
            assert isinstance(value, property), name
        elif type(value).__name__ == "instancemethod":  # of a class in C++, whose methods name no arguments
            assert callable(value), name
        else:
            assert_parameters_agree(name, node, value, has_overloads)


def test_stubs_have_all_that_is_public():
    for stub, module in STUBS.items():
        body = ast.parse((PACKAGE / f"{stub}.pyi").read_text()).body
        names = {getattr(node, "name", None) for node in body}
        names |= {alias.asname for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
        names |= {node.target.id for node in body if isinstance(node, ast.AnnAssign)}
        public = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__]
        assert set(public) <= names, stub


def test_all_stubs_are_known():
    assert {path.stem for path in PACKAGE.glob("*.pyi")} == set(STUBS)


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


@pytest.mark.parametrize("path", ["modle.lmb", "nowhere/model.lmb"])
def test_a_file_that_is_missing(path, tmp_path):
    (tmp_path / "model.lmb").write_bytes(b"no model at all")
    with pytest.raises(FileNotFoundError, match=r"\[load\] .*(Nearest files: model.lmb|there is no folder)"):
        lb.load(tmp_path / path)
    assert not issubclass(type(_refusal(tmp_path / "model.lmb")), FileNotFoundError)  # it is there, and no model
    with pytest.raises(FileNotFoundError, match="weights.pth"):
        lb.load("resnet18?classes=2", weights=tmp_path / "weights.pth")


def _refusal(path):
    with pytest.raises(OSError) as raised:
        lb.load(path)
    return raised.value


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


def cmake_of(build):
    """The CMake that made a build tree."""
    cache = (build / "CMakeCache.txt").read_text()
    return next(line.partition("=")[2] for line in cache.splitlines() if line.startswith("CMAKE_COMMAND:"))


USE = """
import pathlib, sys, torch, limbeck as lb
assert pathlib.Path(lb.__file__).is_relative_to(sys.argv[1]), lb.__file__
module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 2))
x = torch.randn(2, 3, 8, 8)
model, optimizer = lb.optimize(module, optimizer=torch.optim.SGD(module.parameters(), 0.1), sample_input=x)
model(x).sum().backward()
optimizer.step()
lb.save(model, sys.argv[1] + "/model.lmb")
assert torch.equal(lb.load(sys.argv[1] + "/model.lmb")(x), module.eval()(x))
"""


def test_what_pip_installs_is_whole(tmp_path):
    """setup.py hands pip what this install component has: it works alone, away from the sources."""
    build = PACKAGE.parents[1]
    subprocess.run([cmake_of(build), "--install", build, "--component", "python", "--prefix", tmp_path],
                   check=True, capture_output=True)
    source = pathlib.Path(os.environ.get("LIMBECK_SOURCE", pathlib.Path(__file__).parents[2])) / "python/limbeck"
    made = {"built_with.py", "_export_pair.py", pathlib.Path(_extension.core.__file__).name}
    written = {path.name for path in source.iterdir() if path.suffix in (".py", ".pyi") or path.name == "py.typed"}
    assert {path.name for path in (tmp_path / "limbeck").iterdir()} == written | made
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", USE, tmp_path], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
