#pragma once
// The processes below one process, as /proc shows them.
//
// A process group or session is no fence: a child leaves it with one call. What cannot be left is descent
// from a subreaper (PR_SET_CHILD_SUBREAPER): whoever loses its parent becomes the subreaper's child.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace strata {

// Every living descendant of `root`, without `root` itself; zombies are left out. A snapshot.
std::vector<pid_t> Descendants(pid_t root);

// Resident set of one process in bytes; 0 when it is gone.
int64_t ResidentBytes(pid_t pid);

// The same with every shared page divided among those who share it: right for a parent and its forks, whose
// resident sets overlap. Walks the page tables, milliseconds for a large process.
int64_t ProportionalBytes(pid_t pid);

// What the machine can still give without swapping, in bytes (MemAvailable); -1 where unknown.
int64_t AvailableMemoryBytes();

// Kills and reaps all descendants of this process, repeating until none is left or `patience` is over.
// For a subreaper whose children are all of one kind; returns whether none is left.
bool KillAllDescendants(std::chrono::milliseconds patience);

}  // namespace strata
