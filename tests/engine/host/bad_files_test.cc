// Everything a user's file can do wrong ends in an outcome that says what, where, and what to do; and the
// next run is unharmed.

#include <gmock/gmock.h>
#include <signal.h>

#include "tests/engine/host/fixture.h"

namespace strata::host {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct BadFile {
  const char* name;  // of the case
  std::string text;
  RunStatus status;
  const char* stage;
  int line;
  const char* message;     // a part of it
  const char* error_type;  // exact
};

std::ostream& operator<<(std::ostream& out, const BadFile& file) { return out << file.name; }

const char kTail[] = "\n\ndef get_inputs():\n    return [torch.randn(2, 4)]\n";

class BadFileTest : public HostTest, public testing::WithParamInterface<BadFile> {};

TEST_P(BadFileTest, IsBlamedWhereItWentWrong) {
  const BadFile& bad = GetParam();
  const RunOutcome outcome = RunText(bad.text);
  EXPECT_EQ(outcome.status, bad.status) << outcome.message << outcome.stderr_text;
  EXPECT_EQ(outcome.stage, bad.stage);
  EXPECT_EQ(outcome.file, "model.py");
  EXPECT_EQ(outcome.line, bad.line);
  EXPECT_THAT(outcome.message, HasSubstr(bad.message));
  EXPECT_EQ(outcome.error_type, bad.error_type);
  EXPECT_THAT(outcome.message, Not(HasSubstr(dir()))) << "a scratch folder is nobody's business";
  EXPECT_THAT(outcome.traceback, Not(HasSubstr("<strata")));
  EXPECT_THAT(outcome.traceback, Not(HasSubstr("site-packages")));
  EXPECT_THAT(outcome.stderr_text, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Load, BadFileTest,
    testing::Values(
        BadFile{"SyntaxError", "import torch\n\ndef f(:\n", RunStatus::kRaised, "load", 3,
                "model.py:3 is not valid Python", "SyntaxError"},
        BadFile{"Empty", "", RunStatus::kRaised, "load", 1, "model.py is empty; it must define a class Model",
                "InvalidFile"},
        BadFile{"OnlyBlanks", " \n\t\n", RunStatus::kRaised, "load", 1, "model.py is empty", "InvalidFile"},
        BadFile{"Binary",
                std::string("\x7f"
                            "ELF\x02\x01\n\x00\x00\x00 binary",
                            17),
                RunStatus::kRaised, "load", 2, "is not Python source: it contains zero bytes", "SyntaxError"},
        BadFile{"NotUtf8", "import torch\nname = '\xff\xfe'\n", RunStatus::kRaised, "load", 2,
                "is not valid Python", "SyntaxError"},
        BadFile{"UnknownCoding", "# coding: klingon\nimport torch\n", RunStatus::kRaised, "load", 0,
                "unknown encoding", "SyntaxError"},
        BadFile{"MissingPackage", "import torch\nimport no_such_package.nn\n", RunStatus::kRaised, "load", 2,
                "model.py:2 imports 'no_such_package', which is not installed", "ModuleNotFoundError"},
        BadFile{"ImportRaises", "import torch\nraise ValueError('at import')\n", RunStatus::kRaised, "load",
                2, "importing model.py raised ValueError at model.py:2: at import", "ValueError"},
        BadFile{"SysExitAtImport", "import sys\nsys.exit(7)\n", RunStatus::kExited, "load", 2,
                "ended the process with sys.exit(7) at model.py:2", "SystemExit"}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Interface, BadFileTest,
    testing::Values(
        BadFile{"NoModel", "import torch\nimport torch.nn as nn\nclass Net(nn.Module):\n    pass\n",
                RunStatus::kRaised, "init", 0,
                "model.py defines no Model (it defines Net); it must define a class Model(nn.Module)",
                "InvalidFile"},
        BadFile{"ModelIsNoClass", "Model = 3\n", RunStatus::kRaised, "init", 0, "Model in model.py is a int",
                "InvalidFile"},
        BadFile{"ModelIsNoModule", "class Model:\n    pass\n", RunStatus::kRaised, "init", 0,
                "Model in model.py is no torch.nn.Module; derive it from nn.Module", "InvalidFile"},
        BadFile{"InitRaises",
                "import torch\nclass Model(torch.nn.Module):\n    def __init__(self):\n        "
                "super().__init__()\n"
                "        self.linear = torch.nn.Linear(-1, 3)\n",
                RunStatus::kRaised, "init", 5, "building the model raised", "RuntimeError"},
        BadFile{"InitWantsMore",
                "import torch\nclass Model(torch.nn.Module):\n    def __init__(self, width):\n        pass\n",
                RunStatus::kRaised, "init", 3, "missing 1 required positional argument: 'width'",
                "TypeError"},
        BadFile{
            "InitInputsNoList",
            "import torch\nclass Model(torch.nn.Module):\n    pass\n\ndef get_init_inputs():\n    return 3\n",
            RunStatus::kRaised, "init", 5,
            "get_init_inputs() in model.py returned a int; it must return a list", "InvalidFile"},
        BadFile{"NoGetInputs", "import torch\nclass Model(torch.nn.Module):\n    pass\n", RunStatus::kRaised,
                "inputs", 0, "model.py defines no get_inputs; it must define get_inputs(), which returns",
                "InvalidFile"},
        BadFile{"GetInputsRaises",
                "import torch\nclass Model(torch.nn.Module):\n    pass\n\ndef get_inputs():\n    return [1 / "
                "0]\n",
                RunStatus::kRaised, "inputs", 6, "get_inputs() raised ZeroDivisionError at model.py:6",
                "ZeroDivisionError"},
        BadFile{"GetInputsNoList",
                "import torch\nclass Model(torch.nn.Module):\n    pass\n\ndef get_inputs():\n    return "
                "torch.ones(2)\n",
                RunStatus::kRaised, "inputs", 5, "get_inputs() in model.py returned a Tensor",
                "InvalidFile"}),
    [](const auto& info) { return std::string(info.param.name); });

std::string Forward(const std::string& body) { return ModelWithForward(body); }  // the body is line 12

INSTANTIATE_TEST_SUITE_P(
    Forward, BadFileTest,
    testing::Values(
        BadFile{"Raises", Forward("return self.linear(x.transpose(0, 1))"), RunStatus::kRaised, "forward", 12,
                "forward() raised RuntimeError at model.py:12: mat1 and mat2 shapes cannot be multiplied",
                "RuntimeError"},
        BadFile{
            "TakesMore",
            "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x, mask):\n        return x" +
                std::string(kTail),
            RunStatus::kRaised, "forward", 3, "missing 1 required positional argument: 'mask'", "TypeError"},
        BadFile{"RaisesBaseException", Forward("raise BaseException('odd')"), RunStatus::kRaised, "forward",
                12, "odd", "BaseException"},
        BadFile{"RaisesKeyboardInterrupt", Forward("raise KeyboardInterrupt"), RunStatus::kRaised, "forward",
                12, "KeyboardInterrupt", "KeyboardInterrupt"},
        BadFile{"RaisesWhatCannotBePrinted",
                Forward("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()"),
                RunStatus::kRaised, "forward", 12, "(its text cannot be printed)", "Odd"},
        BadFile{"RecursesForever", Forward("return self.forward(x)"), RunStatus::kRaised, "forward", 12,
                "maximum recursion depth exceeded", "RecursionError"},
        BadFile{"SysExit", Forward("sys.exit('bye')"), RunStatus::kExited, "forward", 12,
                "sys.exit('bye') at model.py:12", "SystemExit"},
        BadFile{"OsExit", Forward("os._exit(0)"), RunStatus::kExited, "forward", 12,
                "the process ended with exit code 0 in stage 'forward', at model.py:12", ""},
        BadFile{"AllocatesWhatNoMachineHas", Forward("return torch.ones(1 << 45)"), RunStatus::kMemoryLimit,
                "forward", 12, "forward() raised RuntimeError at model.py:12", "RuntimeError"}),
    [](const auto& info) { return std::string(info.param.name); });

using CrashTest = HostTest;

TEST_F(CrashTest, AnExitBehindPythonsBackStillSaysTheStage) {
  const RunOutcome outcome = RunText(ModelWithForward("import posix; posix._exit(5)"));
  EXPECT_EQ(outcome.status, RunStatus::kExited);
  EXPECT_EQ(outcome.exit_code, 5);
  EXPECT_EQ(outcome.stage, "forward");
}

TEST_F(CrashTest, ASignalIsNamedWithTheLineItHit) {
  const RunOutcome crash = RunText(ModelWithForward("import ctypes; ctypes.string_at(8)"));
  EXPECT_EQ(crash.status, RunStatus::kExited);
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.file, "model.py");
  EXPECT_EQ(crash.line, 12);
  EXPECT_THAT(crash.message, HasSubstr("signal 11 (Segmentation fault) in stage 'forward', at model.py:12"));

  const RunOutcome abort = RunText(ModelWithForward("os.abort()"));
  EXPECT_EQ(abort.signal, SIGABRT);
  EXPECT_EQ(abort.line, 12);
}

TEST_F(CrashTest, ClosingEveryDescriptorIsAnExit) {
  const RunOutcome outcome = RunText(ModelWithForward("os.closerange(0, 1000); return x"));
  EXPECT_EQ(outcome.status, RunStatus::kExited);
  EXPECT_THAT(outcome.message, HasSubstr("before the run was over"));
}

TEST_F(CrashTest, AForgedMessageIsNotBelievedWhenTheProcessDies) {
  const RunOutcome outcome =
      RunText(ModelWithForward("os.write(3, b'{\"status\": \"ok\"}'); os.kill(os.getpid(), 9)"));
  EXPECT_EQ(outcome.status, RunStatus::kExited);
  EXPECT_EQ(outcome.signal, SIGKILL);
}

TEST_F(CrashTest, NonsenseInTheResultPipeIsAnExit) {
  const RunOutcome outcome = RunText(ModelWithForward("os.write(3, b'\\xff' * 100); return x"));
  EXPECT_EQ(outcome.status, RunStatus::kExited);
}

TEST_F(CrashTest, ARunAfterManyKilledOnesIsUnharmed) {
  for (const char* body : {"os.kill(os.getpid(), 9)", "os.abort()", "raise ValueError()"}) {
    EXPECT_NE(RunText(ModelWithForward(body)).status, RunStatus::kOk);
  }
  const RunOutcome outcome = RunText(ModelWithForward("return self.linear(x)"));
  EXPECT_EQ(outcome.status, RunStatus::kOk) << outcome.message;
}

TEST_F(CrashTest, AnErrorInAnImportedFileNamesThatFile) {
  File("helper.py", "import torch\n\ndef double(x):\n    return x @ x\n");
  const RunOutcome outcome = RunText(ModelWithForward("import helper; return helper.double(x)"));
  EXPECT_EQ(outcome.status, RunStatus::kRaised);
  EXPECT_EQ(outcome.file, "helper.py");
  EXPECT_EQ(outcome.line, 4);
  EXPECT_THAT(outcome.traceback, HasSubstr("File \"model.py\", line 12, in forward"));
  EXPECT_THAT(outcome.traceback, HasSubstr("File \"helper.py\", line 4, in double\n    return x @ x"));
}

TEST_F(CrashTest, AFileThatIsTooLargeIsRefusedUnread) {
  const std::string file = File("model.py", "import torch\n");
  ASSERT_EQ(truncate(file.c_str(), int64_t{600} << 20), 0);
  limits_.memory_bytes = int64_t{600} << 20;
  const RunOutcome outcome = Run(Request(file));
  EXPECT_EQ(outcome.status, RunStatus::kRaised);
  EXPECT_THAT(outcome.message, HasSubstr("model.py has 629,145,600 bytes, more than"));
}

TEST_F(CrashTest, AnOutputThatCannotBeSavedIsTheUsersError) {
  RunRequest request = Request(File("model.py", ModelWithForward("return {'a': x, 'b': [x.to_sparse()]}")));
  request.save_outputs = true;
  const RunOutcome outcome = Run(request);
  EXPECT_EQ(outcome.status, RunStatus::kRaised);
  EXPECT_EQ(outcome.stage, "save");
  EXPECT_THAT(outcome.message,
              HasSubstr("output['b'][0] is a sparse tensor and cannot be saved; return its to_dense()"));
}

TEST_F(CrashTest, ABadRequestIsOurFault) {
  RunRequest request = Request(dir() + "/none.py");
  EXPECT_EQ(Run(request).status, RunStatus::kInternal);
  request.file = File("model.py", ModelWithForward("return x"));
  request.device = "tpu";
  EXPECT_EQ(Run(request).status, RunStatus::kInternal);
  request.device = "cuda";
  if (!HasDevice()) {
    EXPECT_THAT(Run(request).message, HasSubstr("torch sees none here; ask for cpu"));
  }
  request.device = "cpu";
  File("out0/old.bin", "x");
  EXPECT_THAT(Run(request).message, HasSubstr("is not empty: it has old.bin"));
}

}  // namespace
}  // namespace strata::host
