#include "server/jobs/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace strata::jobs {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

Graph TwoSteps() {
  return {"mlp",
          {{"mlp", 3, "step_1", {"fusion"}}, {"fusion", 1, "step_2", {"linear"}}, {"linear", 0, "", {}}}};
}

// The core with a clock that the test turns, and what it last said.
class Farm : public ::testing::Test {
 protected:
  void Hear(const Event& event) {
    effects_ = Step(state_, event, now_, config_);
    EXPECT_EQ(BrokenInvariant(state_, now_, absl::Seconds(1)), "");
    for (const Effect& effect : effects_) {
      if (const auto* lease = std::get_if<SendLease>(&effect)) leased_.push_back(*lease);
      if (const auto* said = std::get_if<AnnounceState>(&effect)) last_state_[said->job] = *said;
    }
  }
  void Pass(absl::Duration time) {
    now_ += time;
    Hear(Tick{});
  }
  void JoinWorker(const WorkerId& id, uint32_t slots = 1, std::set<std::string> devices = {"cpu"},
                  std::set<LeaseId> held = {}) {
    Hear(Join{id, ++session_[id], id, slots, devices, held});
  }
  // Reports the end of the oldest lease not reported yet.
  SendLease Finish(Outcome outcome = Outcome::kPassed, std::optional<Graph> graph = std::nullopt,
                   bool retryable = false) {
    EXPECT_LT(reported_, leased_.size()) << "nothing was leased";
    if (reported_ >= leased_.size()) return {};
    const SendLease lease = leased_[reported_++];
    Report report{lease.worker, session_[lease.worker], lease.task.lease->id, outcome};
    if (outcome != Outcome::kPassed) report.failure = Failure{FailureKind::kUser, "forward raised"};
    if (outcome == Outcome::kGateFailed) report.failure = Failure{FailureKind::kGate, "numbers differ"};
    report.retryable = retryable;
    if (lease.task.kind == TaskKind::kPrepare && outcome == Outcome::kPassed)
      report.graph = graph.value_or(TwoSteps());
    Hear(report);
    return lease;
  }
  // Ids of all tasks leased so far.
  std::vector<TaskId> Leased() const {
    std::vector<TaskId> ids;
    for (const auto& lease : leased_) ids.push_back(lease.task.id);
    return ids;
  }
  template <typename T>
  int Count() const {
    int count = 0;
    for (const Effect& effect : effects_) count += std::holds_alternative<T>(effect);
    return count;
  }
  Ack LastAck() const {
    for (const Effect& effect : effects_) {
      if (const auto* ack = std::get_if<SendAck>(&effect)) return ack->ack;
    }
    ADD_FAILURE() << "no ack";
    return Ack::kStale;
  }

  Config config_;
  State state_;
  absl::Time now_ = kStart;
  std::vector<Effect> effects_;
  std::vector<SendLease> leased_;
  size_t reported_ = 0;
  std::map<WorkerId, SessionId> session_;
  std::map<JobId, AnnounceState> last_state_;
};

TEST_F(Farm, JobRunsThroughAllTasksInOrder) {
  JoinWorker("w");
  Hear(Submit{"job"});
  while (!state_.jobs.empty()) Finish();
  EXPECT_THAT(Leased(), ::testing::ElementsAre("prepare", "decompose/mlp", "verify/mlp", "decompose/fusion",
                                               "verify/fusion", "compose", "coverage", "publish"));
  EXPECT_EQ(last_state_["job"].state, JobState::kSucceeded);
  EXPECT_EQ(last_state_["job"].counts.steps_done, 2);
}

TEST_F(Farm, JobWaitsForAWorkerAndIsNotCalledRunning) {
  Hear(Submit{"job"});
  EXPECT_EQ(last_state_["job"].state, JobState::kQueued);
  JoinWorker("w");
  EXPECT_EQ(last_state_["job"].state, JobState::kRunning);
}

TEST_F(Farm, AJobThatJudgesIsOneTask) {
  JoinWorker("w");
  Hear(Submit{"job", Device::kAuto, TaskKind::kJudge});
  Finish(Outcome::kEngineDied);
  Pass(config_.retry_pause);
  Finish();
  EXPECT_THAT(Leased(), ::testing::ElementsAre("judge", "judge"));
  EXPECT_EQ(last_state_["job"].state, JobState::kSucceeded);
  EXPECT_FALSE(last_state_["job"].counts.steps_known);
  Hear(Submit{"next", Device::kAuto, TaskKind::kJudge});
  Finish(Outcome::kFailed);
  EXPECT_EQ(last_state_["next"].state, JobState::kFailed);
  EXPECT_TRUE(state_.jobs.empty());
}

