// Who may include whom: reads the #include lines of the sources against the table of folders. Arrows point downward
// only. A folder may include itself, its own sub-folders, what its row names, and what those may include in turn.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

using Names = std::set<std::string>;

/// Each folder's direct uses. graph/weights counts as a part of graph; graph/capture and graph/passes do not.
const std::map<std::string, Names> kUses = {
    {"core", {}},
    {"graph", {"core"}},
    {"graph/passes", {"graph"}},
    {"graph/capture", {"graph", "graph/passes"}},
    {"model", {"graph", "graph/passes"}},
    {"engine", {"core"}},
    {"compile", {"model", "engine"}},
    {"load", {"zoo", "graph/capture", "model"}},
    {"zoo", {"graph"}},
    {"data", {"core"}},
    {"measure", {"model", "compile", "data"}},
    {"train", {"model", "data", "measure"}},
    {"distill", {"train", "compile"}},
    {"prune", {"model", "compile", "measure"}},
    {"quantize", {"model", "compile", "measure"}},
    {"search", {"model", "compile", "measure"}},
    {"export", {"graph"}},
    {"report", {"measure"}},
    {"recipe", {"load", "distill", "prune", "quantize", "search", "export", "report"}},
};

/// Folders whose sources must not see libtorch.
const Names kWithoutTorch = {"core", "engine"};

struct Include {
  std::string file;    // relative to the sources' root
  std::string target;  // what stands between quotes or brackets
};

const fs::path& root() {
  static const fs::path path = LIMBECK_SOURCE_DIR;
  return path;
}

bool is_source(const fs::path& path) { return path.extension() == ".cpp" || path.extension() == ".h"; }

std::vector<fs::path> sources_under(const std::string& folder) {
  std::vector<fs::path> found;
  if (!fs::exists(root() / folder)) return found;
  for (const auto& entry : fs::recursive_directory_iterator(root() / folder)) {
    if (entry.is_regular_file() && is_source(entry.path())) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<Include> includes_in(const std::string& folder) {
  static const std::regex kLine(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"].*)");
  std::vector<Include> found;
  for (const auto& path : sources_under(folder)) {
    std::ifstream file(path);
    std::smatch match;
    for (std::string line; std::getline(file, line);) {
      if (std::regex_match(line, match, kLine)) found.push_back({fs::relative(path, root()).string(), match[1]});
    }
  }
  return found;
}

/// The table's folder for a path below limbeck/: "limbeck/graph/capture/zip.cpp" is in "graph/capture",
/// "limbeck/graph/weights/x.h" in "graph", "limbeck/limbeck.h" in "".
std::string folder_of(const std::string& path) {
  fs::path folder = fs::path(path).lexically_relative("limbeck").parent_path();
  while (!folder.empty() && !kUses.contains(folder.string())) folder = folder.parent_path();
  return folder.string();
}

/// Everything that `folder` may include from limbeck/.
Names allowed_for(const std::string& folder) {
  Names allowed = {folder};
  for (const auto& used : kUses.at(folder)) allowed.merge(allowed_for(used));
  return allowed;
}

bool starts_with_any(const std::string& text, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const auto& prefix) { return text.starts_with(prefix); });
}

bool is_torch(const std::string& target) { return starts_with_any(target, {"ATen/", "c10/", "torch/", "caffe2/"}); }

/// "file includes <target>" for every include below `folder` that `wanted` accepts.
template <class Wanted>
std::vector<std::string> list_includes(const std::string& folder, const Wanted& wanted) {
  std::vector<std::string> found;
  for (const auto& include : includes_in(folder)) {
    if (wanted(include)) found.push_back(include.file + " includes " + include.target);
  }
  return found;
}

/// The files below `folder` that include something that `wanted` accepts.
template <class Wanted>
Names files_including(const std::string& folder, const Wanted& wanted) {
  Names found;
  for (const auto& include : includes_in(folder)) {
    if (wanted(include.target)) found.insert(include.file);
  }
  return found;
}

const std::vector<std::string> kNone;

TEST(Layering, ReadsTheSources) {
  EXPECT_GT(includes_in("limbeck").size(), 50u);
  EXPECT_EQ(folder_of("limbeck/graph/capture/pt2/archive.cpp"), "graph/capture");
  EXPECT_EQ(folder_of("limbeck/graph/weights/pickle/pickle.cpp"), "graph");
  EXPECT_EQ(folder_of("limbeck/limbeck.h"), "");
}

TEST(Layering, EveryFolderIsInTheTable) {
  for (const auto& path : sources_under("limbeck")) {
    const auto relative = fs::relative(path, root()).string();
    if (relative == "limbeck/limbeck.h") continue;
    EXPECT_NE(folder_of(relative), "") << relative;
  }
}

TEST(Layering, FoldersIncludeOnlyWhatTheirRowAllows) {
  EXPECT_EQ(list_includes("limbeck",
                          [](const Include& include) {
                            const auto from = folder_of(include.file);
                            return !from.empty() && include.target.starts_with("limbeck/") &&
                                   !allowed_for(from).contains(folder_of(include.target));
                          }),
            kNone);
}

TEST(Layering, OwnHeadersAreIncludedFromTheRootAndExist) {
  EXPECT_EQ(list_includes("limbeck",
                          [](const Include& include) {
                            if (include.target.starts_with("limbeck/")) return !fs::exists(root() / include.target);
                            return include.target.find('/') == std::string::npos &&
                                   fs::exists((root() / include.file).parent_path() / include.target);
                          }),
            kNone);
}

