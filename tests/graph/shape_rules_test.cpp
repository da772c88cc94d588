// Every rule of the op table against real CPU kernels: a line of the text form is inferred by the rule and by running.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/call_node.h"
#include "limbeck/graph/infer.h"
#include "limbeck/graph/ops/rows.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/graph/text/text_reader.h"

namespace limbeck::graph {
namespace {

/// Inputs that the calls below take. B is symbolic, so results are compared as expressions and at two batch sizes.
constexpr const char* kInputs =
    R"(graph(%x: f32[B, 6, 9, 8], %x1: f32[B, 6, 9], %x3: f32[B, 4, 5, 6, 7], %one: f32[6, 9, 8],
 %v: f32[8], %m: f32[B, 8], %sq: f32[4, 4], %seq: f32[B, 5, 8], %seq2: f32[B, 8, 5], %c: f32[6], %i: i64[B, 8], %t: bool[B, 8],
 %h: f16[B, 8], %s: f32[], %e: f32[0], %d: f64[B, 8], %q: f32[B, 2, 5, 8], %k: f32[B, 2, 7, 8], %w2: f32[4, 3, 3, 3],
 %w1: f32[4, 6, 3], %w3: f32[2, 4, 3, 3, 3], %wt2: f32[6, 2, 3, 3], %wt1: f32[6, 4, 3], %wt3: f32[4, 2, 3, 3, 3],
 %lin: f32[3, 8], %emb: f32[11, 4], %idx: i64[3], %ungrouped: f32[4, 6, 3, 3], %state: f32[1, 5, 3], %wih: f32[12, 8],
 %whh: f32[12, 3], %gih: f32[9, 8], %ghh: f32[9, 3], %rih: f32[3, 8], %rhh: f32[3, 3], %img: f32[B, 8, 4, 4],
 %a: f32[B, 1, 8], %b8: f32[8, 8], %bb: f32[B, 8, 8]))";

