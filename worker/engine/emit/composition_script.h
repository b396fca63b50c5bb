#pragma once
// The fixed parts of composition_test.py.

#include <set>
#include <string>

#include "worker/engine/emit/python_text.h"

namespace strata::emit {

// Docstring, imports, sys.path and numeric setting; the submitted model is imported as `submission`.
// `imports`: of the classes that its output is made of.
Lines CompositionHeader(const std::string& model, const std::string& folder, const std::string& module,
                        bool packed, bool math, const std::set<std::string>& imports);
// Weight transfer, comparison and __main__.
Lines CompositionMain();

}  // namespace strata::emit