TEST_F(Farm, SiblingsRunInParallel) {
  JoinWorker("w", 4);
  Hear(Submit{"job"});
  Finish(Outcome::kPassed,
         Graph{"m",
               {{"m", 3, "s1", {"a", "b"}}, {"a", 1, "s2", {"k"}}, {"b", 1, "s3", {"k"}}, {"k", 0, "", {}}}});
  Finish();
  Finish();
  EXPECT_EQ(CountTasks(state_.jobs.at("job")).tasks_running, 2);
}

TEST_F(Farm, GateFailureDropsTheRestAndPublishesWhatIsProved) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Finish();
  Finish();
  Finish(Outcome::kGateFailed);
  EXPECT_EQ(Leased().back(), "publish");
  Finish();
  EXPECT_EQ(last_state_["job"].state, JobState::kFailed);
  EXPECT_EQ(last_state_["job"].failure->kind, FailureKind::kGate);
  EXPECT_EQ(last_state_["job"].failure->component, "mlp");
  EXPECT_EQ(last_state_["job"].failure->task, "verify/mlp");
  EXPECT_EQ(last_state_["job"].counts.steps_failed, 1);
  EXPECT_EQ(last_state_["job"].counts.steps_left, 0) << "the dropped step is not left";
}

TEST_F(Farm, StepIsLeftUntilOneOfItsTasksDecidesIt) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Finish();
  EXPECT_EQ(CountTasks(state_.jobs.at("job")).steps_left, 2);
  Finish();
  EXPECT_EQ(CountTasks(state_.jobs.at("job")).steps_left, 2);
  Finish();
  EXPECT_EQ(CountTasks(state_.jobs.at("job")).steps_left, 1);
  Finish(Outcome::kFailed);
  Finish();
  EXPECT_EQ(last_state_["job"].counts.steps_done, 1);
  EXPECT_EQ(last_state_["job"].counts.steps_failed, 1);
  EXPECT_EQ(last_state_["job"].counts.steps_left, 0);
}

TEST_F(Farm, CanceledJobHasNothingLeftAndKeepsTheReason) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Finish();
  Hear(Cancel{"job", "not needed"});
  EXPECT_EQ(last_state_["job"].state, JobState::kCanceling);
  Finish(Outcome::kCanceled);
  EXPECT_EQ(last_state_["job"].state, JobState::kCanceled);
  EXPECT_EQ(last_state_["job"].reason, "not needed");
  EXPECT_EQ(last_state_["job"].counts.steps_left, 0);
}

TEST_F(Farm, WorkerThatDrainsGetsBackNoTaskThatItReturned) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Hear(Heartbeat{"w", session_["w"], {leased_.back().task.lease->id}, /*draining=*/true});
  Finish(Outcome::kReturned);
  EXPECT_EQ(leased_.size(), 1u);
  JoinWorker("other");
  EXPECT_EQ(leased_.back().worker, "other");
}

TEST_F(Farm, RunningSiblingsFinishBeforePublishAfterAGateFailure) {
  JoinWorker("w", 4);
  Hear(Submit{"job"});
  Finish(Outcome::kPassed,
         Graph{"m",
               {{"m", 3, "s1", {"a", "b"}}, {"a", 1, "s2", {"k"}}, {"b", 1, "s3", {"k"}}, {"k", 0, "", {}}}});
  Finish();
  Finish();
  Finish(Outcome::kFailed);
  EXPECT_EQ(Leased().back(), "decompose/b");
  Finish();
  EXPECT_EQ(Leased().back(), "publish");
  EXPECT_EQ(Count<RecordOutputs>(), 1) << "what b wrote before publish belongs to the bundle";
}

TEST_F(Farm, FailedPrepareEndsTheJobWithoutPublish) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Finish(Outcome::kFailed);
  EXPECT_EQ(last_state_["job"].state, JobState::kFailed);
  EXPECT_EQ(last_state_["job"].failure->message, "forward raised");
  EXPECT_EQ(Leased().size(), 1u);
}

TEST_F(Farm, ExpiredLeaseIsGivenOutAgainUnderAHigherAttempt) {
  JoinWorker("w1");
  Hear(Submit{"job"});
  Pass(config_.lease - absl::Seconds(1));
  EXPECT_EQ(leased_.size(), 1u);
  JoinWorker("w2");
  Pass(absl::Seconds(1));
  Pass(config_.retry_pause);
  ASSERT_EQ(leased_.size(), 2u);
  EXPECT_EQ(leased_[1].worker, "w2");
  EXPECT_EQ(leased_[1].task.attempt, 2u);
}

