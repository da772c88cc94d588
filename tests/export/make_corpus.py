"""Exports the models of models.py and writes what Python eager computes with them: the oracle of Limbeck's C++ tests.

    python tests/export/make_corpus.py --models fast --out build/corpus       # fast | all | a,b,c
    python tests/export/make_corpus.py --random 12 --out build/corpus         # seeded small architectures

README.md beside this file defines what is written. A model whose folder is up to date is skipped.
"""
import argparse
import gc
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time
import traceback
import warnings

import torch

import export_pair
import models
import random_models
import reference

SOURCES = ("make_corpus.py", "models.py", "random_models.py", "export_pair.py", "reference.py")


def fingerprint() -> str:
    """Changes with every version and source line that a corpus folder depends on."""
    import importlib.metadata as metadata

    digest = hashlib.sha256()
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
    programs["eval_decomposed"] = programs["eval"].run_decompositions()
    programs["train_decomposed"] = programs["train_norandom"].run_decompositions()
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


def chosen(arguments) -> list:
    table = dict(models.TABLE)
    if arguments.random:
        return [random_models.entry(seed) for seed in range(arguments.random)]
    if arguments.models in ("all", "fast"):
        return [entry for entry in table.values() if entry.fast or arguments.models == "all"]
    unknown = set(arguments.models.split(",")) - set(table)
    if unknown:
        sys.exit(f"make_corpus: no model named {', '.join(sorted(unknown))}; there are {', '.join(table)}")
    return [table[name] for name in arguments.models.split(",")]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="fast", help="fast, all, or names separated by commas")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="N seeded random architectures instead")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/corpus"))
    parser.add_argument("--check", action="store_true", help="also run each export in Python, which must equal eager")
    parser.add_argument("--list", action="store_true", help="print the models and leave")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if arguments.list:
        print("\n".join(f"{e.library:12s} {e.name}{'  fast' if e.fast else ''}" for e in models.TABLE.values()))
        return 0
    warnings.filterwarnings("ignore")
    gc.set_threshold(200_000)  # tracing makes millions of small objects; the default collects all the time
    key, failed = fingerprint(), []
    for entry in chosen(arguments):
        start = time.monotonic()
        if is_current(arguments.out / entry.name, key, arguments.check):
            print(f"{entry.name}: up to date", flush=True)
            continue
        try:
            make_model(entry, arguments.out, key, arguments.check)
            print(f"{entry.name}: {time.monotonic() - start:.1f} s", flush=True)
        except Exception:  # one model's failure must not hide the others; the exit status tells
            failed.append(entry.name)
            traceback.print_exc()
    write_index(arguments.out)
    if failed:
        print(f"make_corpus: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