const char* const kCalls[] = {
    "aten::conv2d(%x, %ungrouped)",
    "aten::conv2d(%x, %w2, stride=[2, 3], padding=[1, 0], dilation=[2, 1], groups=2)",
    "aten::conv2d(%one, %ungrouped, padding=[1, 1])",
    "limbeck::batch_norm_act(%x, None, None, None, None, True, 0.1, 1e-05)",
    "limbeck::batch_norm_act(%x, None, None, None, None, True, 0.1, 1e-05, %x, \"relu\")",
    "limbeck::depthwise_conv2d(%x, %ungrouped, padding=[1, 1])",
    "limbeck::strided_pointwise_conv2d(%x, %ungrouped, stride=[2, 1])",
    "limbeck::patch_conv2d(%x, %ungrouped, stride=[3, 3])",
    "limbeck::depthwise_conv2d(%x, %w2, stride=[2, 3], padding=[1, 0], groups=2)",
    "aten::conv2d.padding(%x, %ungrouped, padding=\"same\")",
    "aten::conv2d.padding(%x, %ungrouped, padding=\"valid\", stride=[2, 2])",
    "aten::conv1d(%x1, %w1, stride=[2])",
    "aten::conv1d.padding(%x1, %w1, padding=\"same\", dilation=[2])",
    "aten::conv3d(%x3, %w3, padding=[1, 1, 1])",
    "aten::conv3d.padding(%x3, %w3, padding=\"same\")",
    "aten::conv_transpose1d(%x1, %wt1, stride=[2])",
    "aten::conv_transpose2d.input(%x, %wt2, stride=[3, 2], padding=[1, 0], output_padding=[2, 1], groups=2, "
    "dilation=[1, 2])",
    "aten::conv_transpose3d.input(%x3, %wt3)",
    "aten::convolution(%x, %ungrouped, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1)",
    "aten::convolution(%x, %wt2, None, [2, 2], [1, 1], [1, 1], True, [1, 1], 1)",
    "aten::batch_norm(%x, %c, %c, %c, %c, False, 0.1, 1e-05, False)",
    "aten::instance_norm(%x, %c, %c, None, None, True, 0.1, 1e-05, False)",
    "aten::group_norm(%x, 3, %c, %c)",
    "aten::layer_norm(%m, [8], %v, %v)",
    "aten::layer_norm(%x, [9, 8])",
    "aten::native_layer_norm(%x, [9, 8], None, None, 1e-05)",
    "aten::rms_norm(%m, [8])",
    "aten::max_pool1d(%x1, [3], [2], [1], [1], True)",
    "aten::max_pool2d(%x, [3, 2], [2, 2], [1, 1])",
    "aten::max_pool2d(%x, [3, 3], [2, 3], [1, 1], [2, 1], True)",
    "aten::max_pool2d(%x, [2, 2])",
    "aten::max_pool3d(%x3, [2, 2, 2])",
    "aten::max_pool1d_with_indices(%x1, [3])",
    "aten::max_pool2d_with_indices(%x, [2, 2], [2, 2])",
    "aten::max_pool3d_with_indices(%x3, [2, 2, 2])",
    "aten::avg_pool1d(%x1, [2])",
    "aten::avg_pool2d(%x, [3, 3], [2, 2], [1, 1], True)",
    "aten::avg_pool3d(%x3, [2, 3, 2])",
    "aten::adaptive_avg_pool1d(%x1, [4])",
    "aten::adaptive_avg_pool2d(%x, [1, 3])",
    "aten::adaptive_avg_pool3d(%x3, [1, 2, 3])",
    "aten::_adaptive_avg_pool2d(%x, [2, 2])",
    "aten::adaptive_max_pool1d(%x1, [4])",
    "aten::adaptive_max_pool2d(%x, [3, 1])",
    "aten::adaptive_max_pool3d(%x3, [1, 2, 3])",
    "aten::linear(%seq, %lin)",
    "aten::linear(%v, %lin)",
    "aten::linear(%m, %v)",
    "aten::mm(%m, %b8)",
    "aten::bmm(%seq, %seq2)",
    "aten::matmul(%seq, %seq2)",
    "aten::matmul(%seq, %v)",
    "aten::matmul(%v, %seq2)",
    "aten::matmul(%a, %bb)",
    "aten::mv(%m, %v)",
    "aten::dot(%v, %v)",
    "aten::addmm(%v, %m, %b8)",
    "aten::baddbmm(%bb, %bb, %bb)",
    "aten::einsum(\"bij,bjk->bik\", [%seq, %seq2])",
    "aten::einsum(\"bij, bjk\", [%seq, %seq2])",
    "aten::einsum(\"bi,bi->b\", [%m, %m])",
    "aten::scaled_dot_product_attention(%q, %k, %k)",
    "limbeck::scaled_dot_product_attention(%q, %k, %k)",
    "limbeck::unbind(%x, 1)",
    "aten::relu(%x)",
    "aten::relu(%i)",
    "aten::sigmoid(%h)",
    "aten::sigmoid(%i)",
    "aten::exp(%t)",
    "aten::isnan(%h)",
    "aten::logical_not(%i)",
    "aten::abs(%i)",
    "aten::add.Tensor(%seq, %a)",
    "aten::add.Tensor(%h, %m)",
    "aten::add.Tensor(%i, 2)",
    "aten::add.Tensor(%i, 2.5)",
    "aten::add.Tensor(%h, 2.5)",
    "aten::add.Tensor(%h, %s)",
    "aten::add.Tensor(%i, %s)",
    "aten::add.Tensor(%m, %d)",
    "aten::add.Tensor(%t, 1)",
    "aten::add.Scalar(%i, 2)",
    "aten::sub.Tensor(%m, %v)",
    "aten::rsub.Scalar(%i, 1.5)",
    "aten::mul.Tensor(%t, %h)",
    "aten::maximum(%m, %d)",
    "aten::remainder.Scalar(%i, 3)",
    "aten::floor_divide(%m, %m)",
    "aten::bitwise_and.Tensor(%t, %i)",
    "aten::div.Tensor(%i, 2)",
    "aten::div.Tensor(%h, %m)",
    "aten::div.Tensor_mode(%m, %v, rounding_mode=\"floor\")",
    "aten::div.Tensor_mode(%i, %i, rounding_mode=None)",
    "aten::atan2(%m, %v)",
    "aten::eq.Tensor(%i, %m)",
    "aten::gt.Scalar(%m, 0.5)",
    "aten::logical_and(%t, %m)",
    "aten::pow.Tensor_Scalar(%i, 2)",
    "aten::pow.Tensor_Scalar(%i, 0.5)",
    "aten::pow.Tensor_Tensor(%h, %m)",
    "aten::pow.Scalar(2, %i)",
    "aten::where.self(%t, %m, %d)",
    "aten::where.ScalarSelf(%t, 1, %m)",
    "aten::where.ScalarOther(%t, %h, 2.5)",
    "aten::masked_fill.Scalar(%h, %t, 1)",
    "aten::clamp(%i, 0, 2.5)",
    "aten::clamp(%h, 0.0, None)",
    "aten::clamp_min(%m, 0)",
    "aten::lerp.Scalar(%m, %v, 0.5)",
    "aten::addcmul(%m, %v, %v)",
    "aten::prelu(%x, %c)",
    "aten::clone(%m)",
    "aten::to.dtype(%m, dtype.f16)",
    "aten::to.dtype_layout(%m, dtype=dtype.bf16)",
    "aten::_to_copy(%i, dtype=dtype.f32)",
    "aten::type_as(%m, %i)",
    "aten::zeros_like(%h)",
    "aten::ones_like(%h, dtype=dtype.i64)",
    "aten::zeros([B, 3])",
    "aten::new_zeros(%h, [B, 2])",
    "aten::full([2, B], 3)",
    "aten::full([2], 3.5)",
    "aten::full([2], True)",
    "aten::arange(B)",
    "aten::arange.start(2, 9)",
    "aten::arange.start_step(9, 2, -2)",
    "aten::arange.start_step(0, 10, 3, dtype=dtype.f32)",
    "aten::view(%x, [B, -1])",
    "aten::view(%x, [-1, 8])",
    "aten::reshape(%x, [2, -1, 3])",
    "aten::_unsafe_view(%m, [B, 2, 4])",
    "aten::flatten.using_ints(%x, 1)",
    "aten::flatten.using_ints(%x, 1, 2)",
    "aten::flatten.using_ints(%s)",
    "aten::unflatten.int(%x, 1, [2, -1])",
    "aten::permute(%x, [0, 2, -1, 1])",
    "aten::transpose.int(%x, 1, -1)",
    "aten::t(%m)",
    "aten::expand(%a, [-1, 5, 8])",
    "aten::expand(%v, [B, -1])",
    "aten::expand_as(%v, %m)",
    "aten::view_as(%bb, %bb)",
    "aten::reshape_as(%bb, %bb)",
    "aten::unsqueeze(%m, -1)",
    "aten::squeeze(%a)",
    "aten::squeeze.dim(%a, 1)",
    "aten::squeeze.dim(%a, 2)",
    "aten::squeeze.dims(%a, [1, 2])",
    "aten::movedim.int(%x, 1, -1)",
    "aten::movedim.intlist(%x, [1, 2], [3, 1])",
    "aten::pixel_shuffle(%img, 2)",
    "aten::pixel_unshuffle(%img, 2)",
    "aten::channel_shuffle(%x, 3)",
    "aten::roll(%x, [1], [2])",
    "aten::flip(%x, [1, 2])",
    "aten::tril(%sq)",
    "aten::triu(%sq)",
    "aten::cat([%m, %m, %d], 1)",
    "aten::cat([%m, %m])",
    "aten::cat([%e, %m], 1)",
    "aten::concat([%m, %m], 1)",
    "aten::stack([%m, %m], -1)",
    "aten::split.Tensor(%x, 4, 1)",
    "aten::split_with_sizes(%x, [1, 2, 3], 1)",
    "aten::chunk(%x, 4, 1)",
    "aten::unbind.int(%x1, 1)",
    "aten::constant_pad_nd(%x, [1, 2, -1, 0])",
    "aten::pad(%x, [1, 1, 2, 0], \"reflect\")",
    "aten::reflection_pad1d(%x1, [1, 2])",
    "aten::reflection_pad2d(%x, [1, 2, 0, 1])",
    "aten::replication_pad1d(%x1, [1, 2])",
    "aten::replication_pad2d(%x, [1, 2, 0, 1])",
    "aten::repeat(%m, [2, 1, 3])",
    "aten::tile(%x1, [2])",
    "aten::slice.Tensor(%x, 2, 1, 9223372036854775807, 3)",
    "aten::slice.Tensor(%x, 3, -3, -1)",
    "aten::slice.Tensor(%x, 3, 5, 2)",
    "aten::slice.Tensor(%x, 0, 0, 9223372036854775807)",
    "aten::select.int(%x, 1, -1)",
    "aten::narrow(%x, 1, 2, 3)",
    "aten::index_select(%x, 1, %idx)",
    "aten::gather(%m, 1, %i)",
    "aten::embedding(%emb, %i)",
    "aten::index.Tensor(%x, [None, %idx])",
    "aten::index.Tensor(%x, [None, %idx, %idx])",
    "aten::index.Tensor(%x, [None, %idx, None, %idx])",
    "aten::slice_scatter(%m, %m, 0)",
    "aten::select_scatter(%a, %m, 1, 0)",
    "aten::copy(%m, %v)",
    "aten::fill.Scalar(%h, 1)",
    "aten::index_put(%emb, [%idx], %s)",
    "aten::upsample_nearest1d(%x1, [20])",
    "aten::upsample_nearest2d(%x, [18, 4])",
    "aten::upsample_nearest2d.vec(%x, None, [2.0, 1.5])",
    "aten::upsample_nearest1d.vec(%x1, [5], None)",
    "aten::upsample_nearest3d(%x3, [6, 6, 6])",
    "aten::upsample_nearest3d.vec(%x3, None, [2.0, 2.0, 2.0])",
    "aten::upsample_linear1d(%x1, [20], False)",
    "aten::upsample_linear1d.vec(%x1, None, False, [2.0])",
    "aten::upsample_bilinear2d(%x, [18, 4], True)",
    "aten::upsample_bilinear2d.vec(%x, [3, 3], False, None)",
    "aten::upsample_bicubic2d(%x, [18, 4], True)",
    "aten::upsample_bicubic2d.vec(%x, None, False, [0.5, 2.0])",
    "aten::sum(%i)",
    "aten::sum.dim_IntList(%x, [1, -1], True)",
    "aten::sum.dim_IntList(%t, [1])",
    "aten::prod.dim_int(%m, 1)",
    "aten::mean(%x)",
    "aten::mean.dim(%x, [2, 3], True)",
    "aten::mean.dim(%x, [-1], dtype=dtype.f64)",
    "aten::amax(%x, [1])",
    "aten::max(%x)",
    "aten::var.correction(%x, [1], correction=0)",
    "aten::std.dim(%x, [2], True, True)",
    "aten::logsumexp(%m, [1])",
    "aten::var_mean.correction(%x, [1, 2])",
    "aten::max.dim(%x, 1)",
    "aten::min.dim(%x, 1, True)",
    "aten::argmax(%x, 1)",
    "aten::argmax(%x)",
    "aten::argmin(%x, 1, True)",
    "aten::any(%t)",
    "aten::any.dim(%t, 1)",
    "aten::all.dim(%t, 1, True)",
    "aten::softmax.int(%m, 1)",
    "aten::softmax.int(%h, 1, dtype.f32)",
    "aten::log_softmax.int(%m, -1)",
    "aten::_softmax(%m, 1, False)",
    "aten::cumsum(%t, 1)",
    "aten::cumprod(%m, 0)",
    "aten::topk(%m, 3)",
    "aten::sort(%m)",
    "aten::dropout(%m, 0.5, True)",
    "aten::feature_dropout(%x, 0.5, True)",
    "aten::alpha_dropout(%m, 0.5, True)",
    "aten::feature_alpha_dropout(%x, 0.5, True)",
    "aten::native_dropout(%m, 0.5, True)",
    "aten::rrelu(%m, 0.1, 0.3, True)",
    "aten::rand_like(%m)",
    "aten::randn_like(%h)",
    "aten::bernoulli(%m)",
    "aten::bernoulli.p(%m, 0.5)",
    "limbeck::drop_path(%x, 0.5, train=True)",
    "aten::lstm.input(%seq, [%state, %state], [%wih, %whh], False, 1, 0.0, False, False, False)",
    "aten::gru.input(%seq, %state, [%gih, %ghh], False, 1, 0.0, False, False, False)",
    "aten::rnn_tanh.input(%seq, %state, [%rih, %rhh], False, 1, 0.0, False, False, False)",
    "aten::rnn_relu.input(%seq, %state, [%rih, %rhh], False, 1, 0.0, False, False, False)",
};

