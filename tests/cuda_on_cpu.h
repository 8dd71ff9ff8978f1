// A GPU's threads on the CPU: what the CUDA source needs of a device, in plain C++, in place of device.cuh.
//
// The threads of a block are fibers that yield where threads wait for each other, so that the kernels themselves run,
// grids, shuffles, barriers and all. A wait that never ends is an error. ex2.approx is as wrong as its manual allows.

#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <ucontext.h>
#include <utility>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

// by their names in C: to read <cmath> takes longer than to compile the kernels
extern "C" {
float expf(float), expm1f(float), log1pf(float), fmaf(float, float, float), fmaxf(float, float);
double exp(double), expm1(double), log1p(double), fmax(double, double);
}

inline float exp(float x) {
    return expf(x);
}

inline float expm1(float x) {
    return expm1f(x);
}

inline float log1p(float x) {
    return log1pf(x);
}

typedef long long i64;

#if ELEMENT == 8
typedef double T;
typedef double A;
#elif ELEMENT == 4
typedef float T;
typedef float A;
#else
typedef unsigned short T;
typedef float A;
#endif

struct alignas(16) Vector {
    T part[16 / sizeof(T)];
};

struct Dim {
    unsigned x, y, z;
};

static Dim threadIdx, blockIdx, gridDim;

namespace fibers {
constexpr int COUNT = 256;
constexpr size_t STACK = 64 * 1024;

struct Barrier {
    int expected = 0, arrived = 0;
    long generation = 0;
};

static ucontext_t contexts[COUNT];
static jmp_buf scheduler, states[COUNT];
alignas(64) static char stacks[COUNT][STACK];
static bool started[COUNT], done[COUNT];
static int current, left;
static long progress;
static Barrier block, warps[COUNT / 32];
static double slots[COUNT];
static void (*body)(void*);
static void* argument;

static void wait(Barrier& barrier) {
    const long generation = barrier.generation;
    if (++barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        barrier.generation++;
        progress++;
        return;
    }
    while (barrier.generation == generation) {
        if (!_setjmp(states[current])) _longjmp(scheduler, 1);
    }
}

static void enter() {
    body(argument);
    done[current] = true;
    left--;
    progress++;
    _longjmp(scheduler, 1);
}

// Not by swapcontext, which asks the system for the signals that are blocked at every step.
static void resume(int i) {
    if (_setjmp(scheduler)) return;
    current = i;
    threadIdx = {(unsigned)i, 0, 0};
    if (started[i]) _longjmp(states[i], 1);
    started[i] = true;
    setcontext(&contexts[i]);
}

static bool run_block() {
    block.expected = COUNT;
    block.arrived = 0;
    for (auto& warp : warps) {
        warp.expected = 32;
        warp.arrived = 0;
    }
    for (int i = 0; i < COUNT; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = STACK;
        contexts[i].uc_link = nullptr;
        makecontext(&contexts[i], enter, 0);
        started[i] = done[i] = false;
    }
    for (left = COUNT; left > 0;) {
        const long before = progress;
        for (int i = 0; i < COUNT; i++) {
            if (!done[i]) resume(i);
        }
        if (progress == before) return false;
    }
    return true;
}
}  // namespace fibers

inline void __syncthreads() {
    fibers::wait(fibers::block);
}

template <class V>
V __shfl_xor_sync(unsigned, V value, int step) {
    const int me = fibers::current;
    fibers::slots[me] = value;
    fibers::wait(fibers::warps[me / 32]);
    const V other = (V)fibers::slots[me ^ step];
    fibers::wait(fibers::warps[me / 32]);
    return other;
}

inline int __ffs(int x) {
    return __builtin_ffs(x);
}

inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)(((uint64_t)a * b) >> 32);
}

inline float __int_as_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// 2**-22.5 off to a side that the bits choose, exact at 0, subnormal results flushed
inline float exp2_fast(float x) {
    if (x == 0) return 1;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const double side = (bits * 2654435761u) >> 31 ? 1 : -1;
    const float y = (float)(__builtin_exp2((double)x) * (1 + side * 1.68e-7));
    return y < 1.17549435e-38f ? 0 : y;
}

inline float half_to_float(unsigned short bits) {
    const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
    float x = exponent == 0    ? __builtin_ldexpf((float)fraction, -24)
              : exponent == 31 ? (fraction ? __builtin_nanf("") : __builtin_inff())
                               : __builtin_ldexpf((float)(fraction | 1024), exponent - 25);
    return bits >> 15 ? -x : x;
}

inline unsigned short float_to_half(float x) {
    const unsigned short sign = __builtin_signbit(x) ? 0x8000 : 0;
    const float size = __builtin_fabsf(x);
    if (__builtin_isnan(x)) return 0x7fff;
    if (size >= 65520) return sign | 0x7c00;
    if (size < 6.103515625e-5f) return sign | (unsigned short)__builtin_nearbyintf(__builtin_ldexpf(size, 24));
    int exponent;
    const float fraction = __builtin_frexpf(size, &exponent);
    return sign | (unsigned short)(((exponent + 13) << 10) + (int)__builtin_nearbyintf(__builtin_ldexpf(fraction, 11)));
}

inline float at_least(float x, float floor) {
    return x < floor ? floor : x;
}

inline double at_least(double x, double floor) {
    return x < floor ? floor : x;
}

template <class... P, size_t... I>
void invoke(void (*kernel)(P...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<P*>(args[I])...);
}

// 0, or 1 for a wrong number of arguments, 2 for threads that wait for ever
template <class... P>
int launch(void (*kernel)(P...), unsigned blocks_x, unsigned blocks_y, void** args, int count) {
    if (count != (int)sizeof...(P)) return 1;
    struct Bound {
        void (*kernel)(P...);
        void** args;
    } bound = {kernel, args};
    fibers::argument = &bound;
    fibers::body = [](void* given) {
        auto& it = *static_cast<Bound*>(given);
        invoke(it.kernel, it.args, std::index_sequence_for<P...>());
    };
    gridDim = {blocks_x, blocks_y, 1};
#ifdef __SSE__
    // CuPy compiles with subnormal floats flushed, not doubles
    const unsigned mode = _mm_getcsr();
    if (ELEMENT != 8) _mm_setcsr(mode | 0x8040);
#endif
    int status = 0;
    for (unsigned y = 0; y < blocks_y; y++) {
        for (unsigned x = 0; x < blocks_x && !status; x++) {
            blockIdx = {x, y, 0};
            if (!fibers::run_block()) status = 2;
        }
    }
#ifdef __SSE__
    _mm_setcsr(mode);
#endif
    return status;
}
