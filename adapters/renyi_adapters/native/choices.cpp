// The entry point of regularized choices: 0 for done, -1 where there was no memory.
#include "short_choice.h"

extern "C" int64_t renyi_choices(const renyi::choice::Task *task) {
  return task->format == 1 ? renyi::choice::run<double>(*task) : renyi::choice::run<float>(*task);
}
