#include "server/store/artifacts.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/store/json_view.h"

namespace strata::store {
namespace {

// Runs `read` over the document and turns its complaint into a status.
template <typename T, typename Read>
absl::StatusOr<T> Parse(const std::string& path, const std::string& text, Read read) {
  auto json = ParseHostileJson(text);
  if (!json.ok())
    return absl::InvalidArgumentError(absl::StrCat(path, " ", std::string(json.status().message())));
  std::string error;
  T result = read(JsonView(&*json, path + ":", &error));
  if (!error.empty()) return absl::InvalidArgumentError(error);
  return result;
}

v1::Level LevelOf(const JsonView& view, const std::string& text) {
  if (text == "kernel") return v1::LEVEL_KERNEL;
  if (text == "fusion") return v1::LEVEL_FUSION;
  if (text == "layer") return v1::LEVEL_LAYER;
  if (text == "model") return v1::LEVEL_MODEL;
  if (!text.empty()) view.Complain("has level '" + text + "', which is none of kernel, fusion, layer, model");
  return v1::LEVEL_UNSPECIFIED;
}

template <typename Repeated>
void Fill(Repeated* out, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) out->Add(std::string(text));
}

template <typename Repeated>
void FillNumbers(Repeated* out, const std::vector<int64_t>& numbers) {
  for (int64_t number : numbers) out->Add(number);
}

// {name: [dims]} beside {name: dtype}.
void FillTensors(const JsonView& shapes, const JsonView& dtypes,
                 google::protobuf::RepeatedPtrField<v1::TensorSpec>* out) {
  const auto members = shapes.Members();
  // Looking up a dtype is linear, and no forward has so many arguments.
  if (members.size() > 1000) return shapes.Complain("has more than 1000 tensors");
  for (const auto& [name, shape] : members) {
    v1::TensorSpec* tensor = out->Add();
    tensor->set_name(name);
    FillNumbers(tensor->mutable_shape(), shape.AsWhole());
    tensor->set_dtype(dtypes.Text(name));
  }
}

void FillNode(const JsonView& view, v1::Node* node) {
  node->set_id(view.Text("id"));
  node->set_name(view.Text("name"));
  view.Require("level");
  node->set_level(LevelOf(view, view.Text("level")));
  node->set_path(view.Text("path"));
  if (!IsSafePath(node->path())) view.Complain("has a path that leads nowhere in a bundle");
  Fill(node->mutable_children(), view.Texts("children"));
  for (const auto& [child, calls] : view.Object("calls").Members()) {
    v1::Call* call = node->add_calls();
    call->set_child(child);
    call->set_calls(calls.AsCount());
  }
  node->set_instance_count(view.Count("instance_count"));
  for (const JsonView& item : view.Items("instances")) {
    v1::Instance* instance = node->add_instances();
    instance->set_scope(item.Text("scope"));
    instance->set_calls(item.Count("calls"));
  }
  for (const JsonView& item : view.Items("workloads")) {
    v1::Workload* workload = node->add_workloads();
    FillTensors(item.Object("input_shapes"), item.Object("input_dtypes"), workload->mutable_inputs());
    workload->set_count(item.Count("count"));
  }
  FillTensors(view.Object("input_shapes"), view.Object("input_dtypes"), node->mutable_inputs());
  FillTensors(view.Object("output_shapes"), view.Object("output_dtypes"), node->mutable_outputs());
}

void FillTrial(const JsonView& view, v1::Trial* trial) {
  trial->set_trial(static_cast<uint32_t>(view.Count("trial")));
  trial->set_seed(view.Count("seed"));
  trial->set_max_diff(view.Real("max_diff"));
  trial->set_pass(view.Bool("pass"));
  for (const JsonView& item : view.Items("output_details")) {
    v1::OutputComparison* output = trial->add_outputs();
    output->set_output_idx(static_cast<uint32_t>(item.Count("output_idx")));
    FillNumbers(output->mutable_shape(), item.Whole("shape"));
    output->set_dtype(item.Text("dtype"));
    output->set_max_diff(item.Real("max_diff"));
    output->set_mean_diff(item.Real("mean_diff"));
    output->set_matches(item.Bool("matches"));
  }
}

int LevelNumber(v1::Level level) { return static_cast<int>(level) - static_cast<int>(v1::LEVEL_KERNEL); }

}  // namespace

