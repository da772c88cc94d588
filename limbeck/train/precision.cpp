#include "limbeck/train/precision.h"

#include "limbeck/core/error.h"

namespace limbeck::train {

std::string_view precision_name(Precision precision) { return precision == Precision::fp32 ? "fp32" : "bf16"; }

Precision parse_precision(std::string_view name) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    if (name == precision_name(precision)) return precision;
  }
  fail<InvalidArgument>("[train] precision '{}' does not exist. Use fp32 or bf16.", name);
}

}  // namespace limbeck::train
