"""Keyword arguments as the library's options: values as JSON text."""

import json


def _plain(value):
    """numpy's numbers, tensors of one number, paths, sets and the like as what JSON has."""
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    raise ValueError(f"[options] a value must be a number, text, list or dict, got {type(value).__name__}: {value!r}")


def as_text(value):
    """One value as JSON text. ValueError for what JSON does not have."""
    return json.dumps(value, default=_plain, ensure_ascii=False)


def as_keywords(mapping):
    """[(key, JSON text)] of a dict."""
    return [(str(key), as_text(value)) for key, value in mapping.items()]


def describe(schema, indent="    "):
    """A JSON schema's keys as lines for people: key, default, what it means; sections below it."""
    lines = []
    for key, entry in schema["properties"].items():
        section = entry.get("properties")
        default = "" if section or "default" not in entry else f" = {entry['default']!r}"
        choices = " | ".join(entry["enum"]) + ": " if "enum" in entry else ""
        lines.append(f"{indent}{key}{default}: {choices}{entry.get('description', '')}")
        if section:
            lines += describe(entry, indent + "    ")
    return lines