/// Ops of one tensor, which differ in the dtypes they take and give.
constexpr const char* kOfFloats[] = {
    "relu6",       "leaky_relu", "elu",         "selu",      "celu",           "gelu",           "silu",
    "mish",        "hardtanh",   "hardsigmoid", "hardswish", "softplus",       "softshrink",     "hardshrink",
    "log_sigmoid", "frac",       "std",         "var",       "var.correction", "std.correction", "std_mean.correction"};
constexpr const char* kOfNumbers[] = {"neg",
                                      "sign",
                                      "square",
                                      "floor",
                                      "ceil",
                                      "round",
                                      "trunc",
                                      "nan_to_num",
                                      "positive",
                                      "contiguous",
                                      "detach",
                                      "alias",
                                      "lift_fresh_copy",
                                      "empty_like",
                                      "isinf",
                                      "isfinite",
                                      "tanh",
                                      "exp2",
                                      "expm1",
                                      "log",
                                      "log2",
                                      "log10",
                                      "log1p",
                                      "sqrt",
                                      "rsqrt",
                                      "reciprocal",
                                      "sin",
                                      "cos",
                                      "tan",
                                      "asin",
                                      "acos",
                                      "atan",
                                      "sinh",
                                      "cosh",
                                      "erf",
                                      "erfc",
                                      "logit",
                                      "prod",
                                      "min",
                                      "all"};
