// A stand-in for strata-engine that speaks its wire and does what the task's component says:
//   pass          one progress line, one output event, a file, PASSED
//   gate          GATE_FAILED        fail  FAILED with a user failure
//   exit:N        ends with status N, after a line on stderr
//   abort         ends by a signal
//   hang          never answers      hang-with-child  nor does a child in a session of its own, whose pid
//                                    is written to output_dir/child.pid
//   garbage       breaks the wire
//   sleep:N       N seconds, then PASSED
//   print:N       N bytes on stdout, then PASSED
//   chatter:N     N output events of 1000 bytes, then PASSED
// Arguments after `serve --wire-fd 3`: --fail-start, --no-hello.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/service/agent/fake_wire.h"

namespace {

namespace wire = strata::engine::v1;
using strata::testing::kWireFd;
using strata::testing::Send;

void SpawnHangingChild(const std::string& pid_file) {
  if (fork() != 0) return;
  setsid();
  std::ofstream(pid_file + ".tmp") << getpid();
  std::filesystem::rename(pid_file + ".tmp", pid_file);
  for (;;) pause();
}

void Finish(const wire::Task& task, wire::TaskStatus status) {
  wire::Event event;
  event.set_task_id(task.task_id());
  auto* finished = event.mutable_finished();
  finished->set_status(status);
  if (status == wire::TASK_STATUS_PASSED) {
    std::ofstream(std::filesystem::path(task.output_dir()) / "result.txt") << task.component();
    finished->add_files("result.txt");
  } else {
    auto* failure = finished->mutable_failure();
    failure->set_kind(status == wire::TASK_STATUS_GATE_FAILED ? wire::FAILURE_KIND_GATE
                                                              : wire::FAILURE_KIND_USER);
    failure->set_message("the fake engine was told to say so");
    failure->set_file("model.py");
    failure->set_line(7);
  }
  Send(event);
}

void Speak(const wire::Task& task) {
  wire::Event event;
  event.set_task_id(task.task_id());
  event.set_progress("working on " + task.component());
  Send(event);
  event.mutable_output()->set_stream(wire::Output::STDERR);
  event.mutable_output()->set_data("said by user code\n");
  Send(event);
}

void Do(const wire::Task& task) {
  const std::string& order = task.component();
  Speak(task);
  if (order == "gate") return Finish(task, wire::TASK_STATUS_GATE_FAILED);
  if (order == "fail") return Finish(task, wire::TASK_STATUS_FAILED);
  if (order == "abort") abort();
  if (order.starts_with("exit:")) {
    fprintf(stderr, "last words of the engine\n");
    _exit(atoi(order.c_str() + 5));
  }
  if (order == "hang-with-child") SpawnHangingChild(task.output_dir() + "/child.pid");
  if (order.starts_with("hang")) {
    for (;;) pause();
  }
  if (order == "garbage") {
    const std::string junk(64, '\xff');
    (void)!write(kWireFd, junk.data(), junk.size());
    for (;;) pause();
  }
  if (order.starts_with("sleep:")) sleep(atoi(order.c_str() + 6));
  if (order.starts_with("print:")) {
    const std::string line(1000, 'x');
    for (long left = atol(order.c_str() + 6); left > 0; left -= 1000)
      fwrite(line.data(), 1, line.size(), stdout);
    fflush(stdout);
  }
  if (order.starts_with("chatter:")) {
    wire::Event event;
    event.set_task_id(task.task_id());
    event.mutable_output()->set_stream(wire::Output::STDOUT);
    event.mutable_output()->set_data(std::string(1000, 'x'));
    for (int left = atoi(order.c_str() + 8); left > 0; --left) Send(event);
  }
  Finish(task, wire::TASK_STATUS_PASSED);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string last = argv[argc - 1];
  if (last == "--fail-start") {
    fprintf(stderr, "no module named torch\n");
    return 4;
  }
  if (last == "--no-hello") {
    for (;;) pause();
  }
  strata::testing::SayHello();
  strata::agent::FrameReader frames;
  for (wire::Request request; strata::testing::Receive(frames, &request) && request.has_task();)
    Do(request.task());
}
