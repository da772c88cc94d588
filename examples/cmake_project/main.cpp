// Uses the installed package: finds the nearest valid name for a misspelt one, as Limbeck's own messages do.
#include <limbeck/core/error.h>

#include <cstdio>
#include <string>
#include <vector>

int main() {
  const std::vector<std::string> names = {"resnet18", "resnet50", "mobilenet_v2"};
  for (const auto& name : limbeck::nearest_names("resnet19", names, 1)) std::puts(name.c_str());
}