/// Ops of two tensors, and of a tensor and a number.
constexpr const char* kOfTwo[] = {"rsub.Tensor", "minimum",    "remainder.Tensor", "fmod.Tensor",
                                  "ne.Tensor",   "lt.Tensor",  "le.Tensor",        "gt.Tensor",
                                  "ge.Tensor",   "logical_or", "logical_xor",      "to.other"};
constexpr const char* kWithNumber[] = {"sub.Scalar", "mul.Scalar", "fmod.Scalar", "eq.Scalar",  "ne.Scalar",
                                       "lt.Scalar",  "le.Scalar",  "ge.Scalar",   "div.Scalar", "clamp_max"};
constexpr const char* kOthers[] = {"aten::bitwise_not(%i)",
                                   "aten::bitwise_not(%t)",
                                   "aten::bitwise_or.Tensor(%i, %i)",
                                   "aten::bitwise_xor.Tensor(%t, %t)",
                                   "aten::threshold(%m, 0.5, 1)",
                                   "aten::amin(%x, [1, 2], True)",
                                   "aten::div.Scalar_mode(%i, 3, rounding_mode=\"trunc\")",
                                   "aten::clamp.Tensor(%m, %v, None)",
                                   "aten::masked_fill.Tensor(%m, %t, %s)",
                                   "aten::lerp.Tensor(%m, %v, %v)",
                                   "aten::addcdiv(%m, %v, %v)",
                                   "aten::to.device(%m, device.cpu, dtype.f64)",
                                   "aten::full_like(%i, 2)",
                                   "aten::ones([2, B], dtype=dtype.i32)",
                                   "aten::empty.memory_format([B])",
                                   "aten::new_ones(%i, [2])",
                                   "aten::new_empty(%h, [2])",
                                   "aten::new_full(%h, [B, 2], 3)",
                                   "aten::_reshape_copy(%m, [B, 2, 4])",
                                   "aten::_log_softmax(%m, 1, False)",
                                   "aten::var.dim(%x, [1], True, True)"};

