// The entry point of the entropies: 0 for done, -1 where there was no memory.
#include "entropy.h"

extern "C" int64_t renyi_entropies(const renyi::Task *task) {
  return task->format == 1 ? renyi::run<double>(*task) : renyi::run<float>(*task);
}

// whether the processor has the instruction sets x86-64-v3 (1) and x86-64-v4 (2)
extern "C" int64_t renyi_instructions(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))) return 0;
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")))
    return 1;
  return 2;
#else
  return 0;
#endif
}
