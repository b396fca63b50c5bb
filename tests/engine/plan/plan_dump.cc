// plan_dump PROGRAM.bin: the Plan of an encoded Program, as text. For looking at trees by hand.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "worker/engine/plan/plan.h"
#include "worker/engine/program/codec.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: plan_dump PROGRAM.bin\n";
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto program = strata::program::Decode(bytes);
  if (!program.ok()) {
    std::cerr << argv[1] << ": " << program.status() << "\n";
    return 2;
  }
  const auto plan = strata::plan::MakePlan(*std::move(program));
  if (!plan.ok()) {
    std::cerr << argv[1] << ": " << plan.status() << "\n";
    return 1;
  }
  std::cout << strata::plan::Print(*plan);
  return 0;
}
