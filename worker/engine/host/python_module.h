#pragma once
// `_strata_host`, the builtin Python module through which the runner's Python half reaches C++:
//   save(path, names, tensors, trees_json)        writes a tensor file; ValueError for what has no plain
//   memory load(path, restore_devices)                   -> (names, tensors, trees_json) stage(name) tells
//   the parent where the runner stands

#include <cstdint>

namespace strata::host {

// Before Py_Initialize.
void RegisterHostModule();

// Where stage() writes the index of the stage in `kStages`: a byte shared with the parent; null: nowhere.
void SetStagePage(volatile uint8_t* page);

inline constexpr const char* kStages[] = {"start",  "load",    "init", "weights",
                                          "inputs", "forward", "save", "main"};

}  // namespace strata::host