std::vector<std::string> all_calls() {
  std::vector<std::string> calls(std::begin(kCalls), std::end(kCalls));
  calls.insert(calls.end(), std::begin(kOthers), std::end(kOthers));
  const auto add = [&](std::string_view op, std::string_view arguments) {
    calls.push_back("aten::" + std::string(op) + "(" + std::string(arguments) + ")");
  };
  for (const char* op : kOfFloats) add(op, "%m");
  for (const char* op : kOfNumbers) add(op, "%d");
  for (const char* op : kOfNumbers) add(op, "%i");
  for (const char* op : kOfTwo) add(op, "%seq, %a");
  for (const char* op : kWithNumber) add(op, "%h, 2");
  for (const char* op : kWithNumber) add(op, "%i, 2");
  return calls;
}

std::string inputs_on_one_line() {
  std::string text = kInputs;
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text + "\n";
}

/// A node with the call's op and arguments, without types.
Node node_of(Graph& graph, const std::string& call) {
  static const std::string inputs = inputs_on_one_line();
  TextSources sources;  // types are taken from the text: one placeholder
  graph = parse_text(inputs + "  %y: none = " + call + "\n", sources);
  return graph.node(graph.order().back());
}

std::string text_of(std::vector<Type> types, int64_t batch) {
  std::string text;
  for (Type& type : types) {
    const TensorType* tensor = type.tensor();
    if (tensor == nullptr) return "no tensor";
    text += std::string(c10::toString(tensor->dtype)) + "[";
    for (const IntExpr& size : *tensor->sizes) text += std::to_string(size.evaluate({{"B", batch}})) + ",";
    text += "] ";
  }
  return text;
}

