#include "limbeck/graph/capture/functional/view_inverse.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/functional/aliasing.h"

namespace limbeck::capture {

using graph::Argument;
using graph::ArgumentList;
using graph::IntExpr;
using graph::NamedArguments;
using graph::Sizes;
using graph::ValueId;

namespace {

class Inverse {
 public:
  Inverse(const WrittenView& write, const AppendCall& append)
      : write_(write), append_(append), name_(short_name(*write.view->op)) {
    if (!name_.empty() && name_.back() == '_') name_.remove_suffix(1);  // squeeze_
  }

  ValueId run() const {
    check_elements();
    if (is_one_of({"alias", "detach", "contiguous", "to", "type_as", "lift_fresh", "positive", "real", "resolve_conj",
                   "resolve_neg", "conj", "sum_to_size", "dropout", "feature_dropout", "alpha_dropout",
                   "feature_alpha_dropout"}))
      return write_.written;
    if (is_one_of({"view", "view_as", "reshape", "reshape_as", "_reshape_alias", "flatten", "unflatten", "unsqueeze",
                   "squeeze", "ravel", "atleast_1d", "atleast_2d", "atleast_3d"}))
      return append_("aten::reshape", {{"self", write_.written}, {"shape", Argument(base_sizes())}});
    if (is_one_of({"t", "numpy_T", "mT", "matrix_H", "adjoint", "transpose", "swapaxes", "swapdims", "permute",
                   "movedim", "moveaxis"}))
      return append_("aten::permute", {{"self", write_.written}, {"dims", Argument(inverse_permutation())}});
    if (name_ == "select") return scatter_select(argument("dim"), argument("index"));
    if (name_ == "unbind") return scatter_select(argument("dim"), static_cast<int64_t>(write_.output));
    if (name_ == "slice") return scatter_slice(argument("start"), argument("end"), argument("step"));
    if (name_ == "narrow") {
      const IntExpr start = integer("start");
      return scatter_slice(start, start + integer("length"), 1);
    }
    if (is_one_of({"chunk", "split", "split_with_sizes", "tensor_split"})) return scatter_part();
    if (name_ == "diagonal") {
      return append_("aten::diagonal_scatter", {{"self", write_.base},
                                                {"src", write_.written},
                                                {"offset", argument("offset")},
                                                {"dim1", argument("dim1")},
                                                {"dim2", argument("dim2")}});
    }
    if (name_ == "as_strided") {
      return append_("aten::as_strided_scatter", {{"self", write_.base},
                                                  {"src", write_.written},
                                                  {"size", argument("size")},
                                                  {"stride", argument("stride")},
                                                  {"storage_offset", argument("storage_offset")}});
    }
    if (is_one_of({"expand", "expand_as"}) && type_of_view().sizes == base().sizes) return write_.written;
    refuse();
  }

 private:
  [[noreturn]] void refuse(std::string_view why = "which has no inverse") const {
    fail<Unsupported>(
        "[capture] the model writes into a tensor through {} in '{}', {}. Compute a new tensor there instead of "
        "writing through the view.",
        write_.view->op->name, write_.source->scope(write_.view->scope).path, why);
  }

  /// Inverses move elements and leave them as they are: a view may not show other numbers than the base has.
  void check_elements() const {
    if (type_of_view().dtype != base().dtype) refuse("which shows its memory as another dtype");
    if (c10::isComplexType(base().dtype) && is_one_of({"conj", "resolve_conj", "resolve_neg", "adjoint", "matrix_H"}))
      refuse("which may conjugate complex numbers");
  }

  bool is_one_of(std::initializer_list<std::string_view> names) const {
    return std::find(names.begin(), names.end(), name_) != names.end();
  }

  const graph::TensorType& base() const { return *write_.base_type.tensor(); }
  const graph::TensorType& type_of_view() const { return *write_.view->types[write_.output].tensor(); }
  const Argument& argument(std::string_view name) const { return write_.view->arguments[write_.view->op->slot(name)]; }