bool IsPrintable(const std::string& text) {
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return IsUtf8(text);
}

absl::StatusOr<jobs::Graph> ParseJobs(const std::string& path, const std::string& text) {
  auto graph = Parse<jobs::Graph>(path, text, [](const JsonView& view) {
    jobs::Graph graph;
    view.Require("root");
    graph.root = view.Text("root");
    for (const JsonView& item : view.Items("components")) {
      jobs::Component component;
      component.id = item.Text("id");
      item.Require("level");
      component.level = LevelNumber(LevelOf(item, item.Text("level")));
      component.step = item.Text("step");
      component.children = item.Texts("children");
      graph.components.push_back(std::move(component));
    }
    return graph;
  });
  if (!graph.ok()) return graph;
  if (absl::Status status = jobs::CheckGraph(*graph); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::string(status.message())));
  }
  return graph;
}

absl::StatusOr<v1::Tree> ParseTree(const std::string& path, const std::string& text) {
  return Parse<v1::Tree>(path, text, [](const JsonView& view) {
    v1::Tree tree;
    const JsonView metadata = view.Object("metadata");
    tree.set_source_file(metadata.Text("source_file"));
    tree.set_model_name(metadata.Text("model_name"));
    tree.set_source_level(LevelOf(metadata, metadata.Text("source_level")));
    tree.set_total_components(static_cast<uint32_t>(metadata.Count("total_components")));
    tree.set_unique_kernels(static_cast<uint32_t>(metadata.Count("unique_kernels")));
    tree.set_verification_status(metadata.Text("verification_status"));
    view.Require("nodes");
    std::set<std::string> ids;
    for (const auto& [id, node] : view.Object("nodes").Members()) {
      FillNode(node, tree.add_nodes());
      if (!ids.insert(id).second) node.Complain("appears twice");
      if (tree.nodes(tree.nodes_size() - 1).id() != id) node.Complain("has another id than its key");
    }
    for (const JsonView& item : view.Items("data_flow")) {
      v1::Flow* flow = tree.add_data_flow();
      flow->set_from(item.Text("from"));
      flow->set_to(item.Text("to"));
      flow->set_tensor_name(item.Text("tensor_name"));
      FillNumbers(flow->mutable_shape(), item.Whole("shape"));
      flow->set_dtype(item.Text("dtype"));
    }
    return tree;
  });
}

// One entry of `violations` as a sentence: "plumbing: block.py:31: relu: a compute operator is executed
// outside the children".
std::string Violation(const JsonView& item) {
  std::string text = absl::StrCat(item.Text("rule"), ": ");
  if (const std::string file = item.Text("file"); !file.empty()) {
    absl::StrAppend(&text, file);
    if (const uint64_t line = item.Count("line"); line > 0) absl::StrAppend(&text, ":", line);
    absl::StrAppend(&text, ": ");
  }
  return text + item.Text("what");
}

