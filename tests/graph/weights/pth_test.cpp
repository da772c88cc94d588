#include "limbeck/graph/weights/pth.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/state_dict.h"
#include "tests/graph/weights/golden.h"
#include "tests/support/mutation.h"

namespace limbeck::weights {
namespace {

/// The tensor under a key of a dict.
at::Tensor tensor_at(const PickleArchive& archive, std::string_view key) {
  const auto* dict = archive.root().get_if<PickleDict>();
  const PicklePtr value = dict == nullptr ? nullptr : find_string(*dict, key);
  if (value == nullptr || !value->is<TensorRef>()) throw std::runtime_error("no tensor " + std::string(key));
  return archive.tensor(std::get<TensorRef>(value->data));
}

std::string value_at(const PickleArchive& archive, std::string_view key) {
  const PicklePtr value = find_string(std::get<PickleDict>(archive.root().data), key);
  return value == nullptr ? "missing" : text_form(*value);
}

bool is_equal(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && at::equal(a, b);
}

template <class E>
std::string refusal(const std::string& name) {
  try {
    read_pickle_archive(golden(name));
  } catch (const E& error) {
    return error.what();
  }
  return "not refused so";
}

/// Every golden file exists in both layouts.
class PthLayout : public ::testing::TestWithParam<const char*> {
 protected:
  static PickleArchive open(const std::string& name) { return read_pickle_archive(golden(name + GetParam())); }
};

TEST_P(PthLayout, ReadsEveryDtype) {
  const PickleArchive archive = open("dtypes");
  const auto ints = [](std::initializer_list<std::int64_t> values, at::ScalarType dtype) {
    return at::tensor(at::ArrayRef<std::int64_t>(values), at::kLong).to(dtype);
  };
  constexpr std::int64_t kBig = std::int64_t{1} << 62;
  EXPECT_TRUE(is_equal(tensor_at(archive, "f64"), pattern({2, 3}, at::kDouble)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "f32"), pattern({2, 3})));
  EXPECT_TRUE(is_equal(tensor_at(archive, "f16"), pattern({2, 3}, at::kHalf)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "bf16"), pattern({2, 3}, at::kBFloat16)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "i64"), ints({-kBig, 0, kBig}, at::kLong)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "i32"), ints({-1, 0, 2147483647}, at::kInt)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "i16"), ints({-300, 300}, at::kShort)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "i8"), ints({-128, 127}, at::kChar)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "u8"), ints({0, 255}, at::kByte)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "bool"), ints({1, 0, 1}, at::kBool)));
  const at::Tensor c64 = at::complex(at::tensor({1.F, 3.F}), at::tensor({2.F, -4.F}));
  EXPECT_TRUE(is_equal(tensor_at(archive, "c64"), c64));
  EXPECT_TRUE(is_equal(tensor_at(archive, "c64_conj"), c64.conj().resolve_conj()));
  EXPECT_EQ(tensor_at(archive, "u16").scalar_type(), at::ScalarType::UInt16);
  EXPECT_TRUE(at::equal(tensor_at(archive, "u16").to(at::kLong), ints({0, 65535}, at::kLong)));
  EXPECT_EQ(tensor_at(archive, "f8").scalar_type(), at::ScalarType::Float8_e4m3fn);
  EXPECT_TRUE(at::equal(tensor_at(archive, "f8").to(at::kFloat), at::tensor({0.5F, -2.F})));
  EXPECT_EQ(tensor_at(archive, "scalar").dim(), 0);
  EXPECT_EQ(tensor_at(archive, "scalar").item<float>(), 2.5F);
  EXPECT_EQ(tensor_at(archive, "empty").sizes(), at::IntArrayRef({0, 3}));
  EXPECT_TRUE(is_equal(tensor_at(archive, "requires_grad"), pattern({2})));
  EXPECT_FALSE(tensor_at(archive, "requires_grad").requires_grad());
}

