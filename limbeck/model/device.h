// Where a model computes.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limbeck/model/model.h"

namespace limbeck {

/// "cpu", "cuda", "cuda:1", "xpu": a device that this libtorch was built for and this machine has. Throws
/// InvalidArgument for what is no device, Unsupported, saying which there are, for one that is not here.
at::Device parse_device(std::string_view name);

/// The device that a name of parse_device names, wherever that is: of files that were written elsewhere. Throws
/// InvalidArgument.
at::Device parse_device_name(std::string_view name);

/// Where the model's parameters are; the CPU for a model without any. Throws InvalidArgument, naming two of them, where
/// they are on several devices.
at::Device device_of(const Model& model);

/// Returns when the device has done all that was queued on it: what a clock around it then measures. The CPU never
/// queues.
void wait_for(at::Device device);

/// The random generators that a run on `device` draws from, by the names that checkpoints give them: the CPU's
/// ("generator"), and the device's own ("generator/cuda:0").
std::vector<std::pair<std::string, at::Generator>> generators_of(at::Device device);

}  // namespace limbeck