absl::StatusOr<v1::StepResult> ParseVerdict(const std::string& path, const std::string& text) {
  return Parse<v1::StepResult>(path, text, [](const JsonView& view) {
    v1::StepResult result;
    view.Require("status");
    result.mutable_step()->set_status(view.Text("status"));
    result.set_original_file(view.Text("original_file"));
    result.set_refactored_file(view.Text("refactored_file"));
    const JsonView anticheat = view.Object("anticheat");
    result.mutable_step()->set_anticheat_status(anticheat.Text("status"));
    for (const JsonView& item : view.Items("violations")) result.add_violations(Violation(item));
    const JsonView weights = view.Object("weight_transfer");
    result.set_weights_mapped(static_cast<uint32_t>(weights.Count("mapped_count")));
    Fill(result.mutable_unmapped_original(), weights.Texts("unmapped_original"));
    Fill(result.mutable_unmapped_refactored(), weights.Texts("unmapped_refactored"));
    const JsonView numbers = view.Object("numerical_comparison");
    result.set_rtol(numbers.Real("rtol"));
    result.set_atol(numbers.Real("atol"));
    result.set_input_dtype(numbers.Text("input_dtype"));
    result.mutable_step()->set_max_diff(numbers.Real("max_diff_across_trials"));
    result.mutable_step()->set_bit_exact(numbers.Bool("bit_exact"));
    for (const JsonView& item : numbers.Items("trials")) FillTrial(item, result.add_trials());
    result.set_environment_json(view.Object("environment").Dump());
    return result;
  });
}

absl::StatusOr<v1::FolderVerdict> ParseFolderVerdict(const std::string& path, const std::string& text) {
  return Parse<v1::FolderVerdict>(path, text, [](const JsonView& view) {
    v1::FolderVerdict verdict;
    verdict.set_verdict(view.Text("verdict"));
    const std::set<std::string> known = {"accepted", "rejected", "cannot be judged"};
    if (!known.count(verdict.verdict())) view.Complain("has the unknown verdict '" + verdict.verdict() + "'");
    verdict.set_kind(view.Text("kind"));
    verdict.set_folder(view.Text("folder"));
    for (const JsonView& item : view.Items("violations")) {
      v1::Violation* violation = verdict.add_violations();
      violation->set_rule(item.Text("rule"));
      violation->set_file(item.Text("file"));
      violation->set_line(static_cast<uint32_t>(item.Count("line")));
      violation->set_what(item.Text("what"));
      violation->set_advice(item.Text("advice"));
    }
    Fill(verdict.mutable_notes(), view.Texts("notes"));
    Fill(verdict.mutable_not_judged(), view.Texts("not_judged"));
    verdict.set_error(view.Text("error"));
    return verdict;
  });
}

absl::StatusOr<v1::Coverage> ParseCoverage(const std::string& path, const std::string& text) {
  return Parse<v1::Coverage>(path, text, [](const JsonView& view) {
    v1::Coverage coverage;
    view.Require("status");
    coverage.set_status(view.Text("status"));
    const JsonView totals = view.Object("coverage");
    coverage.set_total_original_ops(totals.Count("total_original_ops"));
    coverage.set_total_decomposed_ops(totals.Count("total_decomposed_ops"));
    coverage.set_covered_op_count(totals.Count("covered_op_count"));
    coverage.set_coverage_pct(totals.Real("coverage_pct"));
    Fill(coverage.mutable_missing_op_types(), totals.Texts("missing_op_types"));
    Fill(coverage.mutable_extra_op_types(), totals.Texts("extra_op_types"));
    for (const JsonView& item : totals.Items("op_details")) {
      v1::OperatorCoverage* op = coverage.add_operators();
      op->set_op_type(item.Text("op_type"));
      op->set_original_count(item.Count("original_count"));
      op->set_decomposed_count(item.Count("decomposed_count"));
      op->set_status(item.Text("status"));
      Fill(op->mutable_kernel_files(), item.Texts("kernel_files"));
    }
    for (const JsonView& item : view.Items("kernels")) {
      v1::KernelUse* kernel = coverage.add_kernels();
      kernel->set_file(item.Text("file"));
      Fill(kernel->mutable_op_types(), item.Texts("op_types"));
      kernel->set_instance_count(item.Count("instance_count"));
    }
    for (const auto& [op, count] : view.Object("plumbing").Members())
      (*coverage.mutable_plumbing())[op] = count.AsCount();
    return coverage;
  });
}