TEST_F(Farm, HeartbeatKeepsALeaseAlive) {
  JoinWorker("w");
  Hear(Submit{"job"});
  for (int i = 0; i < 20; ++i) {
    Hear(Heartbeat{"w", session_["w"], {leased_[0].task.lease->id}});
    Pass(absl::Seconds(10));
  }
  EXPECT_EQ(leased_.size(), 1u);
  EXPECT_EQ(state_.jobs.at("job").state, JobState::kRunning);
}

TEST_F(Farm, ReportOfAnOldAttemptIsRefused) {
  JoinWorker("w1");
  Hear(Submit{"job"});
  Pass(config_.lease);
  JoinWorker("w2");
  Pass(config_.retry_pause);
  ASSERT_EQ(leased_.size(), 2u);
  Finish();
  EXPECT_EQ(LastAck(), Ack::kStale);
  EXPECT_EQ(Count<RecordOutputs>(), 0);
  Hear(Heartbeat{"w1", session_["w1"], {leased_[0].task.lease->id}});
  EXPECT_EQ(Count<SendRevoke>(), 1);
  Finish();
  EXPECT_EQ(LastAck(), Ack::kRecorded);
}

TEST_F(Farm, ReportWhoseAckWasLostIsAcknowledgedAgainAndRecordedOnce) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Finish();
  --reported_;
  Finish();
  EXPECT_EQ(LastAck(), Ack::kRecorded);
  EXPECT_EQ(Count<RecordOutputs>(), 0);
}

TEST_F(Farm, ReportOfAnOldAttemptDoesNotCountAsTheNewOneOfTheSameWorker) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Pass(config_.lease);
  Pass(config_.retry_pause);
  ASSERT_EQ(leased_.size(), 2u);
  Finish();
  EXPECT_EQ(LastAck(), Ack::kStale);
  EXPECT_EQ(state_.jobs.at("job").tasks[0].state, TaskState::kRunning);
}

TEST_F(Farm, ReportOfAnotherWorkerIsRefused) {
  JoinWorker("w");
  JoinWorker("thief");
  Hear(Submit{"job"});
  const WorkerId other = leased_[0].worker == "w" ? "thief" : "w";
  Hear(Report{other, session_[other], leased_[0].task.lease->id, Outcome::kPassed});
  EXPECT_EQ(LastAck(), Ack::kStale);
}

TEST_F(Farm, TaskIsGivenUpAfterThreeLostAttempts) {
  JoinWorker("w");
  Hear(Submit{"job"});
  for (int i = 0; i < 3; ++i) {
    Pass(config_.lease);
    Pass(absl::Minutes(1));
  }
  EXPECT_EQ(leased_.size(), 3u);
  EXPECT_EQ(last_state_["job"].state, JobState::kFailed);
  EXPECT_EQ(last_state_["job"].failure->kind, FailureKind::kOurs);
  EXPECT_THAT(last_state_["job"].failure->message, HasSubstr("given up after 3 attempts"));
}

TEST_F(Farm, TaskThatEndsTwoEnginesIsQuarantined) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Finish(Outcome::kEngineDied);
  Pass(absl::Minutes(1));
  Finish(Outcome::kEngineDied);
  EXPECT_EQ(last_state_["job"].state, JobState::kFailed);
  EXPECT_THAT(last_state_["job"].failure->message, HasSubstr("ended 2 engines"));
}

TEST_F(Farm, RetryableFailureIsTriedAgainElsewhere) {
  JoinWorker("w1");
  Hear(Submit{"job"});
  JoinWorker("w2");
  Finish(Outcome::kFailed, std::nullopt, /*retryable=*/true);
  EXPECT_EQ(leased_.size(), 1u) << "not before the pause";
  Pass(config_.retry_pause);
  ASSERT_EQ(leased_.size(), 2u);
  EXPECT_EQ(leased_[1].worker, "w2");
}

TEST_F(Farm, ReturnedTaskCostsNoTry) {
  JoinWorker("w");
  Hear(Submit{"job"});
  for (int i = 0; i < 5; ++i) Finish(Outcome::kReturned);
  EXPECT_EQ(state_.jobs.at("job").tasks[0].tries, 0u);
  while (!state_.jobs.empty() && leased_.size() < 100) Finish(Outcome::kReturned);
  EXPECT_EQ(leased_.size(), config_.max_attempts) << "but not for ever";
}

TEST_F(Farm, DrainingWorkerGetsNothingNew) {
  JoinWorker("w");
  Hear(Heartbeat{"w", session_["w"], {}, /*draining=*/true});
  Hear(Submit{"job"});
  EXPECT_TRUE(leased_.empty());
}

