// A stand-in for strata-engine that plays a whole job without torch: every submission is the same toy of one
// layer and two kernels, and every verdict is made up. Lines of the submission say what goes wrong:
//   # gate COMPONENT      its verify ends GATE_FAILED
//   # fail TASK           TASK ("prepare", "verify") ends FAILED, the submission's fault, at the line that
//   says so # die TASK            the engine exits while it works on TASK # sleep SECONDS       every task
//   takes so long # print TEXT          what "user code" prints in prepare
//   # verdict WORD        of a folder whose refactored.py says so: "accepted" unless said, "rejected",
//   "cannot"
// So tests of server, agent and CLI say what they need in the file they submit.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/service/agent/fake_wire.h"

namespace {

namespace fs = std::filesystem;
namespace wire = strata::engine::v1;
using Json = nlohmann::ordered_json;

struct Script {
  std::string gate, fail, die, print, verdict;
  double sleep = 0;
  int fail_line = 0;
};

std::string Read(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

Script ReadScript(const std::string& source) {
  Script script;
  std::istringstream lines(source);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    std::string hash, order, value;
    words >> hash >> order >> value;
    if (hash != "#") continue;
    if (order == "gate") script.gate = value;
    if (order == "die") script.die = value;
    if (order == "verdict") script.verdict = value;
    if (order == "print") script.print = line.substr(line.find("print") + 6);
    if (order == "sleep") script.sleep = std::stod(value);
    if (order == "fail") script.fail = value, script.fail_line = number;
  }
  return script;
}

class Task {
 public:
  explicit Task(const wire::Task& task)
      : task_(task),
        source_(Read(fs::path(task.input_dir()) /
                     (task.source() + (task.kind() == wire::TASK_KIND_JUDGE ? "/refactored.py" : "")))),
        script_(ReadScript(source_)) {}

  void Run() {
    const std::string kind = Name();
    Say("playing " + kind);
    usleep(static_cast<useconds_t>(script_.sleep * 1e6));
    if (script_.die == kind) {
      fprintf(stderr, "told to die in %s\n", kind.c_str());
      _exit(17);
    }
    if (script_.fail == kind)
      return Finish(wire::TASK_STATUS_FAILED, wire::FAILURE_KIND_USER, "told to fail in " + kind);
    switch (task_.kind()) {
      case wire::TASK_KIND_PREPARE:
        Prepare();
        break;
      case wire::TASK_KIND_DECOMPOSE:
        Decompose();
        break;
      case wire::TASK_KIND_VERIFY:
        return Verify();
      case wire::TASK_KIND_COMPOSE:
        Compose();
        break;
      case wire::TASK_KIND_COVERAGE:
        Coverage();
        break;
      case wire::TASK_KIND_JUDGE:
        Judge();
        break;
      default:
        Publish();
    }
    Finish(wire::TASK_STATUS_PASSED, {}, "");
  }

 private:
  std::string Name() const {
    switch (task_.kind()) {
      case wire::TASK_KIND_PREPARE:
        return "prepare";
      case wire::TASK_KIND_DECOMPOSE:
        return "decompose";
      case wire::TASK_KIND_VERIFY:
        return "verify";
      case wire::TASK_KIND_COMPOSE:
        return "compose";
      case wire::TASK_KIND_COVERAGE:
        return "coverage";
      case wire::TASK_KIND_JUDGE:
        return "judge";
      default:
        return "publish";
    }
  }

  static std::string StepOf(const std::string& component) {
    return component == "toy" ? "step_1_toy_to_layers" : "step_2_block_to_kernels";
  }

  void Say(const std::string& line) {
    wire::Event event;
    event.set_task_id(task_.task_id());
    event.set_progress(line);
    strata::testing::Send(event);
    if (task_.kind() != wire::TASK_KIND_PREPARE || script_.print.empty()) return;
    event.mutable_output()->set_stream(wire::Output::STDOUT);
    event.mutable_output()->set_data(script_.print + "\n");
    strata::testing::Send(event);
  }

  void Write(const std::string& path, const std::string& text) {
    const fs::path file = fs::path(task_.output_dir()) / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
    files_.push_back(path);
  }
  void Write(const std::string& path, const Json& json) { Write(path, json.dump(1)); }

