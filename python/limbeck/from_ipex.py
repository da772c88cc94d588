"""What to do in the place of the keywords that ipex.optimize has and lb.optimize has not.

docs/from-ipex.md shows the same sentences beside its other arguments.
"""

_FOLDING = "does not exist yet (compiled inference): norms run as they are, in training fused. Leave it out"
_PREPACK = "does not exist yet (compiled inference): weights stay PyTorch's. Leave it out"

INSTEAD = {
    "level": "does not exist: what can be done is done, and `lb.report(model)` says what was. Leave it out",
    "inplace": "does not exist: nothing is copied, your own module and optimizer stay usable. Leave it out",
    "conv_bn_folding": _FOLDING,
    "linear_bn_folding": _FOLDING,
    "weights_prepack": _PREPACK,
    "auto_kernel_selection": _PREPACK,
    "replace_dropout_with_identity": "is not needed: dropout belongs to train mode alone. Call `model.eval()`",
    "optimize_lstm": "does not exist: PyTorch's LSTM runs. Leave it out",
    "split_master_weight_for_bf16": "does not exist in Python: parameters and checkpoints are float32. Leave it out",
    "fuse_update_step": "is always on for `torch.optim`'s SGD, Adam, AdamW, Adagrad; Lamb and LARS are `lb.optim.LAMB` and "
                        "`lb.optim.LARS`. Leave it out",
    "graph_mode": "is what `sample_input` does, in training too. Give `sample_input=x`",
    "concat_linear": "does not exist: linear layers run one by one. Leave it out",
}