/// What the op's CPU kernel gives for zeros at one batch size.
std::string text_of_run(const Graph& graph, const Node& node, int64_t batch) {
  std::map<ValueId, c10::IValue> zeros;
  const auto value_of = [&](ValueId value) -> const c10::IValue& {
    const TensorType& type = *graph.type(value).tensor();
    std::vector<int64_t> sizes;
    for (const IntExpr& size : *type.sizes) sizes.push_back(size.evaluate({{"B", batch}}));
    return zeros.try_emplace(value, at::zeros(sizes, type.dtype)).first->second;
  };
  std::vector<Type> types;
  for (const c10::IValue& output : call_node(graph, node, value_of, {{"B", batch}})) {
    types.push_back(type_of_tensor(output.toTensor()));
  }
  return text_of(types, batch);
}

class ShapeRule : public ::testing::TestWithParam<std::string> {};

TEST_P(ShapeRule, AgreesWithExecution) {
  Graph graph;
  const Node node = node_of(graph, GetParam());
  ASSERT_NE(node.op->traits.shape, nullptr) << "no rule";
  const std::vector<Type> ruled = node.op->traits.shape(graph, node);
  ASSERT_FALSE(ruled.empty()) << "the rule cannot tell";
  for (const int64_t batch : {2, 7}) {
    EXPECT_EQ(text_of(ruled, batch), text_of_run(graph, node, batch)) << GetParam();
  }
}

