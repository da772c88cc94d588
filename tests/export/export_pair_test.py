"""What users rely on in export_pair.py."""
import collections
import dataclasses
import pathlib
import tempfile
import unittest
import warnings

import torch
from torch import nn
from torch.export.pt2_archive._package import load_pt2

import export_pair

Heads = collections.namedtuple("Heads", "logits auxiliary")


@dataclasses.dataclass
class Result:
    logits: torch.Tensor
    heads: Heads


class Net(nn.Module):
    """Two norms, dropout, an auxiliary head in train mode; `wrap` makes the output."""

    def __init__(self, wrap):
        super().__init__()
        self.fc, self.norm, self.frozen, self.wrap = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4), wrap
        self.drop = nn.Dropout(0.5)

    def forward(self, x, scale=None):
        y = self.drop(self.frozen(self.norm(self.fc(x))))
        if scale is not None:
            y = y * scale
        return self.wrap(y, x) if self.training else y


class FixedBatch(nn.Module):
    def forward(self, x):
        return x.reshape(3, 4) * 2


class Sum(nn.Module):
    def forward(self, a, b):
        return a + b


def targets(program):
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def batch_norm_flags(program):
    return [node.args[5] for node in program.graph.nodes if str(node.target) == "aten.batch_norm.default"]


class ExportPair(unittest.TestCase):
    def saved(self, module, args, **options):
        """Exports, saves, loads again: what a reader of the file gets."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "pair.pt2"
            programs = export_pair.export_pair(module, args, path, **options)
            self.assertEqual(set(programs), {"eval", "train"})
            return load_pt2(path).exported_programs

    def test_holds_both_modes_with_a_free_batch(self):
        module = Net(lambda y, x: (y, x)).eval()
        pair = self.saved(module, (torch.randn(3, 4),))
        self.assertEqual(batch_norm_flags(pair["eval"]), [False, False])
        self.assertEqual(batch_norm_flags(pair["train"]), [True, True])
        for batch in (1, 3, 7):
            x = torch.randn(batch, 4)
            torch.testing.assert_close(pair["eval"].module()(x), module.eval()(x), rtol=0, atol=0)
        self.assertEqual(len(pair["train"].module()(torch.randn(5, 4))), 2)

    def test_inputs_share_one_batch(self):
        scale = torch.randn(3, 4)
        pair = self.saved(Net(lambda y, x: y), (torch.randn(3, 4),), kwargs={"scale": scale})
        self.assertEqual(len(pair["eval"].range_constraints), 1)

    def test_saves_named_tuples_and_dataclasses(self):
        for wrap in (Heads, lambda y, x: Result(y, Heads(x, y)), lambda y, x: {"out": Heads(y, x)}):
            pair = self.saved(Net(wrap), (torch.randn(3, 4),))
            num_outputs = 3 if isinstance(wrap(0, 0), Result) else 2
            self.assertEqual(len(pair["train"].graph_signature.user_outputs), num_outputs)

    def test_leaves_modes_and_weights_alone(self):
        module = Net(lambda y, x: y).train()
        module.frozen.eval()
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        pair = self.saved(module, (torch.randn(3, 4),))
        self.assertEqual(batch_norm_flags(pair["train"]), [True, False])
        self.assertEqual([child.training for child in (module, module.norm, module.frozen)], [True, True, False])
        for name, tensor in module.state_dict().items():
            self.assertTrue(torch.equal(tensor, before[name]), name)
            self.assertTrue(torch.equal(tensor, pair["train"].state_dict[name]), name)

    def test_says_why_a_batch_is_fixed(self):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            pair = self.saved(FixedBatch(), (torch.randn(3, 4),))
        self.assertIn("the eval export has its batch fixed at 3, because:", str([one.message for one in said]))
        self.assertEqual(len(pair["eval"].range_constraints), 0)
        self.assertEqual({one.filename for one in said if "limbeck:" in str(one.message)}, {__file__})

    def test_frees_further_sizes_where_asked(self):
        mean = Net(lambda y, x: y).eval()
        mean.forward = lambda x: mean.fc(x["rows"]).mean(1) + x["shift"]
        inputs = {"rows": torch.randn(3, 5, 4), "shift": torch.randn(4)}
        pair = self.saved(mean, (inputs,), dynamic_shapes={"x": {"rows": {1: torch.export.Dim("length")}, "shift": None}})
        for batch, length in ((1, 2), (3, 5), (4, 9)):
            x = {**inputs, "rows": torch.randn(batch, length, 4)}
            torch.testing.assert_close(pair["eval"].module()(x), mean(x), rtol=0, atol=0)

    def test_a_size_that_was_asked_for_is_never_fixed_in_silence(self):
        with self.assertRaisesRegex(torch._dynamo.exc.UserError, "width"):
            self.saved(FixedBatch(), (torch.randn(3, 4),), dynamic_shapes={"x": {1: torch.export.Dim("width")}})

    def test_none_beside_a_further_size_leaves_the_batch_free(self):
        length = torch.export.Dim("length")
        for axes in ((None, length, None), [None, length, None], {0: None, 1: length}):
            pair = self.saved(nn.Linear(4, 2), (torch.randn(3, 5, 4),), dynamic_shapes={"input": axes})
            self.assertEqual(pair["eval"].module()(torch.randn(7, 6, 4)).shape, (7, 6, 2))

    def test_a_batch_of_the_users_is_that_of_all_inputs(self):
        length = torch.export.Dim("length")
        for batch in (torch.export.Dim("batch"), torch.export.Dim("rows", max=8)):
            for first, second in (({0: batch, 1: length}, {1: length}), ({1: length}, (batch, length))):
                inputs = torch.randn(3, 5), torch.randn(3, 5)
                pair = self.saved(Sum(), inputs, dynamic_shapes={"a": first, "b": second})
                a, b = torch.randn(7, 6), torch.randn(7, 6)
                self.assertTrue(torch.equal(pair["eval"].module()(a, b), a + b))
            pair = self.saved(Sum(), (torch.randn(3, 5), torch.randn(3, 1)), dynamic_shapes={"a": {0: batch}})
            self.assertEqual(pair["eval"].module()(torch.randn(7, 5), torch.randn(7, 1)).shape, (7, 5))

    def test_two_batches_of_the_users_stay_two(self):
        shapes = {"a": {0: torch.export.Dim("rows")}, "b": {0: torch.export.Dim("columns")}}
        pair = self.saved(Sum(), (torch.randn(3, 1), torch.randn(3)), dynamic_shapes=shapes)
        self.assertEqual(pair["eval"].module()(torch.randn(4, 1), torch.randn(6)).shape, (4, 6))

    def test_refuses_a_batch_of_one(self):
        with self.assertRaisesRegex(ValueError, "must be 2 or more .* got 1"):
            export_pair.export_pair(Net(lambda y, x: y), (torch.randn(1, 4),))


if __name__ == "__main__":
    unittest.main()
