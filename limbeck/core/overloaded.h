// One function object of several lambdas, for std::visit.
#pragma once

namespace limbeck::core {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

}  // namespace limbeck::core
