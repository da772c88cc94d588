"""Exports the models of models.py and writes what Python eager computes with them: the oracle of Limbeck's C++ tests.

    python tests/export/make_corpus.py --models fast --out build/corpus       # fast | all | a,b,c
    python tests/export/make_corpus.py --models fast --random 12 --jobs 2     # and seeded small architectures

README.md beside this file defines what is written. A model whose folder is up to date is skipped.
"""
import argparse
import gc
import hashlib
import json
import multiprocessing
import os
import pathlib
import shutil
import sys
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor

import torch

import export_pair
import models
import random_models
import reference

SOURCES = ("make_corpus.py", "models.py", "random_models.py", "export_pair.py", "reference.py")


def fingerprint() -> str:
    """Changes with every version, source line and instruction set that a corpus folder depends on."""
    import importlib.metadata as metadata

    digest = hashlib.sha256(torch.backends.cpu.get_cpu_capability().encode())
    for package in ("torch", "torchvision", "timm", "transformers", "torchcrepe", "numpy"):
        digest.update(f"{package}={metadata.version(package)};".encode())
    for source in SOURCES:
        digest.update((pathlib.Path(__file__).parent / source).read_bytes())
    return digest.hexdigest()[:16]


def export_static(module, args, kwargs):
    return export_pair._export(module, args, kwargs, None)


def export_after_use(module, args, kwargs):
    """An eval export of a module that has run before: what it cached then (LeViT: biases) is a constant in the file."""
    module.train()
    with torch.no_grad():
        module.eval()(*args, **kwargs)
    return export_pair._export_with_free_batch(module, args, kwargs, "eval")


def decomposed(entry, programs) -> dict:
    """Both modes through run_decompositions(), which fails by itself on some models; their tag is checked here."""
    sources = {"eval_decomposed": programs["eval"], "train_decomposed": programs["train_norandom"]}
    if "undecomposable" not in entry.tags:
        return {name: program.run_decompositions() for name, program in sources.items()}
    try:
        sources["eval_decomposed"].run_decompositions()
    except ValueError:
        return {}
    raise RuntimeError(f"{entry.name} can be decomposed: remove its tag")


def write_exports(module, entry, folder) -> dict:
    """Writes every archive of one model; returns name -> description. The module's weights are shared by all."""
    args, kwargs = entry.inputs(reference.EXPORT_BATCH)
    one_args, one_kwargs = entry.inputs(1)
    pair = export_pair.export_pair(module, args, folder / "pair.pt2", kwargs)
    programs = {"eval": pair["eval"], "train": pair["train"]}
    if "warm" in entry.tags:
        programs["eval"] = export_after_use(module, args, kwargs)
    programs["eval_b1"] = export_static(module.eval(), one_args, one_kwargs)
    rates = models.remove_randomness(module)
    programs["train_norandom"] = programs["train"]
    if rates:
        programs["train_norandom"] = export_pair.export_pair(module, args, None, kwargs)["train"]
        models.restore_randomness(module, rates)
    programs |= decomposed(entry, programs)
    files = {"pair.pt2": {"models": ["eval", "train"], "dynamic_batch": reference.has_free_batch(pair["eval"])}}
    for name, program in programs.items():
        if name == "train_norandom" and not rates:
            continue
        torch.export.save(program, folder / f"{name}.pt2")
        files[f"{name}.pt2"] = {"models": ["model"], "dynamic_batch": reference.has_free_batch(program)}
    return {"files": files, "programs": programs, "drop_rates": rates}


def make_model(entry, out: pathlib.Path, key: str, check: bool) -> None:
    folder, draft = out / entry.name, out / f".{entry.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    module = models.build(entry)
    with reference.export_settings():
        exports = write_exports(module, entry, draft)
    description = {"format": 1, "key": key, "name": entry.name, "library": entry.library, "tags": list(entry.tags),
                   "fast": entry.fast, "files": exports["files"], "drop_rates": exports["drop_rates"]}
    description |= reference.write(module, entry, exports["programs"] if check else {}, draft)
    bad = {name: value for name, value in description["python_difference"].items()
           if value > (1e-5 if name.endswith("_decomposed") else 0.0)}
    if bad:
        raise RuntimeError(f"Python's own run of an export differs from eager: {bad}")
    (draft / "reference.json").write_text(json.dumps(description, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(draft, folder)


def is_current(folder: pathlib.Path, key: str, check: bool) -> bool:
    try:
        description = json.loads((folder / "reference.json").read_text())
        return description["key"] == key and (not check or bool(description["python_difference"]))
    except (OSError, ValueError, KeyError):
        return False


def write_index(out: pathlib.Path) -> None:
    """Lists the finished folders, so that a reader needs no directory walk."""
    names = sorted(path.parent.name for path in out.glob("*/reference.json") if not path.parent.name.startswith("."))
    draft = out / ".index.draft"
    draft.write_text(json.dumps({"format": 1, "models": names}, indent=1))
    os.replace(draft, out / "index.json")


def chosen(names: str, num_random: int) -> list[str]:
    """The names of the models asked for, in the table's order."""
    if names in ("all", "fast", "none"):
        found = [entry.name for entry in models.TABLE.values() if names == "all" or (names == "fast" and entry.fast)]
    else:
        found = names.split(",")
        unknown = [name for name in found if name not in models.TABLE]
        if unknown:
            sys.exit(f"make_corpus: no model named {', '.join(unknown)}; there are {', '.join(models.TABLE)}")
    return found + [random_models.name(seed) for seed in range(num_random)]


def entry_of(name: str) -> models.Entry:
    return models.TABLE[name] if name in models.TABLE else random_models.entry(name)


def make_if_needed(name: str, out: pathlib.Path, key: str, check: bool) -> bool:
    """Makes one model's folder; returns False, with the reason on stderr, if that failed."""
    warnings.filterwarnings("ignore")
    gc.set_threshold(200_000)  # tracing makes millions of small objects; the default collects all the time
    start = time.monotonic()
    if is_current(out / name, key, check):
        print(f"{name}: up to date", flush=True)
        return True
    try:
        make_model(entry_of(name), out, key, check)
    except Exception:  # one model's failure must not hide the others; the exit status tells
        print(f"{name}: FAILED\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return False
    print(f"{name}: {time.monotonic() - start:.1f} s", flush=True)
    return True


def make_all(names: list[str], arguments) -> list[str]:
    """Makes all folders with `jobs` processes; returns the names that failed."""
    rest = (arguments.out, fingerprint(), arguments.check)
    if arguments.jobs == 1:
        return [name for name in names if not make_if_needed(name, *rest)]
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = {name: pool.submit(make_if_needed, name, *rest) for name in names}
        return [name for name, result in results.items() if not result.result()]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="fast", help="fast, all, none, or names separated by commas")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="also N seeded random architectures")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/corpus"))
    parser.add_argument("--jobs", type=int, default=1, help="processes; each keeps about one core busy")
    parser.add_argument("--check", action="store_true", help="also run each export in Python, which must equal eager")
    parser.add_argument("--list", action="store_true", help="print the models and leave")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if arguments.list:
        print("\n".join(f"{e.library:12s} {e.name}{'  fast' if e.fast else ''}" for e in models.TABLE.values()))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed = make_all(chosen(arguments.models, arguments.random), arguments)
    write_index(arguments.out)
    if failed:
        print(f"make_corpus: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
