#include "limbeck/model/interpreter.h"

#include <ATen/ATen.h>
#include <ATen/ScalarOps.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/graph/call_node.h"
#include "limbeck/graph/infer.h"
#include "limbeck/model/precision/weight_cache.h"
#include "limbeck/model/region_guard.h"

namespace limbeck {

namespace {

using Values = std::vector<c10::IValue>;

/// Sizings kept: a training set's last, smaller batch and a few lengths of sequences.
constexpr std::size_t kMaxSizings = 32;

/// The value, moved out of the table at its last use.
c10::IValue take(Values& values, ValueIndex index, bool is_last_use) {
  return is_last_use ? std::move(values[index]) : values[index];
}

c10::IValue tensor_list(const ListFill& fill, Values& values) {
  c10::List<at::Tensor> list;
  list.reserve(fill.elements.size());
  for (const ListFill::Element& element : fill.elements)
    list.push_back(take(values, element.value, element.is_last_use).toTensor());
  return list;
}

c10::IValue optional_tensor_list(const ListFill& fill, Values& values) {
  c10::List<std::optional<at::Tensor>> list;
  list.reserve(fill.elements.size());
  for (const ListFill::Element& element : fill.elements) {
    if (element.value == kNoValue) {
      list.push_back(std::nullopt);
    } else {
      list.push_back(take(values, element.value, element.is_last_use).toTensor());
    }
  }
  return list;
}

/// A number or a list that a run computed, as the slot wants it.
c10::IValue converted(const Step& step, std::size_t slot, const c10::IValue& value) {
  const auto value_of = [&](graph::ValueId) -> const c10::IValue& { return value; };
  return box_argument(*step.op, slot, graph::ValueId{}, value_of, {});
}

void fill_stack(const Step& step, const Sizing& sizing, Values& values, graph::Stack& stack) {
  stack.assign(step.stack.begin(), step.stack.end());
  for (const Fill& fill : step.fills) {
    c10::IValue value = take(values, fill.value, fill.is_last_use);
    stack[fill.slot] = fill.is_converted ? converted(step, fill.slot, value) : std::move(value);
  }
  for (const SizedSlot& sized : step.sized) stack[sized.slot] = sizing.boxed[sized.entry];
  for (const ListFill& list : step.lists)
    stack[list.slot] = list.is_optional ? optional_tensor_list(list, values) : tensor_list(list, values);
}

/// Whether nobody else can see the tensor's memory: no other handle, view, or copy that autograd saved.
bool is_ours_alone(const at::Tensor& tensor) {
  return tensor.use_count() == 1 && tensor.has_storage() && tensor.storage().use_count() == 1 && !tensor.is_view();
}

void store_outputs(const Step& step, graph::Stack& stack, Values& values) {
  if (step.unpacks_list) {
    const c10::List<at::Tensor> list = std::move(stack[0]).toTensorList();
    LIMBECK_ASSERT(list.size() == step.outputs.size(), "[model] {} gave {} tensors where the graph has {}",
                   step.op->name, list.size(), step.outputs.size());
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
      if (step.outputs[i] != kNoValue) values[step.outputs[i]] = list.extract(i);
    }
    return;
  }
  LIMBECK_ASSERT(stack.size() >= step.outputs.size(), "[model] {} gave {} outputs where the graph has {}",
                 step.op->name, stack.size(), step.outputs.size());
  for (std::size_t i = 0; i < step.outputs.size(); ++i) {
    if (step.outputs[i] != kNoValue) values[step.outputs[i]] = std::move(stack[i]);
  }
}

/// An op that Python ran in place: in place again where nobody would notice, else with the type that it had there.
void call_like_in_place(const Step& step, graph::Stack& stack) {
  if (step.in_place != nullptr && is_ours_alone(stack[0].toTensor())) return call_op(*step.in_place, stack);
  const at::ScalarType dtype = stack[0].toTensor().scalar_type();
  call_op(*step.op, stack);
  if (stack[0].toTensor().scalar_type() != dtype) stack[0] = stack[0].toTensor().to(dtype);
}

/// Weights as autocast would cast them in the call, from the cache around this run where there is one.
void cast_weights(const Step& step, graph::Stack& stack) {
  WeightCache* const cache = current_weight_cache();
  if (cache == nullptr || !at::autocast::is_autocast_enabled(at::kCPU)) return;
  const at::ScalarType dtype = at::autocast::get_autocast_dtype(at::kCPU);
  for (const uint16_t slot : step.weights) {
    const at::Tensor& weight = stack[slot].toTensor();
    if (weight.is_cpu() && weight.scalar_type() == at::kFloat) stack[slot] = cache->cast(weight, dtype);
  }
}

void run_step(const Step& step, const Sizing& sizing, Values& values, graph::Stack& stack) {
  fill_stack(step, sizing, values, stack);
  if (!step.weights.empty()) cast_weights(step, stack);
  if (step.keeps_dtype) {
    call_like_in_place(step, stack);
  } else {
    call_op(*step.op, stack);
  }
  store_outputs(step, stack, values);
  stack.clear();
}

void run_steps(const Program& program, const Sizing& sizing, Values& values) {
  graph::Stack stack;
  const Step* step = nullptr;
  try {
    for (const Segment& segment : program.segments) {
      step = program.steps.data() + segment.begin;  // named where the region itself is refused
      const RegionGuard guard(program.graph.regions()[segment.region]);
      const Step* const end = program.steps.data() + segment.end;
      for (; step != end; ++step) run_step(*step, sizing, values, stack);
    }
  } catch (const c10::Error& error) {
    const graph::Node& node = program.graph.node(step->node);
    fail<InvalidArgument>("[model] {} in '{}' failed: {}", node.op->name, program.graph.scope(node.scope).path,
                          error.what_without_backtrace());
  }
}

Values initial_values(const Program& program, std::span<const at::Tensor> inputs) {
  Values values(program.num_values);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (program.input_values[i] != kNoValue) values[program.input_values[i]] = inputs[i];
  }
  for (std::size_t i = 0; i < program.presets.size(); ++i) values[program.preset_values[i]] = program.presets[i];
  const at::NoGradGuard no_grad;
  for (const Shadow& shadow : program.shadows) values[shadow.value] = shadow.buffer.clone();
  for (const Snapshot& snapshot : program.snapshots) values[snapshot.value] = snapshot.buffer.clone();
  return values;
}

