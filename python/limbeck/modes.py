"""A torch.nn.Module in another mode for one run, and afterwards as it was."""

import contextlib


@contextlib.contextmanager
def in_eval_mode(module):
    """Every submodule in eval mode; its own mode again afterwards."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, mode in modes:
            child.training = mode


@contextlib.contextmanager
def on_copies_of_buffers(module):
    """A run that works on copies of the module's buffers, which has the same objects as before afterwards.

    Autograd may hold what a run wrote to until backward, so that nothing can be written back into it.
    """
    before = [(child, dict(child._buffers.items())) for child in module.modules()]
    copies = {}  # by identity: what is shared stays shared
    for child, buffers in before:
        for name, buffer in buffers.items():
            if buffer is not None:
                child._buffers[name] = copies.setdefault(id(buffer), buffer.detach().clone())
    try:
        yield
    finally:
        for child, buffers in before:
            for name in [name for name in child._buffers if name not in buffers]:
                del child._buffers[name]
            for name, buffer in buffers.items():
                child._buffers[name] = buffer


@contextlib.contextmanager
def in_role(module, is_training, writes_buffers):
    """The module's modes as the role wants them, and its own buffers again afterwards where it trains and writes none.

    A module that is in train mode already keeps its own flags: frozen norms stay frozen.
    """
    modes = [(child, child.training) for child in module.modules()]
    keeps_buffers = is_training and not writes_buffers
    if not is_training:
        module.eval()
    elif not module.training:
        module.train()
    try:
        with on_copies_of_buffers(module) if keeps_buffers else contextlib.nullcontext():
            yield
    finally:
        for child, mode in modes:
            child.training = mode
