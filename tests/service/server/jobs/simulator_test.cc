// A seeded world of workers, crashes and lost messages around the scheduling core, with the seven invariants
// checked after every step. A failure prints its seed; run it again with --gtest_filter=*Simulat* and
// STRATA_SEED=N.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <random>

#include "absl/strings/str_cat.h"
#include "server/jobs/scheduler.h"

namespace strata::jobs {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(2);  // between two ticks, at most

// What a disk keeps: exactly what the saves said, nothing of the state itself.
struct Disk {
  std::map<JobId, Job> jobs;  // also ended ones
  std::vector<JobId> order;
  std::map<std::string, JobId> by_request;
  std::map<std::string, int> outputs;  // job/task → how often recorded
};

// An agent: what it holds is forgotten by a crash, kept over a broken stream.
struct Agent {
  WorkerId id;
  SessionId session = 0;
  uint32_t slots = 1;
  bool connected = false;
  bool draining = false;
  absl::Time stalled_until = absl::InfinitePast();  // connected, but says nothing
  std::map<LeaseId, absl::Time> held;               // with the time it will be done
  std::map<LeaseId, TaskKind> kinds;
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  void Run(int steps) {
    for (int i = 0; i < steps && broken_.empty(); ++i) RandomStep();
    chaos_ = false;
    // Without further trouble everything must come to an end.
    for (int i = 0; i < 20000 && broken_.empty() && !state_.jobs.empty(); ++i) RandomStep();
    if (broken_.empty() && !state_.jobs.empty()) broken_ = "jobs are left after the trouble ended";
    for (const auto& [id, job] : disk_.jobs) {
      if (broken_.empty() && !IsFinal(job.state)) broken_ = id + " never ended on disk";
    }
  }
  const std::string& broken() const { return broken_; }
  size_t ended() const { return disk_.jobs.size(); }
  int crashes() const { return crashes_; }

 private:
  bool OneIn(int n) { return random_() % n == 0; }

  void RandomStep() {
    now_ += absl::Milliseconds(random_() % 1000);
    if (now_ - ticked_ >= absl::Seconds(1)) {
      ticked_ = now_;
      Hear(Tick{});
    }
    if (chaos_) Trouble();
    if (agents_.size() < 3 || (chaos_ && agents_.size() < 6 && OneIn(20))) NewAgent();
    for (Agent& agent : agents_) Act(agent);
  }

  void Trouble() {
    if (OneIn(8)) SubmitOne();
    if (OneIn(40) && !disk_.order.empty())
      Hear(Cancel{disk_.order[random_() % disk_.order.size()], "changed my mind"});
    if (crash_pending_ || OneIn(60)) CrashServer();
    if (OneIn(30) && !agents_.empty()) {
      Agent& agent = agents_[random_() % agents_.size()];
      if (OneIn(3)) {
        agent.held.clear();  // the machine died: a new agent gets a new id
        Disconnect(agent);
        agent.id = absl::StrCat("w", ++worker_count_);
      } else {
        Disconnect(agent);
      }
    }
    if (OneIn(30) && !agents_.empty()) {
      agents_[random_() % agents_.size()].stalled_until = now_ + absl::Seconds(random_() % 90);
    }
  }

  void NewAgent() {
    Agent agent;
    agent.id = absl::StrCat("w", ++worker_count_);
    agent.slots = 1 + random_() % 3;
    agents_.push_back(agent);
  }

  // The same request is often sent twice; the row on disk decides.
  void SubmitOne() {
    const std::string request = absl::StrCat("r", random_() % 200);
    if (disk_.by_request.count(request)) return;
    const JobId id = absl::StrCat("j", disk_.order.size());
    const TaskKind first = OneIn(10) ? TaskKind::kJudge : TaskKind::kPrepare;
    if (!Hear(Submit{id, Device::kAuto, first})) return;  // the client gets no reply and may ask again
    if (!disk_.jobs.count(id)) Break(id + " was acknowledged and is not on disk");
    disk_.by_request[request] = id;
    disk_.order.push_back(id);
  }