TEST_P(PthLayout, KeepsStridesAndSharedStorage) {
  const PickleArchive archive = open("views");
  const at::Tensor base = tensor_at(archive, "base");
  EXPECT_TRUE(is_equal(base, pattern({4, 6})));
  const at::Tensor transposed = tensor_at(archive, "transposed");
  EXPECT_EQ(transposed.strides(), at::IntArrayRef({1, 6}));
  EXPECT_TRUE(is_equal(transposed, base.t()));
  EXPECT_TRUE(is_equal(tensor_at(archive, "columns"), base.slice(1, 2, 4)));
  EXPECT_EQ(tensor_at(archive, "row").storage_offset(), 18);
  EXPECT_TRUE(is_equal(tensor_at(archive, "row"), base.select(0, 3)));
  EXPECT_EQ(tensor_at(archive, "expanded").strides(), at::IntArrayRef({0}));
  EXPECT_TRUE(is_equal(tensor_at(archive, "expanded"), at::full({5}, -1.F)));
  const at::Tensor channels_last = tensor_at(archive, "channels_last");
  EXPECT_TRUE(channels_last.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(is_equal(channels_last, pattern({1, 2, 2, 2})));
  for (const char* name : {"transposed", "columns", "row", "expanded"}) {
    EXPECT_TRUE(tensor_at(archive, name).is_alias_of(base)) << name;
  }
  EXPECT_FALSE(channels_last.is_alias_of(base));
}

TEST_P(PthLayout, TiedTensorsAreOne) {
  const PickleArchive archive = open("tied");
  at::Tensor embed = tensor_at(archive, "embed.weight");
  const at::Tensor head = tensor_at(archive, "head.weight");
  EXPECT_TRUE(is_equal(embed, pattern({4, 3})));
  embed.fill_(5);
  EXPECT_TRUE(is_equal(head, at::full({4, 3}, 5.F)));
}

TEST_P(PthLayout, WritesNeverReachTheFile) {
  const std::string path = golden(std::string("tied") + GetParam());
  const std::string before = core::read_file(path);
  open("tied").tensor(
      std::get<TensorRef>(find_string(std::get<PickleDict>(open("tied").root().data), "head.weight")->data));
  tensor_at(open("tied"), "head.weight").fill_(9);
  EXPECT_EQ(core::read_file(path), before);
}

TEST_P(PthLayout, TensorsOutliveTheArchive) {
  const at::Tensor tensor = tensor_at(open("tied"), "head.weight");
  EXPECT_TRUE(is_equal(tensor, pattern({4, 3})));
}

TEST_P(PthLayout, ReadsParametersAndTheirState) {
  const PickleArchive archive = open("parameters");
  EXPECT_TRUE(is_equal(tensor_at(archive, "plain"), pattern({3})));
  EXPECT_TRUE(is_equal(tensor_at(archive, "tagged"), pattern({2, 2})));
  EXPECT_TRUE(is_equal(tensor_at(archive, "attributed"), pattern({3})));
  const auto& tagged = std::get<TensorRef>(find_string(std::get<PickleDict>(archive.root().data), "tagged")->data);
  EXPECT_TRUE(tagged.is_parameter);
  EXPECT_TRUE(tagged.requires_grad);
}

TEST_P(PthLayout, ReadsWholeCheckpoints) {
  const PickleArchive archive = open("checkpoint");
  EXPECT_EQ(value_at(archive, "epoch"), "3");
  EXPECT_EQ(value_at(archive, "best"), "0.875");
  EXPECT_EQ(value_at(archive, "big"), "big(11)");
  EXPECT_EQ(value_at(archive, "args"),
            "<argparse.Namespace args () state {'lr': 0.1, 'layers': [1, 2], 'name': "
            "'gr\xC3\xB6\xC3\x9F"
            "e'} items [] entries []>");
  EXPECT_EQ(value_at(archive, "dtype"), "torch.float16");
  EXPECT_EQ(value_at(archive, "size"), "(2, 3)");
  EXPECT_EQ(value_at(archive, "bytes"), "b00ff80");
  EXPECT_EQ(value_at(archive, "set"), "set(1, 2)");
  EXPECT_EQ(value_at(archive, "flags"), "(True, False)");
  EXPECT_NE(value_at(archive, "counts").find("entries ['a': 1]"), std::string::npos);
  EXPECT_NE(value_at(archive, "device").find("torch.device args ('cpu')"), std::string::npos);
  const auto& optimizer =
      std::get<PickleDict>(find_string(std::get<PickleDict>(archive.root().data), "optimizer")->data);
  const auto& state = std::get<PickleDict>(find_string(optimizer, "state")->data);
  ASSERT_EQ(state.entries.size(), 4u);
  const auto& first = std::get<PickleDict>(state.entries[0].second->data);
  EXPECT_EQ(archive.tensor(std::get<TensorRef>(find_string(first, "momentum_buffer")->data)).sizes(),
            at::IntArrayRef({2, 3}));
  const auto& groups = std::get<PickleList>(find_string(optimizer, "param_groups")->data);
  EXPECT_EQ(text_form(*find_string(std::get<PickleDict>(groups.items.at(0)->data), "lr")), "0.1");
}

TEST_P(PthLayout, KnowsPickledModules) {
  const PickleArchive archive = open("module");
  EXPECT_EQ(module_class(archive.root()), "__main__.Net");
  EXPECT_TRUE(is_pickled_module(golden(std::string("module") + GetParam())));
  EXPECT_FALSE(is_pickled_module(golden(std::string("state_dict") + GetParam())));
  EXPECT_FALSE(is_pickled_module(golden(std::string("checkpoint") + GetParam())));
}

TEST_P(PthLayout, RefusesEveryTruncation) {
  for (const char* name : {"views", "checkpoint"}) {
    const std::string file = core::read_file(golden(std::string(name) + GetParam()));
    for (std::size_t size = 0; size < file.size(); ++size) {
      EXPECT_THROW(read_pickle_archive(shared_copy(std::string_view(file).substr(0, size)), "test"), Error) << size;
    }
  }
}

/// Reads everything that can be read, and the first and last element of every tensor.
void read_all(const std::string& text) {
  const SharedBytes bytes = shared_copy(text);
  const PickleArchive archive = read_pickle_archive(bytes, "fuzz");
  int failures = 0;
  unsigned char sum = 0;
  for (const PickleValue& value : archive.document().values) {
    const auto* reference = value.get_if<TensorRef>();
    if (reference == nullptr) continue;
    try {
      const at::Tensor tensor = archive.tensor(*reference);
      if (tensor.numel() == 0) continue;
      std::int64_t last = 0;
      for (std::int64_t i = 0; i < tensor.dim(); ++i) last += (tensor.size(i) - 1) * tensor.stride(i);
      const auto* data = static_cast<const volatile unsigned char*>(tensor.const_data_ptr());
      sum = static_cast<unsigned char>(sum + data[0] +
                                       data[(last + 1) * static_cast<std::int64_t>(tensor.element_size()) - 1]);
    } catch (const Error&) {
      ++failures;
    }
  }
  if (failures == 0) find_state_dict(archive);
}

TEST_P(PthLayout, FuzzSurvivesMutation) {
  const testing::FuzzOptions options{.iterations = testing::fuzz_iterations() / 3};  // for each of three files
  for (const char* name : {"views", "checkpoint", "dtypes"}) {
    const auto counts =
        testing::fuzz_reader(core::read_file(golden(std::string(name) + GetParam())), read_all, options);
    EXPECT_GT(counts.accepted, 0) << name;
    EXPECT_GT(counts.refused, 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Both, PthLayout, ::testing::Values(".pth", "_legacy.pth"),
                         [](const auto& layout) { return std::string(layout.index == 0 ? "Zip" : "Legacy"); });

TEST(Pth, LiesInTheMappedFile) {
  const SharedBytes file = shared_copy(core::read_file(golden("state_dict.pth")));
  // Torch aligns records to 64 bytes of the file, so the copy keeps that only if it is aligned itself.
  if (reinterpret_cast<std::uintptr_t>(file.bytes.data()) % 16 != 0) GTEST_FAIL() << "operator new aligns to 16";
  const at::Tensor weight = tensor_at(read_pickle_archive(file, "test"), "fc.weight");
  const auto* data = static_cast<const std::byte*>(weight.const_data_ptr());
  EXPECT_GE(data, file.bytes.data());
  EXPECT_LT(data, file.bytes.data() + file.bytes.size());
}

TEST(Pth, ReadsEveryProtocol) {
  for (const char* name : {"protocol1.pth", "protocol3.pth", "protocol4.pth", "protocol5.pth", "repacked.pth"}) {
    const PickleArchive archive = read_pickle_archive(golden(name));
    EXPECT_TRUE(is_equal(tensor_at(archive, "fc.weight"), pattern({2, 3}))) << name;
    EXPECT_EQ(tensor_at(archive, "bn.num_batches_tracked").item<std::int64_t>(), 7) << name;
  }
}

TEST(Pth, ReadsViewsOfLegacyStorages) {
  const PickleArchive archive = read_pickle_archive(golden("view_legacy.pth"));
  EXPECT_TRUE(is_equal(tensor_at(archive, "a"), pattern({10}).slice(0, 3, 6)));
  EXPECT_TRUE(is_equal(tensor_at(archive, "b"), pattern({10}).slice(0, 6, 10)));
  EXPECT_TRUE(tensor_at(archive, "a").is_alias_of(tensor_at(archive, "b")));
}

TEST(Pth, ReadsTheRestBesideQuantizedTensors) {
  const PickleArchive archive = read_pickle_archive(golden("quantized.pth"));
  EXPECT_TRUE(is_equal(tensor_at(archive, "plain"), pattern({2})));
  const auto& root = std::get<PickleDict>(archive.root().data);
  EXPECT_EQ(describe(*find_string(root, "w")), "an object of class torch._utils._rebuild_qtensor");
}

TEST(Pth, NamesWhatItRefuses) {
  EXPECT_NE(refusal<Unsupported>("script.pt").find("TorchScript"), std::string::npos);
  EXPECT_NE(refusal<Unsupported>("exported.pt2").find(".pt2"), std::string::npos);
  EXPECT_NE(refusal<Unsupported>("compressed.pth").find("compressed"), std::string::npos);
  EXPECT_NE(refusal<Unsupported>("big_endian.pth").find("big-endian machine ('big')"), std::string::npos);
  EXPECT_NE(refusal<Unsupported>("big_endian_legacy.pth").find("big-endian"), std::string::npos);
  EXPECT_NE(refusal<Unsupported>("values_protocol2.pkl").find("no file of torch.save"), std::string::npos);
  EXPECT_NE(refusal<IoError>("missing.pth").find("missing.pth"), std::string::npos);
  EXPECT_FALSE(is_pickled_module(golden("script.pt")));
  EXPECT_FALSE(is_pickled_module(golden("exported.pt2")));
  EXPECT_TRUE(is_pickled_module(golden("module_nested.pth")));
  EXPECT_THROW(read_pickle_archive(shared_copy(""), "test"), IoError);
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  EXPECT_THROW(read_pickle_archive(shared_copy(tar), "test"), Unsupported);
}

TEST(TensorStorage, RefusesWhatDoesNotFit) {
  const at::Storage storage = storage_over(shared_copy(std::string(24, 'x')), 1);  // six floats
  using Dims = std::vector<std::int64_t>;
  struct Case {
    std::int64_t offset;
    Dims sizes;
    Dims strides;
    bool fits;
  };
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  const Case cases[] = {
      {0, {6}, {1}, true},
      {0, {2, 3}, {3, 1}, true},
      {5, {}, {}, true},
      {6, {0}, {1}, true},
      {0, {0, kHuge}, {1, 1}, true},
      {0, {4}, {0}, true},
      {6, {}, {}, false},
      {1, {6}, {1}, false},
      {0, {7}, {1}, false},
      {0, {2}, {6}, false},
      {7, {0}, {1}, false},
      {-1, {1}, {1}, false},
      {0, {-1}, {1}, false},
      {0, {2}, {-1}, false},
      {0, {2}, {kHuge}, false},
      {0, {3}, {kHuge}, false},
      {kHuge, {2}, {kHuge}, false},
      {0, {kHuge, 4}, {0, 0}, false},
      {0, {kMaxRepeatedElements + 1}, {0}, false},
  };
  for (const Case& c : cases) {
    const auto make = [&] { return tensor_in(storage, {at::kFloat, c.offset, c.sizes, c.strides}, "[test]"); };
    if (c.fits) {
      EXPECT_EQ(make().sizes(), at::IntArrayRef(c.sizes)) << ::testing::PrintToString(c.sizes);
    } else {
      EXPECT_THROW(make(), IoError) << ::testing::PrintToString(c.sizes) << ::testing::PrintToString(c.strides);
    }
  }
}

TEST(TensorStorage, CopiesWhatIsMisaligned) {
  const SharedBytes bytes = shared_copy(std::string(17, '\x01'));
  const at::Storage misaligned = storage_over(bytes.part(1, 16), 4);
  EXPECT_NE(static_cast<const void*>(misaligned.data()), static_cast<const void*>(bytes.bytes.data() + 1));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(misaligned.data()) % 4, 0u);
  EXPECT_EQ(static_cast<const void*>(storage_over(bytes.part(0, 16), 4).data()),
            static_cast<const void*>(bytes.bytes.data()));
}

}  // namespace
}  // namespace limbeck::weights
