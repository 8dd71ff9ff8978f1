// Exponentials and logarithms of one entry, written so that a compiler makes vectors of a loop over entries.
//
// The same source is compiled for each instruction set, with contraction off: a multiply-add stands where it is
// written, so a row has the same bits in every loop that it may run in.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#define SIMD _Pragma("omp simd")

namespace renyi {

INLINE float fma_(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
INLINE double fma_(double a, double b, double c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

// what rounding took from the product p of a and b
INLINE float rest_of(float a, float b, float p) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, -p);
#else
  return (float)((double)a * b - p);
#endif
}
INLINE double rest_of(double a, double b, double p) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fma(a, b, -p);
#else
  double u = a * 134217729.0, v = b * 134217729.0, ah = u - (u - a), bh = v - (v - b), al = a - ah, bl = b - bh;
  return ((ah * bh - p) + ah * bl + al * bh) + al * bl;
#endif
}

template <class To, class From> INLINE To bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  __builtin_memcpy(&to, &value, sizeof to);
  return to;
}

template <class T> struct Format;

template <> struct Format<float> {
  using U = uint32_t;
  using I = int32_t;
  static constexpr int mantissa = 23, bias = 127, lift = 64, lanes = 16;
  static constexpr float log2e = 1.44269504088896341f, magic = 12582912.0f, ln2_high = 0.693359375f,
                         ln2_low = -2.12194440e-4f, lowered = 5.42101086242752217e-20f;
  // below `nothing` exp is 0, below `least` not a normal number; above `most` it is taken as there
  static constexpr float nothing = -110.0f, least = -87.0f, most = 88.0f, far = 1e30f, tiny = 1.17549435e-38f;
  static constexpr U root_half = 0x3f3504f3;
  INLINE float number(U k) { return (float)(int32_t)k; }
  // x - whole log 2; the nearest float is 0.05 units off
  INLINE float remainder(float whole, float x) {
#if defined(__FMA__) || defined(__aarch64__)
    return fma_(whole, -0.693147182464599609375f, x);
#else
    return fma_(whole, -ln2_low, fma_(whole, -ln2_high, x));
#endif
  }
  // (exp(r) - 1 - r)/r**2
  INLINE float excess(float r) {
    float q = fma_(1.9875691500e-4f, r, 1.3981999507e-3f);
    q = fma_(q, r, 8.3334519073e-3f);
    q = fma_(q, r, 4.1665795894e-2f);
    q = fma_(q, r, 1.6666665459e-1f);
    return fma_(q, r, 5.0000001201e-1f);
  }
  // log(1 + y) - y for 1 + y between the roots of 1/2 and of 2
  INLINE float log_excess(float y) {
    float q = fma_(7.0376836292e-2f, y, -1.1514610310e-1f);
    q = fma_(q, y, 1.1676998740e-1f);
    q = fma_(q, y, -1.2420140846e-1f);
    q = fma_(q, y, 1.4249322787e-1f);
    q = fma_(q, y, -1.6668057665e-1f);
    q = fma_(q, y, 2.0000714765e-1f);
    q = fma_(q, y, -2.4999993993e-1f);
    q = fma_(q, y, 3.3333331174e-1f);
    float z = y * y;
    return fma_(q * y, z, -0.5f * z);
  }
};

template <> struct Format<double> {
  using U = uint64_t;
  using I = int64_t;
  static constexpr int mantissa = 52, bias = 1023, lift = 512, lanes = 8;
  static constexpr double log2e = 1.44269504088896340736, magic = 6755399441055744.0,
                          ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10,
                          lowered = 7.458340731200207e-155;
  static constexpr double nothing = -760.0, least = -708.0, most = 709.0, far = 1e300, tiny = 2.2250738585072014e-308;
  static constexpr U root_half = 0x3fe6a09e667f3bcd;
  // below 2**52; processors of before 2017 have no conversion of 64 bits for vectors
  INLINE double number(U k) { return bits<double>(k | 0x4330000000000000) - 4503599627370496.0; }
  INLINE double remainder(double whole, double x) { return fma_(whole, -ln2_low, fma_(whole, -ln2_high, x)); }
  INLINE double excess(double r) {
    double q = fma_(2.51004241570050668e-08, r, 2.76201387197339936e-07);
    q = fma_(q, r, 2.75572683786841924e-06);
    q = fma_(q, r, 2.48015211902177286e-05);
    q = fma_(q, r, 1.98412698631059685e-04);
    q = fma_(q, r, 1.38888889172817938e-03);
    q = fma_(q, r, 8.33333333333005112e-03);
    q = fma_(q, r, 4.16666666666239902e-02);
    q = fma_(q, r, 1.66666666666666685e-01);
    return fma_(q, r, 5.00000000000000111e-01);
  }
  INLINE double log_excess(double y) {
    double s = y / (2 + y), z = s * s;
    double q = fma_(1.479819860511658591e-01, z, 1.531383769920937332e-01);
    q = fma_(q, z, 1.818357216161805012e-01);
    q = fma_(q, z, 2.222219843214978396e-01);
    q = fma_(q, z, 2.857142874366239149e-01);
    q = fma_(q, z, 3.999999999940941908e-01);
    q = fma_(q, z, 6.666666666666735130e-01) * z;
    double half = 0.5 * y * y;
    return s * (half + q) - half;
  }
};

template <class T> INLINE T larger(T a, T b) { return a > b ? a : b; }
template <class T> INLINE T smaller(T a, T b) { return a < b ? a : b; }