absl::StatusOr<std::vector<v1::LogEntry>> ParseLog(const std::string& path, const std::string& text) {
  return Parse<std::vector<v1::LogEntry>>(path, text, [](const JsonView& view) {
    std::vector<v1::LogEntry> entries;
    for (const JsonView& item : view.Items("entries")) {
      v1::LogEntry& entry = entries.emplace_back();
      entry.set_step(item.Text("step"));
      entry.set_type(item.Text("type"));
      entry.set_title(item.Text("title"));
      entry.set_description(item.Text("description"));
      entry.set_resolution(item.Text("resolution"));
      entry.set_timestamp(item.Text("timestamp"));
    }
    return entries;
  });
}

absl::StatusOr<CompositionResult> ParseComposition(const std::string& path, const std::string& text) {
  return Parse<CompositionResult>(path, text, [](const JsonView& view) {
    view.Require("status");
    return CompositionResult{view.Text("status"), view.Real("max_difference"), view.Bool("bit_exact")};
  });
}

namespace {

enum class Kind { kNone, kJobs, kTree, kVerdict, kCoverage, kLog, kComposition, kFolderVerdict };

// "steps/NAME/FILE" → NAME; "" for another path.
std::string StepOf(const std::string& path, const std::string& file) {
  const std::string tail = "/" + file;
  if (!absl::StartsWith(path, "steps/") || !absl::EndsWith(path, tail) || path.size() <= 6 + tail.size())
    return "";
  const std::string name = path.substr(6, path.size() - 6 - tail.size());
  return name.find('/') == std::string::npos ? name : "";
}

Kind KindOf(const std::string& path) {
  if (path == ".strata/jobs.json") return Kind::kJobs;
  if (path == "decomposition_tree.json") return Kind::kTree;
  if (!StepOf(path, "verification_result.json").empty()) return Kind::kVerdict;
  if (path == "verification/coverage_summary.json" || !StepOf(path, "coverage_report.json").empty())
    return Kind::kCoverage;
  if (path == "decomposition_log.json") return Kind::kLog;
  if (absl::StartsWith(path, ".strata/log/") && absl::EndsWith(path, ".json")) return Kind::kLog;
  if (path == ".strata/composition.json") return Kind::kComposition;
  if (path == "verdict.json") return Kind::kFolderVerdict;
  return Kind::kNone;
}

template <typename T, typename Use>
absl::Status Take(absl::StatusOr<T> parsed, Use use) {
  if (!parsed.ok()) return parsed.status();
  use(std::move(*parsed));
  return absl::OkStatus();
}

}  // namespace

bool IsArtifact(const std::string& path) { return KindOf(path) != Kind::kNone; }

absl::Status ReadArtifact(const std::string& path, const std::string& text, Findings& findings) {
  switch (KindOf(path)) {
    case Kind::kNone:
      return absl::OkStatus();
    case Kind::kJobs:
      return Take(ParseJobs(path, text), [&](auto graph) { findings.graph = std::move(graph); });
    case Kind::kTree:
      return Take(ParseTree(path, text), [&](auto tree) { findings.tree = std::move(tree); });
    case Kind::kVerdict:
      return Take(ParseVerdict(path, text), [&](auto verdict) {
        verdict.mutable_step()->set_name(StepOf(path, "verification_result.json"));
        findings.verdicts.push_back(std::move(verdict));
      });
    case Kind::kCoverage:
      return Take(ParseCoverage(path, text), [&](auto coverage) {
        coverage.set_step(StepOf(path, "coverage_report.json"));
        findings.coverages.push_back(std::move(coverage));
      });
    case Kind::kLog:
      return Take(ParseLog(path, text), [&](auto entries) {
        for (auto& entry : entries) findings.log.push_back(std::move(entry));
      });
    case Kind::kComposition:
      return Take(ParseComposition(path, text),
                  [&](auto result) { findings.composition = std::move(result); });
    case Kind::kFolderVerdict:
      return Take(ParseFolderVerdict(path, text),
                  [&](auto verdict) { findings.folder_verdict = std::move(verdict); });
  }
  return absl::OkStatus();
}

bool IsSafePath(const std::string& path) {
  if (path.empty() || path.size() > 500 || path.find('\\') != std::string::npos || !IsPrintable(path))
    return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace strata::store
