#include "limbeck/graph/text/text.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/text/text_reader.h"
#include "limbeck/graph/verify.h"
#include "tests/support/mutation.h"

namespace limbeck::graph {
namespace {

/// Uses every construct of the text form.
constexpr const char* kEverything =
    R"(graph demo(%x: f32[B, 3, 8, 8], mask as %mask_1: bool[B]@cuda:1, unused: int(n), %flag: bool) as tuple(tuple(*, *), dict(n=*, flag=*))
  region grad=False
  region autocast=(device.cpu, True, dtype.bf16, False)
  region grad=True autocast=(device.cuda, False, dtype.f16, True)
  block 96
  param %conv.weight: f32[4, 3, 3, 3] grad
  param tied: f32[4, 3, 3, 3] grad = conv.weight
  buffer mean: f32[4] transient
  buffer %count: i64[]
  param "odd name\"\n": f32[2]
  param a: f32[4, 6]{6, 1} in block 0 at 0
  param b: f32[6, 4]{1, 6} in block 0 at 0
  param last: f32[4, 3, 2, 2]{12, 1, 6, 3}
  %conv2d: f32[B, 4, 8, 8] = aten::conv2d(%x, %conv.weight, None, [1, 1], [1, 1], [1, 1], 1)  # layer.0.conv
  %relu: f32[B, 4, 8, 8] = aten::relu(%conv2d)  # layer.0@1 {in_place, region 2, calls [1]}
  %sum: f32[B, 4, 8, 8] = aten::add.Tensor(%relu, 2.5, 1)  # {region 1}
  %drop: f32[B, 4, 8, 8] = aten::dropout(%sum, 0.5, False)  # drop {pinned 1}
  %s: f32[B, 2, 8, 8], %s_1: f32[B, 2, 8, 8] = aten::split.Tensor(%drop, 2, 1)  # "odd scope!"
  %chosen: f32[B, 2, 8, 8] = limbeck::by_mode(%s, None)
  %view: f32[B, 128*B] = aten::view(%chosen, [B, max(2*B, 4)*64//2, 64*(B + 1)//3])
  %cast: f16[B, 128*B] = aten::to.dtype_layout(%view, dtype.f16, layout.strided, device.cpu, None, False, False, memory_format.contiguous_format)
  %full: f64[2]{1} = aten::full([2], float(-inf), dtype.f64, None, None, False)
  %next: i64[] = aten::add.Tensor(%count, 1, 1)
  train: (logits=%cast, aux=None, n=B) as namedtuple "pkg.Out"(logits=*, aux=*, rest=list(*))
  eval: (logits=%cast) as *
  write count = %next when train  # layer.0
  range B = [1, 1024]
  range n = [0, 9223372036854775807]
  check 2*B <= n: "twice the \"batch\""
  check mod_3 != 4: ""
  assume train: "no dropout known"  # drop
  values layer.0@1 = (%relu)
  values = (%cast, %next)
  scope: "Root"
  scope drop: "torch.nn.Dropout"
  scope layer
  scope layer.0
  scope layer.0.conv: "torch.nn.Conv2d"
  scope layer.identity
  scope "odd scope!"
  meta labels = "a\nb \x01\\"
)";

TEST(Text, PrintsWhatItReadsForEveryConstruct) {
  const Graph graph = parse(kEverything);
  const std::string once = print(graph);
  EXPECT_EQ(print(parse(once)), once);
  // All but the normal form of expressions is as it stands above.
  std::string expected = kEverything;
  const auto replace = [&](const std::string& from, const std::string& to) {
    const std::size_t at = expected.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    expected.replace(at, from.size(), to);
  };
  replace("max(2*B, 4)*64//2", IntExpr::parse("max(2*B, 4)*64//2").to_string());
  replace("64*(B + 1)//3", IntExpr::parse("64*(B + 1)//3").to_string());
  EXPECT_EQ(once, expected);
}

TEST(Text, RestoresStructures) {
  const Graph graph = parse(kEverything);
  EXPECT_EQ(graph.metadata.at("name"), "demo");
  EXPECT_EQ(graph.inputs[1].name, "mask");
  EXPECT_EQ(graph.find_input_value(2), std::nullopt);
  const Node& relu = graph.node(graph.find_value("relu")->node);
  EXPECT_TRUE(relu.was_in_place);
  EXPECT_EQ(relu.call, 1U);
  EXPECT_EQ(graph.call_at(relu, 0), 1U);
  EXPECT_EQ(graph.regions()[relu.region].autocast->dtype, at::kBFloat16);
  EXPECT_EQ(graph.node(graph.find_value("drop")->node).pinned_flags, 1U);
  EXPECT_EQ(graph.parameter("tied").tensor.unsafeGetTensorImpl(),
            graph.parameter("conv.weight").tensor.unsafeGetTensorImpl());
  EXPECT_TRUE(graph.parameter("a").tensor.is_alias_of(graph.parameter("b").tensor));
  EXPECT_TRUE(graph.parameter("last").tensor.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_FALSE(graph.parameter("mean").is_persistent);
  EXPECT_EQ(graph.train_tree.children[2].children.size(), 1U);
  EXPECT_EQ(graph.train_outputs[2].value, Argument(IntExpr::symbol("B")));
  EXPECT_EQ(graph.resolve("layer.0@1"), *graph.find_value("relu"));
}

TEST(Text, KeepsFloatsBitForBit) {
  for (const double value : {0.1, 1e-5, -0.0, 1e300, 5e-324, 2.0, -3.0, std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity(), 1.0 / 3}) {
    Graph graph;
    Builder b(graph);
    const ValueId x = b.input("x", {2});
    b.call("aten::leaky_relu", {x, value});
    const Graph copy = parse(print(graph));
    const auto read = copy.node(copy.order().back()).arguments[1].as_double();
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(*read, value);
    EXPECT_EQ(std::signbit(*read), std::signbit(value));
  }
  const Graph nan = parse("graph(%x: f32[2])\n  %y: f32[2] = aten::leaky_relu(%x, float(nan))\n");
  EXPECT_NE(print(nan).find("float(nan)"), std::string::npos);
  EXPECT_TRUE(std::isnan(*nan.node(nan.order().back()).arguments[1].as_double()));
}

TEST(Text, TellsIntsFromFloatsAndWords) {
  const Graph graph = parse(R"(graph(%x: f32[None, True, e])
  %a: f32[2] = aten::add.Tensor(%x, 1, int(None))
  %b: f32[2] = aten::add.Tensor(%x, 1.0, int(True + 1))
)");
  const Node &a = graph.node(graph.find_value("a")->node), &b = graph.node(graph.find_value("b")->node);
  EXPECT_EQ(a.arguments[1], Argument(1));
  EXPECT_EQ(a.arguments[2], Argument(IntExpr::symbol("None")));
  EXPECT_EQ(b.arguments[1], Argument(1.0));
  EXPECT_EQ(b.arguments[2], Argument(IntExpr::symbol("True") + 1));
  EXPECT_EQ(print(parse(print(graph))), print(graph));
}

TEST(Text, InfersTypesAndFillsDefaults) {
  const Graph graph = parse(R"(graph(%x: f32[B, 3, 8, 8])
  param %w: f32[6, 3, 3, 3]
  %y = aten::conv2d(%x, %w, stride=[2, 2])
  %l, %r = aten::chunk(%y, 2, dim=1)
  train: (%l, %r)
  eval: (%l)
)");
  EXPECT_EQ(*graph.type(*graph.find_value("r")).tensor()->sizes, (Sizes{IntExpr::symbol("B"), 3, 3, 3}));
  EXPECT_EQ(graph.train_tree.kind, "tuple");
  EXPECT_EQ(graph.eval_tree, TreeSpec{});
  EXPECT_TRUE(find_faults(graph).empty());
}

TEST(Text, NamesLineAndColumn) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "line 1, column 1: expected 'graph'"},
      {"graph(x)", "line 1, column 8: expected ':'"},
      {"graph(%x: f33[2])", "line 1, column 10: 'f33' is no type"},
      {"graph(%x: f32[2])\n  %y = aten::relu(%z)\n", "line 2, column 20: no value '%z' is made above"},
      {"graph(%x: f32[2])\n  %y = aten::rulu(%x)\n", "line 2, column 18: neither this libtorch nor Limbeck has an op"},
      {"graph(%x: f32[2])\n  %x = aten::relu(%x)\n", "line 2, column 5: the value '%x' is made twice"},
      {"graph(%x: f32[2])\n  %y = aten::relu(%x, selff=1)\n", "has no argument 'selff'"},
      {"graph(%x: f32[2])\n  %y = aten::add.Tensor(alpha=1, %x)\n", "a positional argument follows a named one"},
      {"graph(%x: f32[2])\n  param w: f32[B]\n", "a parameter's sizes must be numbers"},
      {"graph(%x: f32[2])\n  param w: f32[2]\n  param w: f32[2]\n", "line 3, column 10: 'w' is declared twice"},
      {"graph(%x: f32[2])\n  param w: f32[2] = v\n", "no parameter 'v' is declared above"},
      {"graph(%x: f32[2])\n  param w: i64[2] grad\n", "only floating-point tensors can require a gradient"},
      {"graph(%x: f32[2])\n  param w: f32[2]{1} in block 0 at 0\n", "0 must lie in [0, -1]"},
      {"graph(%x: f32[2])\n  block 8\n  param w: f32[2]{3} in block 0 at 0\n", "does not lie in its block of 8 bytes"},
      {"graph(%x: f32[2])\n  block 8\n  param w: f32[1]{1} in block 0 at 2\n", "does not lie in its block of 8 bytes"},
      {"graph(%x: f32[2])\n  %y = aten::relu(%x)  # {region 1}\n", "1 must lie in [0, 0]"},
      {"graph(%x: f32[2]) nonsense", "expected the end of the line"},
      {"graph(%x: f32[2])\n  meta a = \"x\n", "a text does not end"},
      {"graph(%x: f32[2])\n  meta a = \"\\q\"\n", "unknown escape '\\q'"},
      {"graph(%x: f32[2]@nowhere)", "unknown device 'nowhere'"},
      {"graph(%x: f32[9999999999999999999])", "overflows 64 bits"},
  };
  for (const auto& [text, expected] : cases) {
    try {
      parse(text);
      ADD_FAILURE() << text;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << text << "\n" << error.what();
    }
  }
}

TEST(Text, BoundsNestingAndMemory) {
  const auto refuses = [](const std::string& text) {
    EXPECT_THROW(parse(text), InvalidArgument) << text.substr(0, 80);
  };
  refuses("graph(%x: " + std::string(100000, 'l') + "[2])");
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "list(";
  refuses("graph(%x: " + nested + ")");
  refuses("graph(%x: f32[2])\n  %y = aten::relu(" + std::string(100000, '[') + ")\n");
  refuses("graph(%x: f32[2]) as " + nested);
  std::string scope = "a";
  for (int i = 0; i < 1000; ++i) scope += ".a";
  refuses("graph(%x: f32[2])\n  scope " + scope + "\n");
  refuses("graph(%x: f32[2])\n  param w: f32[1000000, 1000000]\n");
  refuses("graph(%x: f32[2])\n  param w: f32[9223372036854775807, 9223372036854775807]\n");
  refuses("graph(%x: f32[2])\n  param w: f32[2, 2]{9223372036854775807, 1}\n");
  refuses("graph(%x: f32[2])\n  block 9223372036854775807\n");
}

/// Tensors as a file would give them: nothing is inferred, nothing large is made.
TextSources file_sources() {
  TextSources sources;
  sources.block = [](std::size_t, int64_t num_bytes) {
    LIMBECK_CHECK(num_bytes <= 4096, "too large");
    return at::zeros({num_bytes}, at::kByte);
  };
  sources.tensor = [](const ParameterLine& line) {
    int64_t elements = 1;
    std::vector<int64_t> sizes;
    for (const IntExpr& size : *line.type.sizes) {
      sizes.push_back(*size.constant());
      LIMBECK_CHECK(sizes.back() <= 4096 && (elements *= sizes.back()) <= 4096, "too large");
    }
    return at::zeros(sizes, line.type.dtype);
  };
  return sources;
}

TEST(Text, SurvivesMutations) {
  const TextSources sources = file_sources();
  const testing::FuzzCounts counts = testing::fuzz_reader(kEverything, [&](const std::string& text) {
    const Graph graph = parse_text(text, sources);
    find_faults(graph);
    print(graph);
  });
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::graph