// expm1(r), with x + low = k log 2 + r, and k where the exponent of a number has its place
template <class T> INLINE T reduced(T x, T low, typename Format<T>::U *k) {
  using F = Format<T>;
  T y = fma_(x, F::log2e, F::magic), whole = y - F::magic;
  T r = fma_(whole, -F::ln2_high, x);
  r = fma_(whole, -F::ln2_low, r) + low;
  *k = bits<typename F::U>(y) << F::mantissa;
  return fma_(r * r, F::excess(r), r);
}

// exp(x + low) for x <= 0, right below the normal numbers too
template <class T> INLINE T exp_low(T x, T low) {
  using F = Format<T>;
  typename F::U k;
  x = x < F::nothing ? F::nothing : x;
  T p = reduced(x, low, &k), power = bits<T>(k + ((typename F::U)(F::bias + F::lift) << F::mantissa));
  return fma_(p, power, power) * F::lowered;
}

// exp(x + low) for `least` <= x <= `most`, to a rounding or two
template <class T> INLINE T exp_plain(T x, T low = 0) {
  using F = Format<T>;
  T y = fma_(x, F::log2e, F::magic), r = F::remainder(y - F::magic, x) + low;
  T p = fma_(fma_(F::excess(r), r, (T)1), r, (T)1);
  return bits<T>(bits<typename F::U>(p) + (bits<typename F::U>(y) << F::mantissa));
}

// expm1(x) for the same x
template <class T> INLINE T expm1_plain(T x) {
  using F = Format<T>;
  using U = typename F::U;
  T y = fma_(x, F::log2e, F::magic), r = F::remainder(y - F::magic, x);
  T power = bits<T>((bits<U>(y) << F::mantissa) + ((U)F::bias << F::mantissa));
  return fma_(fma_(r * r, F::excess(r), r), power, power - 1);
}

// expm1(x + low), and exp, which is flat outside the normal numbers
template <class T> INLINE T expm1_both(T x, T low, T *e) {
  using F = Format<T>;
  typename F::U k;
  x = x < F::least ? F::least : x;
  x = x > F::most ? F::most : x;
  T p = reduced(x, low, &k), power = bits<T>(k + ((typename F::U)F::bias << F::mantissa));
  *e = fma_(p, power, power);
  return fma_(p, power, power - 1);
}

// both for x + low, x <= 0, exp right below the normal numbers too
template <class T> INLINE T exp_low_both(T x, T low, T *m) {
  using F = Format<T>;
  typename F::U k;
  x = x < F::nothing ? F::nothing : x;
  T p = reduced(x, low, &k), power = bits<T>(k + ((typename F::U)(F::bias + F::lift) << F::mantissa));
  T plain = power * F::lowered;
  *m = fma_(p, plain, plain - 1);
  return fma_(p, power, power) * F::lowered;
}

// a positive normal number as 2**whole (1 + f), 1 + f between the roots of 1/2 and of 2
template <class T> INLINE T fraction_of(T q, T *whole) {
  using F = Format<T>;
  typename F::U u = bits<typename F::U>(q), bias = (typename F::U)F::bias;
  typename F::U k = (u - F::root_half + (bias << F::mantissa)) >> F::mantissa;
  *whole = F::number(k) - (T)F::bias;
  return bits<T>(u - ((k - bias) << F::mantissa)) - 1;
}

// log(q/2**less) of a positive normal number, or log(1 + y) where it is `near` 1, and what rounding took from it
template <class T> INLINE T log_of(T q, T y, bool near, T less, T *rest) {
  using F = Format<T>;
  T whole, f = fraction_of(q, &whole);
  f = near ? y : f;
  whole = near ? (T)0 : whole - less;
  T high = whole * F::ln2_high, more = f + (F::log_excess(f) + whole * F::ln2_low), d = high + more;
  *rest = more - (d - high);
  return d;
}

// log1p(x) for x > -1, NaN for NaN
INLINE double log1p_(double x) {
  using F = Format<double>;
  double u = 1 + x, rest = (x - (u - 1)) / u, whole, f = fraction_of(u, &whole);
  return whole * F::ln2_high + (f + (F::log_excess(f) + (whole * F::ln2_low + rest)));
}

// How entries are stored, and the type that they are computed in.
struct Float32 {
  using X = float;
  using T = float;
  INLINE T load(X x) { return x; }
  INLINE X store(T x) { return x; }
};
struct Float64 {
  using X = double;
  using T = double;
  INLINE T load(X x) { return x; }
  INLINE X store(T x) { return x; }
};
struct BFloat16 {
  using X = uint16_t;
  using T = float;
  INLINE T load(X x) { return bits<float>((uint32_t)x << 16); }
  INLINE X store(T x) {
    uint32_t u = bits<uint32_t>(x), r = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    return x != x ? 0x7fc0 : (X)r;
  }
};
struct Float16 {
  using X = uint16_t;
  using T = float;
  INLINE T load(X x) {
    uint32_t shifted = (uint32_t)(x & 0x7fff) << 13, sign = (uint32_t)(x & 0x8000) << 16;
    uint32_t small = bits<uint32_t>(bits<float>(shifted) * 5.192296858534828e33f);
    return bits<float>((shifted >= 0x0f800000 ? shifted | 0x7f800000 : small) | sign);
  }
  INLINE X store(T x) {
    uint32_t u = bits<uint32_t>(x), sign = (u >> 16) & 0x8000, size = u & 0x7fffffff;
    uint32_t small = bits<uint32_t>(bits<float>(size) + 0.5f) - 0x3f000000;
    uint32_t normal = (size - 0x38000000 + 0xfff + ((size >> 13) & 1)) >> 13;
    uint32_t huge = size > 0x7f800000 ? 0x7e00 : 0x7c00;
    return (X)((size >= 0x477ff000 ? huge : size < 0x38800000 ? small : normal) | sign);
  }
};

}  // namespace renyi
