"""Loads weights that Limbeck wrote into the Python class that they came from, strictly, and compares the values.

    python tests/export/check_weights.py --corpus build/corpus --model resnet18 --weights w.pth [--after-step]

Without --after-step the values must be those of the untouched module, with it those after the corpus's SGD step. Exit
status 0: everything is bit-equal. Files may be `.pth`/`.pt` (read with weights_only) or `.safetensors`.
"""
import argparse
import pathlib
import sys
import warnings

import torch
from safetensors import safe_open
from safetensors.torch import load_file

import models
import random_models


def find(name: str) -> models.Entry:
    if name.startswith("random_"):
        return random_models.entry(name)
    return models.TABLE[name]


def load(path: pathlib.Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, weights_only=True)


def expected_state(module, folder, after_step) -> dict[str, torch.Tensor]:
    """What the module's state must be, by the names of named_parameters() and named_buffers()."""
    state = {name: tensor.detach().clone() for name, tensor in [*module.named_parameters(), *module.named_buffers()]}
    if after_step:
        with safe_open(folder / "reference.safetensors", "pt") as file:
            for key in file.keys():
                kind, _, name = key.removeprefix("step/").partition("/")
                if key.startswith("step/") and kind in ("parameter", "buffer"):
                    state[name] = file.get_tensor(key)
    return state


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=pathlib.Path, default=pathlib.Path("build/corpus"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--after-step", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    module = models.build(find(arguments.model))
    expected = expected_state(module, arguments.corpus / arguments.model, arguments.after_step)
    for tensor in module.state_dict().values():  # so that a tensor that the file leaves out can't pass
        tensor.fill_(7)
    module.load_state_dict(load(arguments.weights), strict=True)
    loaded = dict([*module.named_parameters(), *module.named_buffers()])
    stored = set(module.state_dict())
    wrong = [name for name in expected if name in stored and not torch.equal(loaded[name], expected[name])]
    if wrong:
        print(f"check_weights: {len(wrong)} of {len(expected)} tensors differ, first {wrong[0]}", file=sys.stderr)
        return 1
    print(f"check_weights: {arguments.model}: {len(expected)} tensors bit-equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
