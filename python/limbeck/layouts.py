"""channels_last for calls whose caller keeps to PyTorch's own layout: fused batch norms and low precision need it."""

import re

import torch
from torch.utils import _pytree as pytree

_CONVOLUTION = re.compile(r"\baten::(conv2d|convolution)\b")
# What reads a tensor's strides: on channels_last memory it fails, or gives other elements.
_OF_STRIDES = re.compile(r"\baten::(view|as_strided|_unsafe_view|view_as)\b")


def why_not_channels_last(graph_text):
    """Why a graph's runs keep the layout of their inputs, or None where channels_last suits them."""
    if _CONVOLUTION.search(graph_text) is None:
        return "no 2-D convolution, which is what channels_last is for"
    found = _OF_STRIDES.search(graph_text)
    if found is not None:
        return f"{found[0]} in the graph takes the layout that it was written for (reshape and flatten take any)"
    return None


def _is_own(tensor):
    """Whether nothing else sees the tensor's memory: no view, no tied tensor, no other process.

    What is part of a larger tensor, or of a bucket of gradients, has to stay where it is.
    """
    storage = tensor.untyped_storage()
    is_whole = tensor._base is None and storage.nbytes() == tensor.numel() * tensor.element_size()
    is_of_processes = tensor.device.type == "cpu" and tensor.is_shared()
    return is_whole and not is_of_processes and torch._C._storage_Use_Count(storage._cdata) == 2  # `tensor` and `storage`


def _with_weight(parameter, optimizer):
    """The parameter and what a step walks beside it: gradient and state of its shape."""
    state = {} if optimizer is None else optimizer.state.get(parameter, {})
    beside = [parameter.grad, *state.values()]
    return [parameter, *(tensor for tensor in beside if isinstance(tensor, torch.Tensor) and tensor.shape == parameter.shape)]


def turn_weights(parameters, optimizer):
    """Turns the weights [O, I, kH, kW], their gradients and the optimizer's state for them to channels_last, in place.

    Returns how many weights were turned. Left are those whose memory, or that of gradient or state, others see too.
    """
    turned = 0
    for parameter in parameters:
        if parameter.dim() != 4 or parameter.is_contiguous(memory_format=torch.channels_last):
            continue
        together = _with_weight(parameter, optimizer)
        if not all(tensor.layout == torch.strided and _is_own(tensor) for tensor in together):
            continue
        for tensor in together:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
        turned += 1
    return turned


def _laid_out(value, layout):
    return pytree.tree_map(lambda leaf: leaf.contiguous(memory_format=layout)
                           if isinstance(leaf, torch.Tensor) and leaf.dim() == 4 else leaf, value)


def _is_contiguous(leaf):
    return isinstance(leaf, torch.Tensor) and leaf.dim() == 4 and leaf.is_contiguous()


def in_channels_last(call, is_wanted):
    """`call` with its images [B, C, H, W] in channels_last where is_wanted(self).

    Of contiguous images contiguous outputs come back: what follows them may hold to that layout.
    """

    def converted(self, *args, **kwargs):
        if not is_wanted(self):
            return call(self, *args, **kwargs)
        was_contiguous = any(_is_contiguous(leaf) for leaf in pytree.tree_leaves((args, kwargs)))
        args, kwargs = _laid_out((args, kwargs), torch.channels_last)
        output = call(self, *args, **kwargs)
        return _laid_out(output, torch.contiguous_format) if was_contiguous else output

    return converted