  void CrashServer() {
    ++crashes_;
    crash_pending_ = false;
    std::vector<Job> live;
    for (const JobId& id : disk_.order) {
      if (!IsFinal(disk_.jobs.at(id).state)) live.push_back(disk_.jobs.at(id));
    }
    state_ = Restore(std::move(live), {}, now_, config_);
    for (Agent& agent : agents_) agent.connected = false;
    Check();
  }

  void Disconnect(Agent& agent) {
    if (!agent.connected) return;
    agent.connected = false;
    if (!OneIn(3)) Hear(Leave{agent.id, agent.session});  // else the server has not noticed yet
  }

  void Act(Agent& agent) {
    if (!agent.connected) {
      if (chaos_ && !OneIn(4)) return;
      agent.connected = true;
      agent.session = ++session_count_;
      Hear(Join{agent.id, agent.session, agent.id, agent.slots, {"cpu"}, Held(agent)});
      return;
    }
    if (agent.stalled_until > now_) return;
    // Sometimes the reports after a stall come before the heartbeat.
    if (OneIn(5)) Hear(Heartbeat{agent.id, agent.session, Held(agent), agent.draining});
    const auto held = agent.held;
    for (const auto& [lease, done] : held) {
      if (done <= now_ && agent.connected) ReportEnd(agent, lease);
    }
  }

  void ReportEnd(Agent& agent, const LeaseId& lease) {
    Report report{agent.id, agent.session, lease, Outcome::kPassed};
    const int dice = static_cast<int>(random_() % 100);
    if (chaos_) {
      if (dice < 3)
        report.outcome = Outcome::kGateFailed;
      else if (dice < 6)
        report.outcome = Outcome::kFailed, report.retryable = OneIn(2);
      else if (dice < 9)
        report.outcome = Outcome::kEngineDied;
      else if (dice < 12)
        report.outcome = Outcome::kReturned;
    }
    if (report.outcome == Outcome::kPassed && agent.kinds[lease] == TaskKind::kPrepare)
      report.graph = RandomGraph();
    if (report.outcome != Outcome::kPassed) report.failure = Failure{FailureKind::kOurs, "dice"};
    Hear(report);
  }

  Graph RandomGraph() {
    Graph graph{"m", {{"m", 3, "s0", {}}}};
    const int layers = 1 + random_() % 4;
    for (int i = 0; i < layers; ++i) {
      const std::string id = absl::StrCat("f", i);
      graph.components[0].children.push_back(id);
      graph.components.push_back({id, 1, absl::StrCat("s", i + 1), {"k"}});
    }
    graph.components.push_back({"k", 0, "", {}});
    EXPECT_TRUE(CheckGraph(graph).ok());
    return graph;
  }

  static std::set<LeaseId> Held(const Agent& agent) {
    std::set<LeaseId> held;
    for (const auto& [lease, _] : agent.held) held.insert(lease);
    return held;
  }

  // True if it was committed.
  bool Hear(const Event& event) {
    const auto effects = Step(state_, event, now_, config_);
    if (chaos_ && OneIn(100)) {  // before the commit: nothing was saved, nothing said
      CrashServer();
      return false;
    }
    for (const Effect& effect : effects) Save(effect);
    Check();
    if (chaos_ && OneIn(200)) {  // after the commit, before anything was said
      crash_pending_ = true;
    } else {
      for (const Effect& effect : effects) Say(effect);
    }
    return true;
  }