  static Json Node(const std::string& id, const std::string& level, const std::string& path,
                   const Json& calls, int count) {
    Json node{{"id", id},
              {"name", id},
              {"level", level},
              {"path", path},
              {"children", Json::array()},
              {"calls", calls},
              {"instance_count", count},
              {"input_shapes", {{"x", {2, 4}}}},
              {"output_shapes", {{"output", {2, 4}}}},
              {"input_dtypes", {{"x", "float32"}}},
              {"output_dtypes", {{"output", "float32"}}}};
    for (const auto& [child, n] : calls.items()) node["children"].push_back(child);
    return node;
  }

  void Prepare() {
    Json jobs{{"root", "toy"}, {"components", Json::array()}};
    const auto add = [&](const char* id, const char* level, const std::string& path, const std::string& step,
                         const Json& children) {
      jobs["components"].push_back(
          {{"id", id}, {"level", level}, {"path", path}, {"step", step}, {"children", children}});
    };
    add("toy", "model", "level_3_model/toy.py", StepOf("toy"), {"block", "linear_4x4_fp32"});
    add("block", "layer", "level_2_layer/block.py", StepOf("block"), {"linear_4x4_fp32", "relu_fp32"});
    add("linear_4x4_fp32", "kernel", "level_0_kernel/linear_4x4_fp32.py", "", Json::array());
    add("relu_fp32", "kernel", "level_0_kernel/relu_fp32.py", "", Json::array());
    Write(".strata/jobs.json", jobs);
    Json nodes{
        {"toy", Node("toy", "model", "level_3_model/toy.py", {{"block", 2}, {"linear_4x4_fp32", 1}}, 1)},
        {"block",
         Node("block", "layer", "level_2_layer/block.py", {{"linear_4x4_fp32", 1}, {"relu_fp32", 1}}, 2)},
        {"linear_4x4_fp32",
         Node("linear_4x4_fp32", "kernel", "level_0_kernel/linear_4x4_fp32.py", Json::object(), 3)},
        {"relu_fp32", Node("relu_fp32", "kernel", "level_0_kernel/relu_fp32.py", Json::object(), 2)}};
    Write("decomposition_tree.json", Json{{"metadata",
                                           {{"format_version", 1},
                                            {"source_file", task_.source()},
                                            {"source_level", "model"},
                                            {"model_name", "toy"},
                                            {"total_components", 4},
                                            {"unique_kernels", 2}}},
                                          {"nodes", nodes},
                                          {"data_flow", Json::array()}});
    Write("level_3_model/toy.py", source_);
    Write(".strata/program.bin", std::string("program"));
    Write(".strata/log/prepare.json", Json{{"entries",
                                            {{{"step", "prepare"},
                                              {"type", "decision"},
                                              {"title", "two blocks"},
                                              {"description", "The blocks are equal: one file."}}}}});
  }

  void Decompose() {
    const std::string step = "steps/" + StepOf(task_.component()) + "/";
    Write(step + "original.py", std::string("# original\n"));
    Write(step + "refactored.py", std::string("# refactored\n"));
    if (task_.component() == "toy") Write("level_2_layer/block.py", std::string("# block\n"));
    Write("level_0_kernel/linear_4x4_fp32.py", std::string("# linear\n"));
    if (task_.component() == "block") Write("level_0_kernel/relu_fp32.py", std::string("# relu\n"));
  }

  static Json CoverageJson() {
    const auto op = [](const char* name, int count) {
      return Json{{"op_type", name},
                  {"original_count", count},
                  {"decomposed_count", count},
                  {"status", "covered"},
                  {"kernel_files", Json::array({std::string("level_0_kernel/") + name + ".py"})}};
    };
    return Json{{"status", "FULL_COVERAGE"},
                {"coverage",
                 {{"total_original_ops", 5},
                  {"total_decomposed_ops", 5},
                  {"covered_op_count", 5},
                  {"coverage_pct", 100.0},
                  {"missing_op_types", Json::array()},
                  {"extra_op_types", Json::array()},
                  {"op_details", {op("linear", 3), op("relu", 2)}}}}};
  }