INSTANTIATE_TEST_SUITE_P(Each, ShapeRule, ::testing::ValuesIn(all_calls()));

TEST(ShapeRules, AreAllHeldAgainstExecution) {
  std::set<std::string> tested;
  for (const std::string& call : all_calls()) tested.insert(call.substr(0, call.find('(')));
  for (const std::string& name : op_table_names()) {
    ASSERT_NE(find_op(name), nullptr) << name << " is no op of this libtorch";
    const bool is_held = op_info(name).traits.shape == nullptr || tested.count(name) != 0;
    EXPECT_TRUE(is_held) << name;
  }
}

struct Refusal {
  const char* call;
  const char* expected;
};

TEST(ShapeRules, RefuseWhatDoesNotFit) {
  const Refusal refusals[] = {
      {"aten::conv2d(%x, %w2)", "number of input channels must be 3, got 6"},
      {"aten::conv2d(%x, %wih)", "'weight' must have 3 to 5 axes, got [12, 8]"},
      {"aten::conv2d(%m, %w2)", "'input' must have 3 to 4 axes"},
      {"aten::conv2d(%x, %ungrouped, dilation=[9, 9])", "the kernel covers 19 and the padded input only 9"},
      {"aten::conv2d.padding(%x, %ungrouped, padding=\"full\")", "padding must be"},
      {"aten::linear(%h, %lin)", "'input' is Half and 'weight' is Float"},
      {"aten::linear(%c, %lin)", "last axis of 'input' must be 8, got 6"},
      {"aten::mm(%m, %sq)", "the axis summed over must be 4, got 8"},
      {"aten::batch_norm(%x, %v, None, None, None, True, 0.1, 1e-05, False)",
       "number of elements of 'weight' must be 6"},
      {"aten::group_norm(%x, 4)", "channels modulo groups must be 0, got 2"},
      {"aten::layer_norm(%m, [7])", "size of axis must be 7, got 8"},
      {"aten::max_pool2d(%x, [30, 2])", "no window fits in an input of [B, 6, 9, 8]"},
      {"aten::view(%sq, [3, 5])", "number of elements of [3, 5] must be 16, got 15"},
      {"aten::view(%sq, [-1, 5])", "16 elements modulo 5 must be 0, got 1"},
      {"aten::view(%sq, [-1, -1])", "only one size can be -1"},
      {"aten::permute(%sq, [0, 0])", "'dims' repeats an axis"},
      {"aten::permute(%sq, [0])", "'dims' must name each of 2 axes once"},
      {"aten::transpose.int(%sq, 0, 2)", "axis 2 must lie in [-2, 2)"},
      {"aten::expand(%c, [2, 7])", "size of an axis that is not 1 must be 6, got 7"},
      {"aten::cat([%sq, %lin], 0)", "size of axis 1 must be 4, got 8"},
      {"aten::stack([%sq, %lin])", "size of an axis must be 4, got 3"},
      {"aten::split_with_sizes(%sq, [1, 2])", "sum of 'split_sizes' must be 4, got 3"},
      {"aten::split.Tensor(%sq, 0)", "cannot split 4 into pieces of 0"},
      {"aten::select.int(%sq, 0, 4)", "index 4 lies outside of 4"},
      {"aten::narrow(%sq, 0, 0, 5)", "length exceeds 4"},
      {"aten::scaled_dot_product_attention(%q, %x3, %k)", "last axis of 'key' must be 8, got 7"},
  };
  for (const auto& [call, expected] : refusals) {
    Graph graph;
    const Node node = node_of(graph, call);
    try {
      node.op->traits.shape(graph, node);
      ADD_FAILURE() << call;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(node.op->name), std::string::npos) << error.what();
    }
  }
}