  IntExpr integer(std::string_view name) const {
    const IntExpr* value = argument(name).integer();
    if (value == nullptr) refuse();
    return *value;
  }

  const Sizes& base_sizes() const {
    if (!base().sizes) refuse();
    return *base().sizes;
  }

  std::size_t axis(int64_t value) const {
    const auto rank = static_cast<int64_t>(base_sizes().size());
    if (value < 0) value += rank;
    if (value < 0 || value >= rank) refuse();
    return static_cast<std::size_t>(value);
  }

  std::vector<std::size_t> axes(const Argument& argument) const {
    std::vector<std::size_t> result;
    if (const auto one = argument.as_int()) return {axis(*one)};
    if (argument.list() == nullptr) refuse();
    for (const Argument& element : *argument.list()) result.push_back(axis(element.as_int().value_or(INT64_MIN / 2)));
    return result;
  }

  /// Axis of the base that each axis of the view shows.
  std::vector<std::size_t> permutation() const {
    std::vector<std::size_t> order(base_sizes().size());
    std::iota(order.begin(), order.end(), 0);
    if (name_ == "permute") return axes(argument("dims"));
    if (name_ == "movedim" || name_ == "moveaxis") return moved(order);
    if (name_ == "numpy_T") {
      std::reverse(order.begin(), order.end());
    } else if (is_one_of({"t", "mT", "matrix_H", "adjoint"})) {
      if (order.size() >= 2) std::swap(order[order.size() - 1], order[order.size() - 2]);
    } else {
      std::swap(order[axes(write_.view->arguments[1])[0]], order[axes(write_.view->arguments[2])[0]]);
    }
    return order;
  }

  std::vector<std::size_t> moved(const std::vector<std::size_t>& order) const {
    const std::vector<std::size_t> from = axes(argument("source")), to = axes(argument("destination"));
    if (from.size() != to.size()) refuse();
    std::vector<std::optional<std::size_t>> result(order.size());
    for (std::size_t i = 0; i < from.size(); ++i) result[to[i]] = from[i];
    std::size_t next = 0;
    for (auto& place : result) {
      if (place) continue;
      while (std::find(from.begin(), from.end(), next) != from.end()) ++next;
      place = next++;
    }
    std::vector<std::size_t> values;
    for (const auto& place : result) values.push_back(*place);
    return values;
  }

  std::vector<int64_t> inverse_permutation() const {
    const std::vector<std::size_t> order = permutation();
    if (order.size() != base_sizes().size()) refuse();
    std::vector<int64_t> inverse(order.size(), -1);
    for (std::size_t i = 0; i < order.size(); ++i) inverse[order[i]] = static_cast<int64_t>(i);
    if (std::find(inverse.begin(), inverse.end(), -1) != inverse.end()) refuse();
    return inverse;
  }

  ValueId scatter_select(const Argument& dim, const Argument& index) const {
    return append_("aten::select_scatter",
                   {{"self", write_.base}, {"src", write_.written}, {"dim", dim}, {"index", index}});
  }

  ValueId scatter_slice(const Argument& start, const Argument& end, const Argument& step) const {
    return append_("aten::slice_scatter", {{"self", write_.base},
                                           {"src", write_.written},
                                           {"dim", argument("dim")},
                                           {"start", start},
                                           {"end", end},
                                           {"step", step}});
  }

  /// chunk and split: the parts before the written one say where it starts.
  ValueId scatter_part() const {
    const auto dim = argument("dim").as_int();
    if (!dim) refuse();
    const std::size_t at = axis(*dim);
    IntExpr start = 0;
    for (uint32_t i = 0; i < write_.output; ++i) start = start + (*write_.view->types[i].tensor()->sizes)[at];
    return scatter_slice(start, start + (*type_of_view().sizes)[at], 1);
  }

  const WrittenView& write_;
  const AppendCall& append_;
  std::string_view name_;
};

}  // namespace

ValueId invert_view(const WrittenView& write, const AppendCall& append) { return Inverse(write, append).run(); }

}  // namespace limbeck::capture
