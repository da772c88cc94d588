"""What Python eager computes with a model, written as `reference.safetensors` and the description beside it.

README.md in this folder defines every key. All runs use the settings of SETTINGS, which the C++ side repeats.
"""
import contextlib
import copy
import zlib

import torch
from safetensors.torch import save_file
from torch.utils import _pytree as pytree

import models

EXPORT_BATCH = 3
EVAL_BATCHES = (1, 3, 7, 33)
LEARNING_RATE, MOMENTUM = 0.01, 0.9
RANDOM_SEED = 20
SETTINGS = {"threads": 2, "deterministic_algorithms": True, "fill_uninitialized_memory": False, "mkldnn": True,
            "mha_fastpath": False, "memory_format": "contiguous", "dtype": "float32", "random_seed": RANDOM_SEED}


@contextlib.contextmanager
def run_settings():
    threads = torch.get_num_threads()
    torch.set_num_threads(SETTINGS["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.mha.set_fastpath_enabled(False)  # nn.MultiheadAttention's fused inference is in no export
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.mha.set_fastpath_enabled(True)
        torch.set_num_threads(threads)


@contextlib.contextmanager
def export_settings():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def has_free_batch(program) -> bool:
    """Whether axis 0 of the first tensor that the user passes is a symbol."""
    users = set(program.graph_signature.user_inputs)
    values = (node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in users)
    return isinstance(next(v for v in values if isinstance(v, torch.Tensor)).shape[0], torch.SymInt)


@contextlib.contextmanager
def unchanged(module):
    """Restores parameters, buffers and gradients on leaving."""
    saved = {name: tensor.detach().clone() for name, tensor in module.state_dict(keep_vars=True).items()}
    extra = {name: buffer.detach().clone() for name, buffer in module.named_buffers() if name not in saved}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in module.state_dict(keep_vars=True).items():
                tensor.copy_(saved[name])
                tensor.grad = None
            for name, buffer in module.named_buffers():
                if name in extra:
                    buffer.copy_(extra[name])


def rows(inputs, batch):
    """The first `batch` rows of every tensor among (args, kwargs)."""
    return pytree.tree_map(lambda leaf: leaf[:batch].clone() if isinstance(leaf, torch.Tensor) else leaf, inputs)


def leaves(tree) -> list[tuple[str, object]]:
    """(path, leaf) in pytree order; a path reads `logits`, `0`, `out.0`; a lone tensor has the path ``."""
    flat, _ = pytree.tree_flatten_with_path(tree)
    return [(".".join(str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path), leaf)
            for path, leaf in flat]


def tensor_leaves(tree) -> list[torch.Tensor]:
    return [leaf for _, leaf in leaves(tree) if isinstance(leaf, torch.Tensor)]


def describe(tree) -> list[dict]:
    found = []
    for path, leaf in leaves(tree):
        if isinstance(leaf, torch.Tensor):
            found.append({"path": path, "dtype": str(leaf.dtype).removeprefix("torch."), "shape": list(leaf.shape)})
        else:
            found.append({"path": path, "value": leaf})
    return found


def cotangents(outputs, seed) -> dict[int, torch.Tensor]:
    """A seeded gradient for each output that has one, by the output's place among the tensors."""
    generator = torch.Generator().manual_seed(seed)
    return {place: torch.randn(output.shape, generator=generator) / max(output.numel(), 1) ** 0.5
            for place, output in enumerate(outputs) if output.requires_grad}


def step(call, parameters, buffers, inputs, seed) -> dict[str, torch.Tensor]:
    """One training step: forward, backward from fixed cotangents, SGD with momentum."""
    outputs = tensor_leaves(call(*inputs[0], **inputs[1]))
    given = cotangents(outputs, seed)
    torch.autograd.backward([outputs[place] for place in given], list(given.values()))
    used = {name: parameter for name, parameter in parameters.items() if parameter.grad is not None}
    record = {f"step/output/{i}": output for i, output in enumerate(outputs)}
    record |= {f"step/cotangent/{i}": tensor for i, tensor in given.items()}
    record |= {f"step/gradient/{name}": parameter.grad.clone() for name, parameter in used.items()}
    torch.optim.SGD(parameters.values(), lr=LEARNING_RATE, momentum=MOMENTUM, foreach=False).step()
    record |= {f"step/parameter/{name}": parameter for name, parameter in parameters.items()}
    record |= {f"step/buffer/{name}": buffer for name, buffer in buffers.items()}
    return {name: tensor.detach().clone().contiguous() for name, tensor in record.items()}


def evaluate(module, inputs) -> dict[str, torch.Tensor]:
    record = {}
    with torch.no_grad():
        for batch in EVAL_BATCHES:
            args, kwargs = rows(inputs, batch)
            for i, output in enumerate(tensor_leaves(module.eval()(*args, **kwargs))):
                record[f"eval/b{batch}/output/{i}"] = output.clone().contiguous()
    return record


def random_outputs(call, inputs) -> dict[str, torch.Tensor]:
    torch.manual_seed(RANDOM_SEED)
    with torch.no_grad():
        outputs = tensor_leaves(call(*inputs[0], **inputs[1]))
    return {f"random/output/{i}": output.clone().contiguous() for i, output in enumerate(outputs)}


def step_without_randomness(module, inputs, seed):
    rates = models.remove_randomness(module)
    try:
        with torch.no_grad(), unchanged(module):
            torch.manual_seed(1)
            first = tensor_leaves(module.train()(*inputs[0], **inputs[1]))
        with torch.no_grad(), unchanged(module):
            torch.manual_seed(2)
            second = tensor_leaves(module.train()(*inputs[0], **inputs[1]))
        if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
            raise RuntimeError("a train-mode run is still random after remove_randomness")
        with unchanged(module):
            return step(module.train(), dict(module.named_parameters()), dict(module.named_buffers()), inputs, seed)
    finally:
        models.restore_randomness(module, rates)


def relative_difference(got, want) -> float:
    """The largest |got - want| over the scale max|want| + 1e-3 · largest gradient; 0 means bit-equal."""
    if got.keys() != want.keys():
        return float("inf")
    gradients = [tensor for name, tensor in want.items() if "/gradient/" in name and tensor.numel()]
    largest = max((float(tensor.abs().max()) for tensor in gradients), default=0.0)
    worst = 0.0
    for name, tensor in want.items():
        if tensor.numel() == 0 or torch.equal(got[name], tensor):
            continue
        a, b = got[name].double(), tensor.double()
        scale = float(b.abs().max()) + 1e-3 * largest
        worst = max(worst, float((a - b).abs().max()) / scale if scale else float("inf"))
    return worst


def python_differences(module, programs, record, inputs, seed) -> dict[str, float]:
    """How far Python's own run of each export is from eager: what a reader of the file can be asked for."""
    small, found = rows(inputs, EXPORT_BATCH), {}
    expected = {name: tensor for name, tensor in record.items() if name.startswith("step/")}
    for name, program in programs.items():
        with unchanged(module):
            call = copy.deepcopy(program).module()
            if name.startswith("eval"):
                batch = 1 if name == "eval_b1" else EXPORT_BATCH
                prefix = f"eval/b{batch}/output/"
                with torch.no_grad():
                    got = tensor_leaves(call(*rows(inputs, batch)[0], **rows(inputs, batch)[1]))
                want = {key: tensor for key, tensor in record.items() if key.startswith(prefix)}
                found[name] = relative_difference({f"{prefix}{i}": tensor for i, tensor in enumerate(got)}, want)
            elif name == "train":
                want = {key: tensor for key, tensor in record.items() if key.startswith("random/")}
                found[name] = relative_difference(random_outputs(call, small), want)
            elif name == "train_decomposed":  # Python can't train it: its copy_ into buffers spoils saved tensors
                with torch.no_grad():
                    got = tensor_leaves(call(*small[0], **small[1]))
                want = {key: tensor for key, tensor in record.items() if key.startswith("step/output/")}
                found[name] = relative_difference({f"step/output/{i}": tensor for i, tensor in enumerate(got)}, want)
            else:
                parameters = dict(call.named_parameters())
                renamed = {key: parameters[key] for key, _ in module.named_parameters() if key in parameters}
                buffers = {key: buffer for key, buffer in call.named_buffers() if f"step/buffer/{key}" in expected}
                found[name] = relative_difference(step(call, renamed, buffers, small, seed), expected)
    return found


def aliases(module) -> list[list[str]]:
    """Groups of state names that are one tensor (tied weights)."""
    groups: dict[int, list[str]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        groups.setdefault(id(tensor), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def drop_paths(module) -> list[dict]:
    """Stochastic depth, as rate per scope: timm's and transformers' DropPath, torchvision's StochasticDepth."""
    found = []
    for scope, child in module.named_modules():
        kind = type(child).__name__
        if kind == "StochasticDepth":
            found.append({"scope": scope, "kind": kind, "rate": child.p, "mode": child.mode})
        elif hasattr(child, "drop_prob"):
            found.append({"scope": scope, "kind": kind, "rate": child.drop_prob or 0.0, "mode": "row"})
    return found


def check_conditioning(name, record) -> None:
    """Refuses results that would hide errors: values that are not finite, or the same output for every input."""
    for key, tensor in record.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise RuntimeError(f"{name}: {key} is not finite")
    outputs = record[f"eval/b{max(EVAL_BATCHES)}/output/0"].double().flatten(1)
    spread, size = float(outputs.std(0).mean()), float(outputs.abs().mean())
    if spread < 1e-3 * size:
        raise RuntimeError(f"{name}: outputs hardly depend on inputs (spread {spread:.1e}, size {size:.1e})")


def write(module, entry, programs, folder) -> dict:
    seed = zlib.crc32(entry.name.encode()) + 1
    torch.manual_seed(seed)
    inputs = entry.inputs(max(EVAL_BATCHES))
    small = rows(inputs, EXPORT_BATCH)
    record = {f"input/{i}": tensor for i, tensor in enumerate(tensor_leaves(inputs))}
    with run_settings():
        record |= evaluate(module, inputs)
        with unchanged(module):
            record |= random_outputs(module.train(), small)
        record |= step_without_randomness(module, small, seed)
        differences = python_differences(module, programs, record, inputs, seed)
        with torch.no_grad(), unchanged(module):
            train_outputs = describe(module.train()(*small[0], **small[1]))
            eval_outputs = describe(module.eval()(*small[0], **small[1]))
    check_conditioning(entry.name, record)
    save_file({name: tensor.detach() for name, tensor in record.items()}, folder / "reference.safetensors")
    names = [name for name, _ in module.named_parameters()]
    return {
        "torch": torch.__version__, "settings": SETTINGS,
        "export_batch": EXPORT_BATCH, "eval_batches": list(EVAL_BATCHES),
        "inputs": describe(small), "eval_outputs": eval_outputs, "train_outputs": train_outputs,
        "parameters": names, "buffers": [name for name, _ in module.named_buffers()],
        "without_gradient": [name for name in names if f"step/gradient/{name}" not in record],
        "aliases": aliases(module), "optimizer": {"kind": "SGD", "lr": LEARNING_RATE, "momentum": MOMENTUM},
        "drop_paths": drop_paths(module), "python_difference": differences,
    }
