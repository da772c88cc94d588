"""Models of other libraries, small, and inputs for them."""

import torch

# torchvision's Python declares rules for operators of its compiled part, which need not load beside this torch.
_library = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    if not torch._C._dispatch_has_kernel(f"torchvision::{_name}"):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def bert():
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_labels=3,
                                                    num_attention_heads=2, intermediate_size=32,
                                                    max_position_embeddings=32))


def sentences(count, length, seed=0):
    """Token numbers and a mask, by the names of their arguments."""
    generator = torch.Generator().manual_seed(seed)
    return {"input_ids": torch.randint(50, (count, length), generator=generator),
            "attention_mask": (torch.rand(count, length, generator=generator) > 0.2).long()}
