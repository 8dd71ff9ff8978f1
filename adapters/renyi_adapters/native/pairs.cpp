// The entry point of pairs: how many rows are left flagged, -1 where there was no memory.
#include "pair.h"

extern "C" int64_t renyi_pairs(const renyi::pairs::Task *task) {
  return task->probabilities ? renyi::pairs::run<true>(*task) : renyi::pairs::run<false>(*task);
}
