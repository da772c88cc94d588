"""Limbeck's transforms as functions, made from the library's own table of their names and options."""

import inspect
import json

from limbeck import keywords
from limbeck._extension import core as _core


def _tupled(value):
    return tuple(value) if isinstance(value, list) else value


def _document(help_text, options):
    width = max((len(key) for key, _ in options), default=0)
    lines = [f"    {key.ljust(width)}  {meaning}" for key, meaning in options]
    return "\n".join([f"{help_text[0].upper()}{help_text[1:]}.", *([""] if lines else []), *lines])


def _function(name, help_text, options, defaults):
    """The function that makes the transform `name`, with its options as arguments."""
    signature = inspect.Signature([
        inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=_tupled(defaults[key]))
        for key, _ in options
    ])

    def make(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        return _core.make_transform(keywords.as_text({name: given}))

    make.__name__ = make.__qualname__ = name
    make.__doc__ = _document(help_text, options)
    make.__signature__ = signature
    return make


#: {name: function} of all transforms.
functions = {
    name: _function(name, help_text, options, json.loads(defaults))
    for name, help_text, options, defaults in _core.transform_table()
}
