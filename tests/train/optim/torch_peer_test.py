"""Our optimizers against torch.optim of Python: trajectories of 100 steps, and dictionaries in both directions.

The C++ side is bench/optimizer_server of the build tree, which is the working directory.
"""

import itertools
import subprocess
import tempfile
import unittest
from pathlib import Path

import safetensors.torch
import torch

TOLERANCE = 1e-6
SIZES = {"0.conv": (8, 3, 3, 3), "1.bias": (17,), "2.linear": (33, 21), "3.scalar": (), "4.late": (5, 3)}
CLASSES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad}
PYTHON_NAMES = {"initial_accumulator": "initial_accumulator_value"}


class Server:
    def __init__(self):
        self.process = subprocess.Popen(["bench/optimizer_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.ask("threads 1")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise AssertionError(f"the server refused: {line}")
        return answer.strip()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def start(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, generator=generator) for name, size in SIZES.items()}


def gradients(steps, seed=1, late=True):
    """Of each step; the last parameter has none in the first two where it is `late`."""
    generator = torch.Generator().manual_seed(seed)
    all_steps = [{name: torch.randn(size, generator=generator) for name, size in SIZES.items()} for _ in range(steps)]
    for step in all_steps[:2] if late else []:
        del step["4.late"]
    return all_steps


def python_options(options):
    result = {PYTHON_NAMES.get(name, name): value for name, value in options.items() if name != "kind"}
    betas = result.pop("beta1", None), result.pop("beta2", None)
    return result if betas[0] is None else dict(result, betas=betas)


class Torch:
    """torch.optim over parameters of the same names."""

    def __init__(self, options, layout=torch.contiguous_format, frozen=(), groups=None, **variant):
        self.parameters = {}
        for name, value in start().items():
            value = value.to(memory_format=layout) if value.dim() == 4 else value
            self.parameters[name] = value.requires_grad_(name not in frozen)
        own = list(self.parameters.values()) if groups is None else groups(self.parameters)
        self.optimizer = CLASSES[options["kind"]](own, **python_options(options), **variant)

    def train(self, all_steps):
        for step in all_steps:
            for name, parameter in self.parameters.items():
                gradient = step.get(name) if parameter.requires_grad else None
                parameter.grad = None if gradient is None else torch.empty_like(parameter).copy_(gradient)
            self.optimizer.step()

    def values(self):
        return {name: parameter.detach().clone().contiguous() for name, parameter in self.parameters.items()}


def options_of_sgd():
    for momentum, dampening, nesterov in [(0, 0, False), (0.9, 0, False), (0.9, 0.3, False), (0.9, 0, True)]:
        for decay, maximize in itertools.product([0, 0.1], [False, True]):
            yield dict(kind="sgd", lr=0.01, momentum=momentum, dampening=dampening, nesterov=nesterov,
                       weight_decay=decay, maximize=maximize)


def options_of_adam():
    for kind in ("adam", "adamw"):
        for decay, amsgrad, maximize in itertools.product([0, 0.1], [False, True], [False, True]):
            yield dict(kind=kind, lr=0.01, beta1=0.8, beta2=0.95, eps=1e-8, weight_decay=decay, amsgrad=amsgrad,
                       maximize=maximize)


def options_of_adagrad():
    for decay, maximize, begin in itertools.product([0, 0.1], [False, True], [0, 0.5]):
        yield dict(kind="adagrad", lr=0.05, lr_decay=0.02, weight_decay=decay, eps=1e-10, initial_accumulator=begin,
                   maximize=maximize)


class PeerTest(unittest.TestCase):
    def setUp(self):
        torch.set_num_threads(1)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.server = Server()
        self.addCleanup(self.server.close)

    def begin(self, values, options, layout="contiguous", groups=""):
        path = self.folder / "parameters.safetensors"
        safetensors.torch.save_file(values, path)
        self.server.ask(f"parameters {path} {layout}")
        self.server.ask("optimizer " + " ".join(f"{key}={value}" for key, value in options.items()) + groups)

    def train(self, all_steps):
        path = self.folder / "gradients.safetensors"
        safetensors.torch.save_file({f"{i}/{name}": value for i, step in enumerate(all_steps)
                                     for name, value in step.items()}, path)
        self.server.ask(f"train {path}")

    def values(self):
        path = self.folder / "seen.safetensors"
        self.server.ask(f"write {path}")
        return safetensors.torch.load_file(path)

    def expect_close(self, expected):
        seen = self.values()
        self.assertEqual(set(seen), set(expected))
        for name, value in expected.items():
            difference = (seen[name] - value).abs() / value.abs().clamp(min=1)
            self.assertLessEqual(difference.max().item(), TOLERANCE, name)


class Trajectories(PeerTest):
    def check(self, all_options):
        # torch's fused SGD fails where some parameters have a momentum and some have none yet.
        late = gradients(100)
        variants = [({"foreach": False}, late), ({"foreach": True}, late),
                    ({"fused": True}, gradients(100, late=False))]
        for options, layout in itertools.product(all_options, ("contiguous", "channels_last")):
            trained = None
            for variant, steps in variants:
                if steps is not trained:
                    self.begin(start(), options, layout)
                    self.train(steps)
                trained = steps
                with self.subTest(layout=layout, **options, **variant):
                    theirs = Torch(options, getattr(torch, layout.replace("contiguous", "contiguous_format")),
                                   **variant)
                    theirs.train(steps)
                    self.expect_close(theirs.values())

    def test_sgd(self):
        self.check(options_of_sgd())

    def test_adam(self):
        self.check(options_of_adam())

    def test_adagrad(self):
        self.check(options_of_adagrad())


CASES = [dict(kind="sgd", lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
         dict(kind="sgd", lr=0.01),
         dict(kind="adam", lr=0.01, amsgrad=True, weight_decay=0.01),
         dict(kind="adamw", lr=0.01, beta1=0.8, beta2=0.95, weight_decay=0.1, maximize=True),
         dict(kind="adagrad", lr=0.05, lr_decay=0.02, eps=1e-10, initial_accumulator=0.1)]


class Dictionaries(PeerTest):
    """A run of 30 steps is handed over twice: Python, Limbeck, Python."""

    def hand_over(self, options, save, begin_with, layout=torch.contiguous_format, our_groups="", **torch_options):
        steps = gradients(30)
        unbroken = Torch(options, layout, **torch_options)
        unbroken.train(steps)
        first = Torch(options, layout, **torch_options)
        first.train(steps[:10])
        there, back = self.folder / "there.pth", self.folder / "back.pth"
        save(first, there)
        self.begin(first.values(), begin_with, "channels_last" if layout == torch.channels_last else "contiguous", our_groups)
        self.server.ask(f"load_torch {there}")
        self.train([{name: value for name, value in step.items() if first.parameters[name].requires_grad}
                    for step in steps[10:20]])
        self.server.ask(f"save_torch {back}")
        third = Torch(options, layout, **torch_options)
        saved = torch.load(back, weights_only=True)
        for name, parameter in third.parameters.items():
            with torch.no_grad():
                parameter.copy_(saved["model_state_dict"][name])
        third.optimizer.load_state_dict(saved["optimizer_state_dict"])
        third.train(steps[20:])
        for name, expected in unbroken.values().items():
            difference = (third.values()[name] - expected).abs() / expected.abs().clamp(min=1)
            self.assertLessEqual(difference.max().item(), TOLERANCE, name)
        return unbroken, third

    @staticmethod
    def bare(run, path):
        torch.save(run.optimizer.state_dict(), path)

    @staticmethod
    def checkpoint(run, path):
        torch.save({"epoch": 3, "model_state_dict": run.values(),
                    "optimizer_state_dict": run.optimizer.state_dict(), "loss": 0.5}, path)

    def test_hand_over_both_ways(self):
        for options in CASES:
            for save in (self.bare, self.checkpoint):
                with self.subTest(save=save.__name__, **options):
                    # Another rate and decay here: those of the file must count.
                    unbroken, third = self.hand_over(options, save, {"kind": options["kind"], "lr": 0.7})
                    ours, theirs = third.optimizer.state_dict(), unbroken.optimizer.state_dict()
                    self.assertEqual(set(ours["state"]), set(theirs["state"]))
                    for index, state in theirs["state"].items():
                        kept = {name for name, value in state.items() if value is not None}
                        self.assertEqual(set(ours["state"][index]), kept)
                    for key, value in theirs["param_groups"][0].items():
                        self.assertEqual(ours["param_groups"][0][key], value, key)

    def test_channels_last(self):
        self.hand_over(CASES[0], self.checkpoint, {"kind": "sgd"}, layout=torch.channels_last)

    def test_legacy_file(self):
        def legacy(run, path):
            torch.save(run.optimizer.state_dict(), path, _use_new_zipfile_serialization=False)

        self.hand_over(CASES[3], legacy, {"kind": "adamw"})

    def test_two_groups_with_rates_of_their_own(self):
        def groups(parameters):
            values = list(parameters.values())
            return [{"params": values[:2], "lr": 0.03}, {"params": values[2:]}]

        self.hand_over(CASES[0], self.checkpoint, {"kind": "sgd", "lr": 0.5}, our_groups=" group=conv|bias,0.9",
                       groups=groups)

    def test_frozen_parameters_are_counted(self):
        # Python's optimizer was given all parameters; ours updates those that require a gradient.
        self.hand_over(CASES[0], self.checkpoint, {"kind": "sgd"}, frozen=("1.bias",))


if __name__ == "__main__":
    unittest.main()
