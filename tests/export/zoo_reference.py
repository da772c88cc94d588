"""What torchvision's models give, for the tests of the zoo.

--names DIR   writes NAME.txt for each model: one line per entry of its state_dict, "name dtype [sizes]". Committed under
              tests/zoo/torchvision.
--out DIR     writes NAME.safetensors: state.* (the state_dict), input, and with one thread: eval (the output in eval
              mode), train (in train mode after torch.manual_seed(1)), grad.* (of the sum of squares of `train`), after.*
              (buffers after that step).
"""
import argparse
import pathlib

import torch
from safetensors.torch import save_file

import models

NAMES = ("resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0")
SIZE = 64
CLASSES = 10


def make(name: str, **options) -> torch.nn.Module:
    models.declare_torchvision_ops()
    import torchvision

    torch.manual_seed(0)
    return getattr(torchvision.models, name)(**options)


def write_names(folder: pathlib.Path) -> None:
    for name in NAMES:
        state = make(name).state_dict()
        lines = [f"{key} {str(value.dtype).removeprefix('torch.')} {list(value.shape)}\n" for key, value in state.items()]
        (folder / f"{name}.txt").write_text("".join(lines))


def perturb(module: torch.nn.Module) -> None:
    """Gives buffers and affine parameters values that no default hides."""
    for key, value in module.state_dict().items():
        if key.endswith("running_mean") or key.endswith(".bias"):
            value.normal_(0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)


def reference(name: str) -> dict[str, torch.Tensor]:
    module = make(name, num_classes=CLASSES)
    perturb(module)
    tensors = {f"state.{key}": value.clone() for key, value in module.state_dict().items()}
    x = tensors["input"] = torch.randn(3, 3, SIZE, SIZE)
    with torch.no_grad():
        tensors["eval"] = module.eval()(x)
    module.train()
    torch.manual_seed(1)
    tensors["train"] = module(x)
    tensors["train"].square().sum().backward()
    tensors["train"] = tensors["train"].detach()
    tensors |= {f"grad.{key}": value.grad for key, value in module.named_parameters()}
    tensors |= {f"after.{key}": value for key, value in module.named_buffers()}
    return {key: value.contiguous() for key, value in tensors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.names:
        write_names(arguments.names)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            save_file(reference(name), arguments.out / f"{name}.safetensors")


if __name__ == "__main__":
    main()
