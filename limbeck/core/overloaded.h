// One function object of several lambdas, for std::visit.
#pragma once

namespace limbeck::core {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;  // for compilers that do not deduce aggregates' arguments yet

}  // namespace limbeck::core
