// What only a GPU has: the element type and its conversions, and instructions that C++ has no name for.
//
// ELEMENT is the size of an element in bytes, 2 for float16; sums are float for 2 and 4, double for 8.

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

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float half_to_float(unsigned short bits) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(bits));
    return y;
}

__device__ __forceinline__ unsigned short float_to_half(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// max(x, floor) that keeps a NaN: one instruction where the processor has it
__device__ __forceinline__ float at_least(float x, float floor) {
#if __CUDA_ARCH__ >= 800
    float y;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(floor));
    return y;
#else
    return x < floor ? floor : x;
#endif
}

__device__ __forceinline__ double at_least(double x, double floor) {
    return x < floor ? floor : x;
}
