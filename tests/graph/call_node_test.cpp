#include "limbeck/graph/call_node.h"

#include <ATen/ATen.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/text/text.h"

namespace limbeck::graph {
namespace {

const c10::IValue& no_value(ValueId) {
  static const c10::IValue none;
  return none;
}

c10::IValue boxed(const char* op, const char* slot, const Argument& argument, const Bindings& bindings = {}) {
  const OpInfo& info = op_info(op);
  return box_argument(info, info.slot(slot), argument, no_value, bindings);
}

TEST(BoxArgument, TurnsNumbersForTensorsIntoWrappedNumbers) {
  for (const Argument& number : {Argument(2), Argument(2.5), Argument(true)}) {
    const at::Tensor tensor = boxed("aten::add.Tensor", "other", number).toTensor();
    EXPECT_EQ(tensor.dim(), 0);
    EXPECT_TRUE(tensor.unsafeGetTensorImpl()->is_wrapped_number());
  }
  EXPECT_EQ(boxed("aten::add.Tensor", "other", 2).toTensor().scalar_type(), at::kLong);
}

TEST(BoxArgument, TurnsIntsIntoFloatsAndExpressionsIntoInts) {
  EXPECT_EQ(boxed("aten::dropout", "p", 0).toDouble(), 0.0);
  EXPECT_EQ(boxed("aten::narrow", "length", IntExpr::symbol("B") * 2, {{"B", 3}}).toInt(), 6);
  EXPECT_THROW(boxed("aten::narrow", "length", IntExpr::symbol("B")), InvalidArgument);
}

TEST(BoxArgument, FillsListsOfFixedLength) {
  EXPECT_EQ(boxed("aten::conv2d", "stride", 2).toIntVector(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(boxed("aten::view", "size", ArgumentList{IntExpr::symbol("B"), 4}, {{"B", 3}}).toIntVector(),
            (std::vector<int64_t>{3, 4}));
}

TEST(BoxArgument, KnowsEnumerations) {
  EXPECT_EQ(boxed("aten::to.dtype", "dtype", at::kHalf).toScalarType(), at::kHalf);
  EXPECT_EQ(boxed("aten::to.dtype", "memory_format", at::MemoryFormat::ChannelsLast).toMemoryFormat(),
            at::MemoryFormat::ChannelsLast);
  EXPECT_EQ(boxed("aten::zeros", "layout", at::kStrided).toLayout(), at::kStrided);
  EXPECT_EQ(boxed("aten::zeros", "device", at::Device(at::kCPU)).toDevice(), at::Device(at::kCPU));
  EXPECT_TRUE(boxed("aten::zeros", "dtype", None{}).isNone());
}

TEST(BoxArgument, MakesListsOfOptionalTensors) {
  const c10::IValue list = boxed("aten::index.Tensor", "indices", ArgumentList{None{}, 1});
  ASSERT_EQ(list.toListRef().size(), 2U);
  EXPECT_TRUE(list.toListRef()[0].isNone());
  EXPECT_TRUE(list.toListRef()[1].isTensor());
}

TEST(BoxArgument, NamesOpSlotAndKinds) {
  try {
    boxed("aten::conv2d", "groups", "two");
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(), "[graph] argument 'groups' of aten::conv2d must be SymInt, got a string");
  }
}

std::vector<c10::IValue> run(const Graph& graph, const char* value, const at::Tensor& x) {
  const c10::IValue input = x;
  const auto value_of = [&](ValueId) -> const c10::IValue& { return input; };
  return call_node(graph, graph.node(graph.find_value(value)->node), value_of, {});
}

TEST(CallNode, RunsAndTakesListsApart) {
  const Graph graph = parse(R"(graph(%x: f32[5])
  %sum = aten::add.Tensor(%x, %x, alpha=2)
  %left, %right = aten::split.Tensor(%x, 3)
)");
  const at::Tensor x = at::arange(5, at::kFloat);
  const auto sum = run(graph, "sum", x);
  ASSERT_EQ(sum.size(), 1U);
  EXPECT_TRUE(at::equal(sum[0].toTensor(), x * 3));
  const auto parts = run(graph, "left", x);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_TRUE(at::equal(parts[1].toTensor(), x.slice(0, 3)));
}

TEST(CallNode, NamesOpAndScopeWhenTheKernelThrows) {
  const Graph graph = parse("graph(%x: f32[3, 3])\n  %y = aten::mm(%x, %x)  # head.fc\n");
  try {
    run(graph, "y", at::zeros({2, 3}));
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("[graph] aten::mm in 'head.fc' failed: "), std::string::npos)
        << error.what();
  }
}

TEST(CallNode, RecordsGradients) {
  const Graph graph = parse("graph(%x: f32[3])\n  %y = aten::relu(%x)\n");
  const at::Tensor x = at::ones({3}).set_requires_grad(true);
  EXPECT_TRUE(run(graph, "y", x)[0].toTensor().requires_grad());
}

TEST(ModeArgument, FollowsTheMode) {
  EXPECT_EQ(mode_argument_value({.slot = 0, .kind = ModeKind::flag}, false, Mode::train), Argument(true));
  EXPECT_EQ(mode_argument_value({.slot = 0, .kind = ModeKind::flag}, true, Mode::eval), Argument(false));
  EXPECT_EQ(mode_argument_value({.slot = 0, .kind = ModeKind::probability}, 0.25, Mode::train), Argument(0.25));
  EXPECT_EQ(mode_argument_value({.slot = 0, .kind = ModeKind::probability}, 0.25, Mode::eval), Argument(0.0));
}

TEST(InPlaceTwin, TakesTheSameArguments) {
  EXPECT_EQ(in_place_twin(op_info("aten::relu"))->name, "aten::relu_");
  EXPECT_EQ(in_place_twin(op_info("aten::add.Tensor"))->name, "aten::add_.Tensor");
  EXPECT_EQ(in_place_twin(op_info("aten::conv2d")), nullptr);
  EXPECT_EQ(in_place_twin(op_info("limbeck::drop_path")), nullptr);
}

TEST(OpTable, KeepsRowsApart) {
  EXPECT_EQ(op_info("aten::relu").name, "aten::relu");
  EXPECT_EQ(op_info("aten::conv2d").name, "aten::conv2d");
  EXPECT_EQ(&op_info("aten::relu"), &op_info("aten::relu"));
  EXPECT_EQ(find_op("aten::no_such_op"), nullptr);
  try {
    op_info("aten::conv2dd");
    FAIL();
  } catch (const Unsupported& error) {
    EXPECT_NE(std::string(error.what()).find("aten::conv2d"), std::string::npos);
  }
}

TEST(OpTable, MarksRandomAndDataDependentOps) {
  for (const char* op : {"aten::rand", "aten::bernoulli", "aten::dropout", "aten::randn_like", "limbeck::drop_path",
                         "aten::scaled_dot_product_attention", "aten::lstm.input", "aten::multinomial"}) {
    EXPECT_TRUE(op_info(op).traits.is_random) << op;
  }
  EXPECT_FALSE(op_info("aten::relu").traits.is_random);
  EXPECT_TRUE(op_info("aten::nonzero").traits.is_data_dependent);
  EXPECT_FALSE(op_info("aten::conv2d").traits.is_data_dependent);
}

TEST(OpTable, NamesModeArgumentsThatExist) {
  for (const char* op : {"aten::batch_norm", "aten::instance_norm", "aten::dropout", "aten::feature_dropout",
                         "aten::alpha_dropout", "aten::rrelu", "aten::native_dropout", "aten::lstm.input",
                         "aten::gru.input", "limbeck::drop_path", "aten::scaled_dot_product_attention"}) {
    const OpInfo& info = op_info(op);
    ASSERT_FALSE(info.traits.mode_arguments.empty()) << op;
    for (const ModeArgument& argument : info.traits.mode_arguments) {
      const std::string name = info.schema->arguments()[argument.slot].name();
      const bool is_known = name == "training" || name == "train" || name == "use_input_stats" || name == "dropout_p";
      EXPECT_TRUE(is_known) << op << " " << name;
    }
    for (const HiddenWrite& write : info.traits.hidden_writes) {
      EXPECT_EQ(info.schema->arguments()[write.slot].name().rfind("running_", 0), 0U) << op;
    }
  }
}

TEST(DropPath, DropsWholeSamplesAtItsRate) {
  const at::Tensor x = at::ones({20000, 3});
  at::manual_seed(1);
  for (const char* sampling : {"bernoulli", "floor"}) {
    for (const char* scale : {"noise", "input"}) {
      Stack stack{x, 0.3, std::string(sampling), std::string(scale), true, true};
      call_op(op_info("limbeck::drop_path"), stack);
      const at::Tensor rows = stack[0].toTensor().sum(1);
      const double kept = rows.gt(0).to(at::kDouble).mean().item<double>();
      EXPECT_NEAR(kept, 0.7, 3 * std::sqrt(0.3 * 0.7 / 20000)) << sampling;
      EXPECT_NEAR(rows.max().item<double>(), 3 / 0.7, 1e-4);
    }
  }
}

TEST(DropPath, IsTheInputInEvalModeAndNothingAtOne) {
  const at::Tensor x = at::ones({4, 3});
  Stack eval{x, 0.3, "bernoulli", "noise", true, false};
  call_op(op_info("limbeck::drop_path"), eval);
  EXPECT_TRUE(eval[0].toTensor().is_same(x));
  Stack all{x, 1.0, "bernoulli", "noise", true, true};
  call_op(op_info("limbeck::drop_path"), all);
  EXPECT_EQ(all[0].toTensor().abs().max().item<float>(), 0.F);
  Stack wrong{x, 1.5, "bernoulli", "noise", true, true};
  EXPECT_THROW(call_op(op_info("limbeck::drop_path"), wrong), InvalidArgument);
}

TEST(DropPath, HasTheBitsOfTorchvision) {
  const at::Tensor x = at::randn({6, 2, 3, 3});
  at::manual_seed(5);
  at::Tensor noise = at::empty({6, 1, 1, 1}).bernoulli_(1.0 - 0.2);
  noise.div_(1.0 - 0.2);
  const at::Tensor expected = x * noise;
  at::manual_seed(5);
  Stack stack{x, 0.2, "bernoulli", "noise", true, true};
  call_op(op_info("limbeck::drop_path"), stack);
  EXPECT_TRUE(at::equal(stack[0].toTensor(), expected));
}

}  // namespace
}  // namespace limbeck::graph
