#include "limbeck/model/device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/XPUHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"

namespace limbeck {

namespace {

int num_devices(c10::DeviceType type) {
  switch (type) {
    case c10::DeviceType::CPU:
      return 1;
    case c10::DeviceType::CUDA:
      return at::hasCUDA() ? static_cast<int>(at::detail::getCUDAHooks().getNumGPUs()) : 0;
    case c10::DeviceType::XPU:
      return at::hasXPU() ? static_cast<int>(at::detail::getXPUHooks().getNumGPUs()) : 0;
    default:
      return 0;
  }
}

std::vector<std::string> devices_here() {
  std::vector<std::string> names = {"cpu"};
  for (const c10::DeviceType type : {c10::DeviceType::CUDA, c10::DeviceType::XPU}) {
    for (int i = 0; i < num_devices(type); ++i)
      names.push_back(at::Device(type, static_cast<c10::DeviceIndex>(i)).str());
  }
  return names;
}

}  // namespace

at::Device parse_device_name(std::string_view name) {
  constexpr const char* kRule = "[device] '{}' is no device. Use cpu, cuda, cuda:INDEX or xpu.";
  try {
    const at::Device device{std::string(name)};
    const bool is_known = device.is_cpu() || device.is_cuda() || device.is_xpu();
    if (!is_known) fail<InvalidArgument>(kRule, name);
    return device.is_cpu() || device.has_index() ? device : at::Device(device.type(), 0);
  } catch (const c10::Error&) {
    fail<InvalidArgument>(kRule, name);
  }
}

at::Device parse_device(std::string_view name) {
  const at::Device device = parse_device_name(name);
  if (device.is_cpu() || device.index() < num_devices(device.type())) return device;
  fail<Unsupported>("[device] there is no device '{}' here. There is: {}", name, fmt::join(devices_here(), ", "));
}

at::Device device_of(const Model& model) {
  std::optional<NamedTensor> first;
  for (const NamedTensor& parameter : model.named_parameters()) {
    if (!first) first = parameter;
    LIMBECK_CHECK(parameter.tensor.device() == first->tensor.device(),
                  "[device] '{}' is on {} and '{}' on {}: move the whole model with to(device)", first->name,
                  first->tensor.device().str(), parameter.name, parameter.tensor.device().str());
  }
  return first ? first->tensor.device() : at::Device(at::kCPU);
}

void wait_for(at::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

std::vector<std::pair<std::string, at::Generator>> generators_of(at::Device device) {
  std::vector<std::pair<std::string, at::Generator>> generators = {{"generator", at::detail::getDefaultCPUGenerator()}};
  if (!device.is_cpu())
    generators.emplace_back("generator/" + device.str(), at::globalContext().defaultGenerator(device));
  return generators;
}

}  // namespace limbeck