TEST_F(Farm, ReconnectedWorkerGoesOnWithWhatItHolds) {
  JoinWorker("w", 2);
  Hear(Submit{"a"});
  Hear(Submit{"b"});
  Hear(Leave{"w", session_["w"]});
  Pass(config_.lease / 2);
  JoinWorker("w", 2, {"cpu"}, {leased_[0].task.lease->id});
  EXPECT_EQ(state_.jobs.at("a").tasks[0].attempt, 1u);
  EXPECT_EQ(state_.jobs.at("b").tasks[0].state, TaskState::kReady) << "the offer was lost";
  Finish();
  EXPECT_EQ(LastAck(), Ack::kRecorded);
}

TEST_F(Farm, SecondSessionOfAWorkerEndsTheFirst) {
  JoinWorker("w");
  JoinWorker("w");
  EXPECT_EQ(Count<EndSession>(), 1);
  Hear(Leave{"w", 1});
  EXPECT_EQ(state_.workers.at("w").session, 2u) << "the late end of the old stream changes nothing";
}

TEST_F(Farm, JobsTakeTurns) {
  Hear(Submit{"a"});
  Hear(Submit{"b"});
  Hear(Submit{"c"});
  JoinWorker("w");
  for (int i = 0; i < 5; ++i) Finish();
  std::string order;
  for (const auto& lease : leased_) order += lease.job;
  EXPECT_EQ(order, "abcabc");
}

TEST_F(Farm, CancelWaitsForTheWorkerAndThenIsFinal) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Hear(Cancel{"job", "not needed"});
  EXPECT_EQ(last_state_["job"].state, JobState::kCanceling);
  EXPECT_EQ(last_state_["job"].reason, "not needed");
  EXPECT_EQ(Count<SendRevoke>(), 1);
  Finish(Outcome::kCanceled);
  EXPECT_EQ(last_state_["job"].state, JobState::kCanceled);
}

TEST_F(Farm, CancelEndsWithTheLeaseWhenTheWorkerIsSilent) {
  JoinWorker("w");
  Hear(Submit{"job"});
  Hear(Cancel{"job", ""});
  Hear(Heartbeat{"w", session_["w"], {leased_[0].task.lease->id}});
  Pass(config_.revoke_grace);
  EXPECT_EQ(last_state_["job"].state, JobState::kCanceled) << "a heartbeat does not renew a revoked lease";
}

TEST_F(Farm, CancelOfAQueuedJobIsImmediate) {
  Hear(Submit{"job"});
  Hear(Cancel{"job", ""});
  EXPECT_EQ(last_state_["job"].state, JobState::kCanceled);
}

TEST_F(Farm, TaskPastItsDeadlineFailsByLimits) {
  config_.task_deadline = absl::Seconds(20);
  JoinWorker("w");
  Hear(Submit{"job"});
  Pass(absl::Seconds(20));
  EXPECT_EQ(Count<SendRevoke>(), 1);
  Finish(Outcome::kCanceled);
  EXPECT_EQ(last_state_["job"].failure->kind, FailureKind::kLimits);
}

TEST_F(Farm, JobKeepsToTheDeviceOfItsFirstTask) {
  JoinWorker("gpu", 1, {"cpu", "cuda"});
  Hear(Submit{"job"});
  EXPECT_EQ(leased_[0].device, "cuda");
  Hear(Heartbeat{"gpu", 1, {leased_[0].task.lease->id}, /*draining=*/true});
  JoinWorker("cpu");
  Finish();
  EXPECT_EQ(leased_.size(), 1u) << "the CPU worker does not fit";
}

TEST_F(Farm, RestoredJobsGoOnWithTheirLeases) {
  JoinWorker("w");
  Hear(Submit{"job"});
  now_ += absl::Hours(1);  // the server was down
  std::vector<Job> jobs = {state_.jobs.at("job")};
  state_ = Restore(jobs, {state_.workers.at("w")}, now_, config_);
  EXPECT_EQ(BrokenInvariant(state_, now_, absl::ZeroDuration()), "");
  JoinWorker("w", 1, {"cpu"}, {leased_[0].task.lease->id});
  Finish();
  EXPECT_EQ(LastAck(), Ack::kRecorded);
}

TEST(LeaseId, NamesJobTaskAndAttempt) {
  const auto name = ParseLeaseId(MakeLeaseId("d-1", "verify/block", 7));
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->job, "d-1");
  EXPECT_EQ(name->task, "verify/block");
  EXPECT_EQ(name->attempt, 7u);
  for (const char* bad : {"", "x", "a/b", "a#1", "a/b#", "a/b#x", "#1/"})
    EXPECT_FALSE(ParseLeaseId(bad)) << bad;
}

}  // namespace
}  // namespace strata::jobs
