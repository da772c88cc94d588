"""Loads the extension module, after a look at whether its torch is the one that is here."""

import torch  # loads libtorch, which the extension's symbols are in

from limbeck.built_with import TORCH_VERSION


def _release(version):
    """The version without the kind of build: 2.13.0 of 2.13.0+cpu."""
    return version.split("+")[0]


def _mismatch():
    return (f"limbeck was built against torch {TORCH_VERSION}, found torch {torch.__version__}: "
            "rebuild it with pip install --no-build-isolation --force-reinstall --no-deps .")


def check_torch():
    """Raises ImportError when the torch here has another C++ interface than that of the build."""
    if _release(torch.__version__) != _release(TORCH_VERSION):
        raise ImportError(_mismatch())


def _load():
    check_torch()
    try:
        from limbeck import _core
    except ImportError as error:
        if torch.__version__ == TORCH_VERSION:
            raise
        raise ImportError(_mismatch()) from error
    return _core


core = _load()
