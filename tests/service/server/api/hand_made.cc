#include "tests/service/server/api/hand_made.h"

namespace strata::testing {
namespace {

std::string StepOf(const std::string& component) {
  return component == "mlp" ? "step_1_mlp_to_fusions" : "step_2_linear_relu_to_kernels";
}

constexpr char kJobs[] = R"({"root": "mlp", "components": [
  {"id": "mlp", "level": "model", "path": "level_3_model/mlp.py", "step": "step_1_mlp_to_fusions",
   "children": ["linear_relu", "linear_8x2_fp32"]},
  {"id": "linear_relu", "level": "fusion", "path": "level_1_fusion/linear_relu.py", "step": "step_2_linear_relu_to_kernels",
   "children": ["linear_4x8_fp32", "relu_fp32"]},
  {"id": "linear_4x8_fp32", "level": "kernel", "path": "level_0_kernel/linear_4x8_fp32.py", "step": "", "children": []},
  {"id": "relu_fp32", "level": "kernel", "path": "level_0_kernel/relu_fp32.py", "step": "", "children": []},
  {"id": "linear_8x2_fp32", "level": "kernel", "path": "level_0_kernel/linear_8x2_fp32.py", "step": "", "children": []}]})";

std::string Node(const std::string& id, const std::string& level, const std::string& path,
                 const std::string& more) {
  return "\"" + id + R"(": {"id": ")" + id + R"(", "name": ")" + id + R"(", "level": ")" + level +
         R"(", "path": ")" + path +
         R"(", "instance_count": 1, "instances": [{"scope": "net", "calls": 1}],
    "workloads": [{"input_shapes": {"x": [3, 4]}, "count": 1}], "input_shapes": {"x": [3, 4]}, "input_dtypes": {"x": "float32"},
    "output_shapes": {"output": [3, 8]}, "output_dtypes": {"output": "float32"})" +
         more + "}";
}

std::string Tree(const std::string& status) {
  return R"({"metadata": {"format_version": 1, "source_file": "source/mlp.py", "source_level": "model", "model_name": "mlp",
    "timestamp": "", "total_components": 5, "by_level": {}, "unique_kernels": 3, "verification_status": ")" +
         status + R"("},
    "nodes": {)" +
         Node(
             "mlp", "model", "level_3_model/mlp.py",
             R"(, "children": ["linear_relu", "linear_8x2_fp32"], "calls": {"linear_relu": 1, "linear_8x2_fp32": 1})") +
         "," +
         Node(
             "linear_relu", "fusion", "level_1_fusion/linear_relu.py",
             R"(, "children": ["linear_4x8_fp32", "relu_fp32"], "calls": {"linear_4x8_fp32": 1, "relu_fp32": 1})") +
         "," + Node("linear_4x8_fp32", "kernel", "level_0_kernel/linear_4x8_fp32.py", "") + "," +
         Node("relu_fp32", "kernel", "level_0_kernel/relu_fp32.py", "") + "," +
         Node("linear_8x2_fp32", "kernel", "level_0_kernel/linear_8x2_fp32.py", "") + R"(},
    "data_flow": [{"from": "mlp/input", "to": "mlp/linear_relu#0", "tensor_name": "x", "shape": [3, 4], "dtype": "float32"}]})";
}

std::string Verdict(const std::string& component) {
  return R"({"timestamp": "", "original_file": "original.py", "refactored_file": "refactored.py", "status": "PASS",
    "anticheat": {"status": "PASS", "violations": [], "source_violations": []},
    "weight_transfer": {"status": "PASS", "mapped_count": 2, "unmapped_original": [], "unmapped_refactored": [], "weight_map": {}},
    "numerical_comparison": {"status": "PASS", "rtol": 1e-5, "atol": 1e-6, "input_dtype": "float32", "num_trials": 1,
      "max_diff_across_trials": 0.0, "bit_exact": true, "trials": [{"trial": 0, "seed": 42, "max_diff": 0.0, "pass": true,
        "output_details": [{"output_idx": 0, "shape": [3, 8], "dtype": "float32", "max_diff": 0.0, "mean_diff": 0.0, "matches": true}]}]},
    "environment": {"torch": "2.13.0", "device": "cpu", "component": ")" +
         component + R"("}})";
}

constexpr char kCoverage[] =
    R"({"timestamp": "", "model_file": "m.py", "status": "FULL_COVERAGE", "extraction_method": "trace",
  "coverage": {"total_original_ops": 3, "total_decomposed_ops": 3, "covered_op_count": 3, "coverage_pct": 100.0,
    "missing_op_types": [], "extra_op_types": [], "op_details": [
      {"op_type": "linear", "original_count": 2, "decomposed_count": 2, "status": "covered", "kernel_files": ["linear_4x8_fp32.py"]},
      {"op_type": "relu", "original_count": 1, "decomposed_count": 1, "status": "covered", "kernel_files": ["relu_fp32.py"]}]},
  "kernels": [{"file": "level_0_kernel/relu_fp32.py", "op_types": ["relu"], "instance_count": 1}], "plumbing": {"view": 2}})";

std::string Log(const std::string& step, const std::string& timestamp) {
  return R"({"entries": [{"step": ")" + step + R"(", "type": "decision", "title": "About )" + step +
         R"(", "description": "straight line", "timestamp": ")" + timestamp + R"("}]})";
}

}  // namespace

const char kModelSource[] = "import torch\n\n\nclass Model(torch.nn.Module):\n    pass\n";

Files OutputsOf(const v1::Lease& lease) {
  const std::string step = "steps/" + StepOf(lease.component()) + "/";
  switch (lease.kind()) {
    case v1::TASK_KIND_PREPARE:
      return {{".strata/program.bin", std::string("\0\1program", 9)},
              {".strata/jobs.json", kJobs},
              {"level_3_model/mlp.py", "# mlp\n"},
              {"decomposition_tree.json", Tree("PENDING")},
              {".strata/log/prepare.json", Log("prepare", "")}};
    case v1::TASK_KIND_DECOMPOSE:
      return {{step + "original.py", "# " + lease.component() + "\n"},
              {step + "refactored.py", "# refactored\n"},
              {step + "children/__init__.py", ""},
              {".strata/log/" + StepOf(lease.component()) + ".json", Log(StepOf(lease.component()), "")}};
    case v1::TASK_KIND_VERIFY:
      return {{step + "verification_result.json", Verdict(lease.component())},
              {step + "coverage_report.json", kCoverage}};
    case v1::TASK_KIND_COMPOSE:
      return {{"verification/composition_test.py", "# compose\n"},
              {".strata/composition.json",
               R"({"status": "PASS", "max_difference": 0.0, "bit_exact": true, "script_exit_code": 0})"}};
    case v1::TASK_KIND_COVERAGE:
      return {{"verification/coverage_summary.json", kCoverage}};
    case v1::TASK_KIND_PUBLISH:
      return {{"decomposition_tree.json", Tree("PASS")},
              {"decomposition_log.json", Log("joined", "2026-01-01T00:00:00Z")}};
    default:
      return {};
  }
}

}  // namespace strata::testing