  void Save(const Effect& effect) {
    if (const auto* save = std::get_if<SaveJob>(&effect)) {
      Job& row = disk_.jobs[save->job.id];
      if (IsFinal(row.state) && !row.id.empty()) Break(row.id + " changed after its end");
      std::vector<Task> tasks = std::move(row.tasks);
      row = save->job;
      row.tasks = std::move(tasks);
    } else if (const auto* task = std::get_if<SaveTask>(&effect)) {
      auto& tasks = disk_.jobs.at(task->job).tasks;
      if (tasks.size() <= task->order) tasks.resize(task->order + 1);
      if (IsFinal(tasks[task->order].state) && !tasks[task->order].id.empty() &&
          tasks[task->order].state != task->task.state) {
        Break(task->task.id + " changed after its end");
      }
      tasks[task->order] = task->task;
    } else if (const auto* outputs = std::get_if<RecordOutputs>(&effect)) {
      if (++disk_.outputs[outputs->job + "/" + outputs->task] > 1) Break("two results for " + outputs->lease);
    }
  }

  void Say(const Effect& effect) {
    if (const auto* lease = std::get_if<SendLease>(&effect)) {
      CheckGates(*lease);
      Agent* agent = Hearing(lease->worker, lease->session);
      if (agent == nullptr) return;
      agent->held[lease->task.lease->id] = now_ + absl::Milliseconds(random_() % 8000);
      agent->kinds[lease->task.lease->id] = lease->task.kind;
    } else if (const auto* revoke = std::get_if<SendRevoke>(&effect)) {
      if (Agent* agent = Hearing(revoke->worker, revoke->session)) agent->held.erase(revoke->lease);
    } else if (const auto* ack = std::get_if<SendAck>(&effect)) {
      if (Agent* agent = Hearing(ack->worker, ack->session)) agent->held.erase(ack->lease);
    } else if (const auto* end = std::get_if<EndSession>(&effect)) {
      if (Agent* agent = Hearing(end->worker, end->session)) agent->connected = false;
    }
  }

  // Who hears a message: nobody, if the session is over or the message is lost with it.
  Agent* Hearing(const WorkerId& id, SessionId session) {
    for (Agent& agent : agents_) {
      if (agent.id != id || agent.session != session || !agent.connected) continue;
      if (chaos_ && OneIn(50)) {
        agent.connected = false;
        return nullptr;
      }
      return &agent;
    }
    return nullptr;
  }

  void CheckGates(const SendLease& lease) {
    const Job& row = disk_.jobs.at(lease.job);
    if (lease.task.kind == TaskKind::kPublish && row.failure) return;
    for (const TaskId& before : lease.task.after) {
      const Task* gate = FindTask(row, before);
      if (gate == nullptr || gate->state != TaskState::kPassed)
        Break(lease.task.id + " leased before its gate was on disk");
    }
  }

  void Check() {
    if (const std::string broken = BrokenInvariant(state_, now_, kGrace); !broken.empty()) Break(broken);
    for (const auto& [id, worker] : state_.workers) {
      if (worker.leases.size() > worker.slots && worker.session != 0)
        Break(id + " holds more leases than slots");
    }
    std::set<JobId> rows(disk_.order.begin(), disk_.order.end());
    if (rows.size() != disk_.by_request.size()) Break("a request has two rows");
  }

  void Break(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }

  std::mt19937_64 random_;
  Config config_;
  State state_;
  Disk disk_;
  std::vector<Agent> agents_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  absl::Time ticked_ = now_;
  bool chaos_ = true;
  bool crash_pending_ = false;
  int worker_count_ = 0;
  SessionId session_count_ = 0;
  int crashes_ = 0;
  std::string broken_;
};

TEST(Simulator, InvariantsHoldThroughCrashesAndLostMessages) {
  uint64_t first = 1, last = 60;
  if (const char* seed = std::getenv("STRATA_SEED")) first = last = std::strtoull(seed, nullptr, 10);
  size_t ended = 0;
  int crashes = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    World world(seed);
    world.Run(500);
    ASSERT_EQ(world.broken(), "") << "seed " << seed;
    ended += world.ended();
    crashes += world.crashes();
  }
  EXPECT_GT(ended, 10 * (last - first + 1)) << "a simulation in which nothing happens proves nothing";
  EXPECT_GT(crashes, static_cast<int>(last - first + 1));
}

}  // namespace
}  // namespace strata::jobs
