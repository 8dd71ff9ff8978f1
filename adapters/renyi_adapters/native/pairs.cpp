// The pairs of distributions, for one instruction set.
#include "pair.h"

extern "C" __attribute__((visibility("default"))) int64_t renyi_pairs(const PairTask *task) {
  return task->probabilities ? renyi::run<true>(*task) : renyi::run<false>(*task);
}
