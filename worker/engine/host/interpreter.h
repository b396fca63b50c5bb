#pragma once
// The embedded CPython, without torch: start, define modules from text, call functions of text to text.
// All functions need the GIL, which the thread that started the interpreter holds.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace strata::host {

// Starts CPython so that every start is alike: isolated from the environment and the user's site, hashing
// with seed 0, no byte code written, one thread per numeric library. `python` names the interpreter whose
// environment is used. Once per process. FailedPrecondition with what to do.
absl::Status StartInterpreter(const std::string& python);

// Runs `source` as the new module `name`; frames of it read "<strata NAME>".
absl::Status DefineModule(const std::string& name, const char* source);

// module.function(text, number) -> str. Internal with the Python traceback when it raises.
absl::StatusOr<std::string> CallText(const char* module, const char* function, const std::string& text,
                                     int number);
absl::StatusOr<std::string> CallText(const char* module, const char* function);

}  // namespace strata::host