  void Verify() {
    const bool pass = script_.gate != task_.component();
    const std::string step = "steps/" + StepOf(task_.component()) + "/";
    Json trials = Json::array();
    for (int i = 0; i < 3; ++i) {
      trials.push_back({{"trial", i},
                        {"seed", 42 + i},
                        {"max_diff", pass ? 0.0 : 0.5},
                        {"pass", pass},
                        {"output_details",
                         {{{"output_idx", 0},
                           {"shape", {2, 4}},
                           {"dtype", "float32"},
                           {"max_diff", pass ? 0.0 : 0.5},
                           {"mean_diff", 0.0},
                           {"matches", pass}}}}});
    }
    Json violations = Json::array();
    if (!pass) {
      violations.push_back({{"rule", "plumbing"},
                            {"file", "refactored.py"},
                            {"line", 7},
                            {"what", "relu: must be in a child"}});
    }
    Write(step + "verification_result.json",
          Json{{"status", pass ? "PASS" : "FAIL"},
               {"original_file", "original.py"},
               {"refactored_file", "refactored.py"},
               {"anticheat", {{"status", pass ? "PASS" : "FAIL"}, {"violations", violations}}},
               {"violations", violations},
               {"weight_transfer", {{"status", "PASS"}, {"mapped_count", 2}}},
               {"numerical_comparison",
                {{"status", pass ? "PASS" : "FAIL"},
                 {"rtol", 1e-5},
                 {"atol", 1e-6},
                 {"input_dtype", "float32"},
                 {"max_diff_across_trials", pass ? 0.0 : 0.5},
                 {"bit_exact", pass},
                 {"trials", trials}}},
               {"environment", {{"engine_version", "fake"}}}});
    Write(step + "coverage_report.json", CoverageJson());
    if (pass) return Finish(wire::TASK_STATUS_PASSED, {}, "");
    Finish(wire::TASK_STATUS_GATE_FAILED, wire::FAILURE_KIND_GATE, "the outputs differ by 0.5");
  }

  void Compose() {
    Write("verification/composition_test.py", std::string("# composition\n"));
    Write(".strata/composition.json",
          Json{{"status", "PASS"}, {"max_difference", 0.0}, {"bit_exact", true}, {"script_exit_code", 0}});
  }

  void Coverage() { Write("verification/coverage_summary.json", CoverageJson()); }

  void Judge() {
    Json verdict{{"verdict", script_.verdict == "rejected" ? "rejected" : "accepted"},
                 {"kind", "step"},
                 {"folder", fs::path(task_.source()).filename()},
                 {"violations", Json::array()},
                 {"notes", {"made up"}},
                 {"not_judged", {"chain", "tree"}},
                 {"environment", {{"engine_version", "fake"}}}};
    if (script_.verdict == "rejected") {
      verdict["violations"].push_back({{"rule", "numbers"},
                                       {"file", "refactored.py"},
                                       {"line", 7},
                                       {"what", "output 0 differs by 0.5"},
                                       {"advice", "compute what the original computes"}});
    } else if (script_.verdict == "cannot") {
      verdict["verdict"] = "cannot be judged";
      verdict["error"] = "original.py ran past 60 s";
    }
    Write("verdict.json", verdict);
  }

  void Publish() {
    Write("decomposition_log.json", Json{{"entries",
                                          {{{"step", "prepare"},
                                            {"type", "decision"},
                                            {"title", "two blocks"},
                                            {"description", "The blocks are equal: one file."},
                                            {"timestamp", "2026-01-01T00:00:00Z"}}}}});
    Write("verification/test_results.json", Json{{"passed", 4}});
  }

  void Finish(wire::TaskStatus status, wire::FailureKind kind, const std::string& message) {
    wire::Event event;
    event.set_task_id(task_.task_id());
    auto* finished = event.mutable_finished();
    finished->set_status(status);
    for (const std::string& path : files_) finished->add_files(path);
    if (status != wire::TASK_STATUS_PASSED) {
      finished->mutable_failure()->set_kind(kind);
      finished->mutable_failure()->set_message(message);
      finished->mutable_failure()->set_component(task_.component());
      if (kind == wire::FAILURE_KIND_USER) {
        finished->mutable_failure()->set_file(fs::path(task_.source()).filename());
        finished->mutable_failure()->set_line(script_.fail_line);
      }
    }
    strata::testing::Send(event);
  }

  const wire::Task& task_;
  const std::string source_;
  const Script script_;
  std::vector<std::string> files_;
};

}  // namespace

int main() {
  strata::testing::SayHello();
  strata::agent::FrameReader frames;
  for (wire::Request request; strata::testing::Receive(frames, &request) && request.has_task();)
    Task(request.task()).Run();
}
