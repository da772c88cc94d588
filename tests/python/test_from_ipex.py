"""Keywords of ipex.optimize: what the guide says of each is what the error says."""

import inspect
import pathlib
import re

import pytest
import torch
from torch import nn

import limbeck as lb
from limbeck.from_ipex import INSTEAD

GUIDE = pathlib.Path(__file__).parents[2] / "docs/from-ipex.md"


def keywords_of_the_guide():
    """{keyword: what the guide says} of the table of ipex.optimize's arguments."""
    table = GUIDE.read_text().split("argument by argument")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", table, re.MULTILINE)
    return {re.match(r"\w+", name)[0]: said for names, said in rows for name in re.findall(r"`(.*?)`", names)}


def test_the_guide_has_each_keyword_once():
    said = keywords_of_the_guide()
    known = [name for name in said if name not in INSTEAD]
    assert known == ["model", "optimizer", "dtype", "sample_input"]
    assert set(known[1:]) <= set(inspect.signature(lb.optimize).parameters)
    assert {name: said[name] for name in INSTEAD} == INSTEAD


@pytest.mark.parametrize("name", INSTEAD)
def test_a_keyword_of_ipex_says_what_to_do(name):
    model = nn.Linear(4, 2)
    with pytest.raises(TypeError) as raised:
        lb.optimize(model, dtype=torch.bfloat16, **{name: False})
    assert str(raised.value) == f"[optimize] {name}= {INSTEAD[name].replace('`', '')}."


def test_other_keywords_name_the_nearest():
    with pytest.raises(TypeError, match="no keyword sample_inputs=. Nearest: sample_input="):
        lb.optimize(nn.Linear(4, 2), sample_inputs=torch.randn(3, 4))


def test_a_dtype_by_position():
    with pytest.raises(TypeError, match="given by name: dtype=torch.bfloat16"):
        lb.optimize(nn.Linear(4, 2), torch.bfloat16)
