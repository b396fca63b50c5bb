// SIGKILL in the middle of writes: what was acknowledged is there, once; nothing else is half there.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>

#include "base/sha256.h"
#include "server/coordinator/coordinator.h"
#include "server/store/job_queries.h"

namespace strata {
namespace {

std::unique_ptr<Coordinator> Start(const std::string& folder) {
  Coordinator::Options options;
  options.data_dir = folder;
  options.tick = absl::Milliseconds(5);
  auto coordinator = Coordinator::Start(std::move(options));
  if (!coordinator.ok()) fprintf(stderr, "%s\n", std::string(coordinator.status().message()).c_str());
  return coordinator.ok() ? *std::move(coordinator) : nullptr;
}

std::string Content(int i) {
  return "model " + std::to_string(i) + std::string(static_cast<size_t>(i % 7) * 5000, 'x');
}

std::string StoreNow(Coordinator& coordinator, const std::string& content) {
  auto file = coordinator.blobs().NewTemporary();
  EXPECT_TRUE(file.ok() && (*file)->Append(content).ok() && (*file)->Flush().ok());
  std::shared_ptr<store::PartFile> part = *std::move(file);
  const std::string digest = part->Digest();
  absl::Notification stored;
  coordinator.StoreBlob(part, digest, [&](absl::StatusOr<Nothing> s) {
    EXPECT_TRUE(s.ok());
    stored.Notify();
  });
  stored.WaitForNotification();
  return digest;
}

v1::CreateDecompositionRequest RequestOf(int i, const std::string& digest) {
  v1::CreateDecompositionRequest request;
  request.set_request_id("r" + std::to_string(i));
  request.mutable_source()->add_files()->set_path("m.py");
  request.mutable_source()->mutable_files(0)->set_digest(digest);
  return request;
}

// Submits for ever; writes "request job\n" to `fd` for each acknowledged one.
[[noreturn]] void SubmitUntilKilled(const std::string& folder, int first, int fd) {
  auto coordinator = Start(folder);
  if (coordinator == nullptr) _exit(1);
  for (int i = first;; ++i) {
    const std::string digest = StoreNow(*coordinator, Content(i));
    // A few at once, so that groups are committed; each is asked twice.
    for (int twice = 0; twice < 2; ++twice) {
      coordinator->Create(RequestOf(i, digest), [i, fd](absl::StatusOr<v1::Decomposition> d) {
        if (!d.ok()) _exit(2);
        const std::string line = std::to_string(i) + " " + d->id() + "\n";
        if (write(fd, line.data(), line.size()) < 0) _exit(3);
      });
    }
  }
}

std::string ReadAll(int fd) {
  std::string all;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) all.append(buffer, static_cast<size_t>(n));
  return all;
}

// Kills a child in mid-work; returns what it had acknowledged: request number → job id.
std::map<int, std::string> KillInTheMiddle(const std::string& folder, int first, int milliseconds) {
  int pipes[2];
  EXPECT_EQ(pipe(pipes), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(pipes[0]);
    SubmitUntilKilled(folder, first, pipes[1]);
  }
  close(pipes[1]);
  usleep(static_cast<useconds_t>(milliseconds) * 1000);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
  std::map<int, std::string> acknowledged;
  std::istringstream lines(ReadAll(pipes[0]));
  close(pipes[0]);
  int request = 0;
  std::string id;
  while (lines >> request >> id) {
    EXPECT_TRUE(acknowledged.count(request) == 0 || acknowledged[request] == id) << "two ids for one request";
    acknowledged[request] = id;
  }
  return acknowledged;
}

void CheckContents(Coordinator& coordinator) {
  const absl::Status status = coordinator.readers().Do([&](store::Database& db) {
    store::Rows check = db.Query("PRAGMA integrity_check");
    EXPECT_TRUE(check.Next() && check.Text(0) == "ok");
    EXPECT_EQ(db.QueryInt(
                  "SELECT COUNT(*) FROM jobs j WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.job = j.id)"),
              0);
    EXPECT_EQ(db.QueryInt("SELECT COUNT(*) FROM jobs j WHERE last_event NOT IN (SELECT number FROM events)"),
              0);
    store::Rows blobs = db.Query("SELECT digest, size FROM blobs");
    while (blobs.Next()) {
      const auto content = coordinator.blobs().ReadBlob(blobs.Text(0), 1 << 20);
      EXPECT_TRUE(content.ok() && Sha256Hex(*content) == blobs.Text(0) &&
                  content->size() == static_cast<size_t>(blobs.Int(1)));
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Kill, WhatWasAcknowledgedIsThereOnce) {
  char name[] = "/tmp/strata-kill-XXXXXX";
  const std::string folder = mkdtemp(name);
  std::mt19937 random(7);
  std::map<int, std::string> acknowledged;
  int first = 0;
  for (int round = 0; round < 8; ++round) {
    const auto more = KillInTheMiddle(folder, first, 60 + static_cast<int>(random() % 120));
    acknowledged.insert(more.begin(), more.end());
    first += 100000;
  }
  EXPECT_GT(acknowledged.size(), 20u) << "nothing was going on";
  {
    auto coordinator = Start(folder);
    ASSERT_NE(coordinator, nullptr);
    CheckContents(*coordinator);
    for (const auto& [request, id] : acknowledged) {
      const auto found = coordinator->readers().Do([&](store::Database& db) -> absl::StatusOr<std::string> {
        const auto known = store::FindRequest(db, "r" + std::to_string(request));
        return known ? known->job : "none";
      });
      ASSERT_TRUE(found.ok());
      EXPECT_EQ(*found, id);
    }
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace strata