TEST(ShapeRules, LeaveWhatTheyCannotTellToExecution) {
  for (const char* call : {"aten::add.Tensor(%m, %c)", "aten::split.Tensor(%m, 1)", "aten::index.Tensor(%m, [%t])",
                           "aten::arange(2.5)", "aten::einsum(\"...i->...\", [%m])"}) {
    Graph graph;
    const Node node = node_of(graph, call);
    EXPECT_TRUE(node.op->traits.shape(graph, node).empty()) << call;
  }
}

struct Macs {
  const char* call;
  int64_t expected;  // at B = 2
};

TEST(MacsRules, CountMultiplyAdds) {
  const Macs cases[] = {
      {"aten::conv2d(%x, %ungrouped)", 2 * 4 * 7 * 6 * 6 * 9},
      {"aten::conv2d(%x, %w2, groups=2)", 2 * 4 * 7 * 6 * 3 * 9},
      {"aten::conv2d(%one, %ungrouped)", 4 * 7 * 6 * 6 * 9},
      {"aten::conv1d(%x1, %w1)", 2 * 4 * 7 * 6 * 3},
      {"aten::conv_transpose2d.input(%x, %wt2, groups=2)", 2 * 6 * 9 * 8 * 2 * 9},
      {"aten::convolution(%x, %wt2, None, [2, 2], [1, 1], [1, 1], True, [1, 1], 1)", 2 * 6 * 9 * 8 * 2 * 9},
      {"aten::linear(%seq, %lin)", 2 * 5 * 3 * 8},
      {"aten::mm(%m, %b8)", 2 * 8 * 8},
      {"aten::bmm(%seq, %seq2)", 2 * 5 * 5 * 8},
      {"aten::matmul(%seq, %v)", 2 * 5 * 8},
      {"aten::addmm(%v, %m, %b8)", 2 * 8 * 8},
      {"aten::baddbmm(%bb, %bb, %bb)", 2 * 8 * 8 * 8},
      {"aten::mv(%m, %v)", 2 * 8},
      {"aten::dot(%v, %v)", 8},
      {"aten::einsum(\"bij,bjk->bik\", [%seq, %seq2])", 2 * 5 * 8 * 5},
      {"aten::scaled_dot_product_attention(%q, %k, %k)", 2 * 2 * 5 * 7 * (8 + 8)},
      {"aten::lstm.input(%seq, [%state, %state], [%wih, %whh], False, 1, 0.0, False, False, False)",
       2 * 5 * (12 * 8 + 12 * 3)},
      {"aten::gru.input(%seq, %state, [%gih, %ghh], False, 1, 0.0, False, False, False)", 2 * 5 * (9 * 8 + 9 * 3)},
  };
  for (const auto& [call, expected] : cases) {
    Graph graph;
    Node node = node_of(graph, call);
    node.types = node.op->traits.shape(graph, node);
    ASSERT_NE(node.op->traits.macs, nullptr) << call;
    EXPECT_EQ(node.op->traits.macs(graph, node).evaluate({{"B", 2}}), expected) << call;
  }
}

TEST(InferAllTypes, FollowsAChangeOfInputs) {
  Graph graph = parse(R"(graph(%x: f32[B, 3, 8, 8])
  param %w: f32[4, 3, 3, 3]
  %y = aten::conv2d(%x, %w)
  %z = aten::flatten.using_ints(%y, 1)
  train: (%z)
  eval: (%z)
)");
  EXPECT_FALSE(infer_all_types(graph));
  graph.set_parameter_tensor("w", at::zeros({2, 3, 5, 5}));
  EXPECT_TRUE(infer_all_types(graph));
  EXPECT_EQ(*graph.type(*graph.find_value("z")).tensor()->sizes, (Sizes{IntExpr::symbol("B"), 32}));
  EXPECT_EQ(count_macs(graph, Mode::eval, {{"B", 3}}), 3 * 2 * 16 * 3 * 25);
}

}  // namespace
}  // namespace limbeck::graph
