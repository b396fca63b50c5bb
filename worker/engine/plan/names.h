#pragma once
// File stems of all components, unique over all levels, never `_2`.

#include <string>
#include <vector>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/plan.h"

namespace strata::plan {

// "vgg16" of "11_VGG16.py".
std::string ModelName(const std::string& source_file);

// "conv" of "conv2d", "bn" of "batch_norm2d": an operation inside the name of a fusion.
std::string ShortOperation(const std::string& operation);

// Fills Component::stem. Components share a base name (class or operators) where one name fits several; what
// tells them apart is appended: shapes first, then settings, then what they are made of.
void NameComponents(const Dataflow& flow, const std::vector<Node>& nodes, const std::string& model_name,
                    std::vector<Component>* components);

// Fills step and step_name of every component that is no kernel.
void NumberSteps(std::vector<Component>* components);

}  // namespace strata::plan