TEST(Layering, OnlyFoldersWithLibtorchIncludeIt) {
  EXPECT_EQ(list_includes("limbeck",
                          [](const Include& include) {
                            return kWithoutTorch.contains(folder_of(include.file)) && is_torch(include.target);
                          }),
            kNone);
}

/// libtorch's large headers cost seconds in every file that includes one of ours.
TEST(Layering, HeadersIncludeOnlyLightHeadersOfLibtorch) {
  EXPECT_EQ(list_includes("limbeck",
                          [](const Include& include) {
                            const bool is_light =
                                starts_with_any(include.target, {"ATen/core/", "c10/"}) &&
                                !starts_with_any(include.target, {"ATen/core/dispatch/", "ATen/core/op_registration/"});
                            return include.file.ends_with(".h") && is_torch(include.target) && !is_light;
                          }),
            kNone);
}

TEST(Layering, CostlyHeadersStandInFewFiles) {
  const auto count = [](const std::string& folder, const std::string& prefix) {
    return files_including(folder, [&](const std::string& target) { return target.starts_with(prefix); });
  };
  const auto torch_all = files_including("limbeck", [](const std::string& target) {
    return target == "torch/torch.h" || starts_with_any(target, {"torch/optim", "torch/nn", "torch/csrc/autograd"});
  });
  EXPECT_LE(torch_all.size(), 8u) << ::testing::PrintToString(torch_all);
  EXPECT_LE(count("cli", "CLI/").size(), 2u);
  EXPECT_LE(count("limbeck", "ATen/core/dispatch/Dispatcher.h").size(), 1u)
      << ::testing::PrintToString(count("limbeck", "ATen/core/dispatch/Dispatcher.h"));
}

/// Third-party headers that belong to one place.
TEST(Layering, EachThirdPartyLibraryHasItsPlace) {
  const std::vector<std::pair<std::string, std::string>> places = {
      {"nlohmann/", "limbeck/core/json"}, {"spdlog/", "limbeck/core/log"},
      {"yaml-cpp/", "limbeck/recipe/"},   {"CLI/", "cli/"},
      {"jpeglib.h", "limbeck/data/"},     {"png.h", "limbeck/data/"},
  };
  for (const std::string folder : {"limbeck", "cli"}) {
    for (const auto& [library, place] : places) {
      EXPECT_EQ(list_includes(folder,
                              [&, &library = library, &place = place](const Include& include) {
                                return include.target.starts_with(library) && !include.file.starts_with(place);
                              }),
                kNone);
    }
  }
}

/// Adds what `file` includes that is not ours, and what our headers that it includes do in turn.
void collect_foreign(const std::string& file, const std::map<std::string, Names>& includes, Names& seen,
                     Names& foreign) {
  if (!seen.insert(file).second || !includes.contains(file)) return;
  for (const auto& target : includes.at(file)) {
    if (target.starts_with("limbeck/")) {
      collect_foreign(target, includes, seen, foreign);
    } else {
      foreign.insert(target);
    }
  }
}

/// Sources compiled for an instruction set see no library's inline functions: one that is compiled there could become
/// the one that the whole program uses, and fail on other machines (cmake/OwnCode.cmake).
TEST(Layering, SourcesOfAnInstructionSetIncludePlainDeclarationsAlone) {
  static const std::regex kIsaSource(R"(.*_(avx2|avx512|avx512_bf16|amx)\.cpp)");
  const Names plain = {"immintrin.h", "cstdint", "cstring"};
  std::map<std::string, Names> includes;
  for (const auto& include : includes_in("limbeck")) includes[include.file].insert(include.target);
  std::size_t num_sources = 0;
  for (const auto& [file, targets] : includes) {
    if (!std::regex_match(file, kIsaSource)) continue;
    ++num_sources;
    Names seen, foreign;
    collect_foreign(file, includes, seen, foreign);
    for (const auto& header : foreign) EXPECT_TRUE(plain.contains(header)) << file << " sees " << header;
  }
  EXPECT_GE(num_sources, 8U);
}

/// "graph/capture" -> {"graph", ...}: the rows of cmake/Folders.cmake.
std::map<std::string, Names> linked_folders() {
  static const std::regex kRow(R"(^limbeck_folder\(([a-z/]+)( TORCH)?( USES ([a-z/ ]+?))?( LINKS .*)?\)$)");
  std::map<std::string, Names> rows;
  std::ifstream file(root() / "cmake/Folders.cmake");
  std::smatch match;
  for (std::string line; std::getline(file, line);) {
    if (!std::regex_match(line, match, kRow)) continue;
    std::istringstream uses(match[4]);
    auto& row = rows[match[1]];
    for (std::string used; uses >> used;) row.insert(used);
  }
  return rows;
}

/// The link graph is the same table: no library links what its folder may not include.
TEST(Layering, LibrariesLinkOnlyWhatTheirRowAllows) {
  const auto rows = linked_folders();
  ASSERT_GE(rows.size(), kUses.size());
  for (const auto& [folder, uses] : rows) {
    const auto from = folder_of("limbeck/" + folder + "/x.h");
    for (const auto& used : uses) {
      EXPECT_TRUE(allowed_for(from).contains(folder_of("limbeck/" + used + "/x.h"))) << folder << " links " << used;
    }
  }
}

}  // namespace