/// A tensor, or the number or nothing that a model returns among its tensors: numbers become wrapped 0-dim tensors.
at::Tensor as_tensor(const Result& result, const Values& values, const graph::Bindings& bindings) {
  using at::native::wrapped_scalar_tensor;
  if (result.value != kNoValue) {
    const c10::IValue& value = values[result.value];
    if (value.isTensor()) return value.toTensor();
    return value.isNone() ? at::Tensor() : wrapped_scalar_tensor(value.toScalar());
  }
  if (const graph::IntExpr* integer = result.constant.integer()) {
    return wrapped_scalar_tensor(integer->evaluate(bindings));
  }
  if (const auto flag = result.constant.as_bool()) return wrapped_scalar_tensor(*flag);
  if (const auto number = result.constant.as_double()) return wrapped_scalar_tensor(*number);
  return {};
}

std::vector<NamedTensor> collect(const std::vector<Result>& results, const Values& values,
                                 const graph::Bindings& bindings) {
  std::vector<NamedTensor> tensors;
  tensors.reserve(results.size());
  for (const Result& result : results) {
    if (result.value != kNoValue && values[result.value].isTensorList()) {
      const std::vector<at::Tensor> list = values[result.value].toTensorVector();
      for (std::size_t i = 0; i < list.size(); ++i) tensors.push_back({fmt::format("{}.{}", result.name, i), list[i]});
    } else {
      tensors.push_back({result.name, as_tensor(result, values, bindings)});
    }
  }
  return tensors;
}

void write_state(const Program& program, const Values& values) {
  const at::NoGradGuard no_grad;
  for (const BufferWrite& write : program.writes) write.buffer.copy_(values[write.value].toTensor());
  if (program.key.state_updates == StateUpdates::discard) return;
  for (const Shadow& shadow : program.shadows) shadow.buffer.copy_(values[shadow.value].toTensor());
}

/// The sizes of all inputs, each preceded by its rank, compared in place with those of `sizing`.
bool has_sizes(const Sizing& sizing, std::span<const at::Tensor> inputs) {
  std::size_t at = 0;
  const std::vector<int64_t>& known = sizing.input_sizes;
  for (const at::Tensor& input : inputs) {
    if (!input.defined()) continue;
    const at::IntArrayRef sizes = input.sizes();
    if (at + 1 + sizes.size() > known.size() || known[at] != static_cast<int64_t>(sizes.size())) return false;
    if (!std::equal(sizes.begin(), sizes.end(), known.begin() + static_cast<std::ptrdiff_t>(at + 1))) return false;
    at += 1 + sizes.size();
  }
  return true;
}

std::unique_ptr<Sizing> make_sizing(const Program& program, std::span<const at::Tensor> inputs) {
  auto sizing = std::make_unique<Sizing>();
  std::vector<std::vector<int64_t>> sizes(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    sizes[i] = inputs[i].sizes().vec();
    sizing->input_sizes.push_back(inputs[i].dim());
    sizing->input_sizes.insert(sizing->input_sizes.end(), sizes[i].begin(), sizes[i].end());
  }
  sizing->bindings = graph::bind_symbols(program.graph, sizes);
  const auto no_value = [](graph::ValueId) -> const c10::IValue& {
    fail<InternalError>("[model] a sized argument holds a value");
  };
  for (const SizedArgument& sized : program.sized)
    sizing->boxed.push_back(box_argument(*sized.op, sized.slot, sized.argument, no_value, sizing->bindings));
  return sizing;
}

}  // namespace

Interpreter::Interpreter(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
Interpreter::~Interpreter() = default;

const Sizing& Interpreter::sizing_for(std::span<const at::Tensor> inputs) {
  const auto known =
      std::find_if(sizings_.begin(), sizings_.end(), [&](const auto& sizing) { return has_sizes(*sizing, inputs); });
  if (known != sizings_.end()) {
    std::rotate(sizings_.begin(), known, known + 1);
  } else {
    sizings_.insert(sizings_.begin(), make_sizing(*program_, inputs));
    if (sizings_.size() > kMaxSizings) sizings_.pop_back();
  }
  return *sizings_.front();
}

Outputs Interpreter::run(std::span<const at::Tensor> inputs) {
  const Sizing& sizing = sizing_for(inputs);
  Values values = initial_values(*program_, inputs);
  run_steps(*program_, sizing, values);
  Outputs outputs;
  outputs.tensors = collect(program_->outputs, values, sizing.bindings);
  outputs.taps = collect(program_->taps, values, sizing.bindings);
  write_state(*program_, values);
  return outputs;
}

}  // namespace limbeck
