// The entropy of each row, its gradient, its derivative in α and its partial state, for every order by one formula.
//
// With d = log(p/max p) <= 0, β = min(1, α) and γ = |α - 1|: b = exp(β d), m = expm1(γ d) <= 0, so that b is the
// larger and b (1 + m) the smaller of exp(d) and exp(α d). Sums over all entries but one largest, each of one sign:
//
//   B = Σ b     S = Σ b m     O = Σ b (1 + m)     x = S/(1 + B)
//   L = log1p(x) if x > -1/2 else log1p(O) - log1p(B)
//   H = log1p(B if α >= 1 else O) - L/γ                             (α = 1: m = d, H = log1p(B) - S/(1 + B))
//   dH/dz = -(α/γ)/(1 + B) b (m exp(-L) + expm1(-L))                (α = 1: -b (d - S/(1 + B))/(1 + B))
//
// Rows of up to 64 entries are taken 64 at a time, a lane each; longer ones one at a time, in blocks. What a row gives
// depends on its length and its entries only.
#pragma once
#include <stdlib.h>

#include "arithmetic.h"

namespace renyi {

enum Source { LOGITS, PROBS };
enum Measure { ENTROPY, HILL, TSALLIS };
enum Mode { ONE, INFINITE, TWO, HALF, ABOVE, BELOW };

constexpr int LANES = 64, SHORT = 64;
// entries of a row whose weights are kept for its derivatives
template <class T> constexpr int KEPT = sizeof(T) == 4 ? 1 << 18 : 1 << 17;
// entries that are summed in their own dtype: so that each part of a vector takes few of them
#if defined(__AVX512F__)
constexpr int BLOCK = 1024;
#elif defined(__AVX2__)
constexpr int BLOCK = 512;
#else
constexpr int BLOCK = 256;
#endif

// A call for the rows from `first` to `last`; strides are in entries, 0 for what all rows share. numpy/_compiled.py
// packs it.
struct Task {
  int64_t first, last, n, format, source, measure;
  const void *x;
  int64_t x_row, x_entry;
  const uint8_t *mask;
  int64_t mask_row, mask_entry;
  double one_alpha, one_t;  // of all rows, where `alpha` is null
  const double *alpha, *t;
  int64_t order_row;
  const void *scale;
  int64_t scale_row;
  void *value, *slope, *gradient;
  int64_t gradient_row, gradient_entry;
  void *state;
  int64_t state_field, given;  // the distance of the state's fields; whether the state is given
  int64_t orders;              // how many values a row has: of several orders those lie at `alpha` and `t`
};

template <class T> struct Constants {
  T peak, inv, lifted;  // 1/peak, and that times 2**LIFT
  T beta, beta_rest, gamma, gamma_rest, floor_b, floor_m, unit_m;
};

template <class T> struct Lanes {
  T peak[LANES], inv[LANES], lifted[LANES], beta[LANES], beta_rest[LANES], gamma[LANES], gamma_rest[LANES],
      floor_b[LANES], floor_m[LANES], unit_m[LANES];
  INLINE Constants<T> at(const Lanes &w, int i) {
    return {w.peak[i],  w.inv[i],        w.lifted[i],  w.beta[i],    w.beta_rest[i],
            w.gamma[i], w.gamma_rest[i], w.floor_b[i], w.floor_m[i], w.unit_m[i]};
  }
};

template <class T> INLINE int mode_of(double alpha, double t) {
  if (alpha == INFINITY) return INFINITE;
  if (fabs(t) < (sizeof(T) == 4 ? 1e-25 : 1e-280)) return ONE;
  return alpha == 2 ? TWO : alpha == 0.5 ? HALF : t > 0 ? ABOVE : BELOW;
}

template <class T> INLINE T power_of_two(int k) {
  using F = Format<T>;
  return bits<T>((typename F::U)(F::bias + k) << F::mantissa);
}

// A power of two about 1/γ, lest b m be below the normal numbers; 1 where m is had without γ.
INLINE double unit_of(double alpha, double gamma) {
  double unit = bits<double>((2045 - (bits<uint64_t>(gamma) >> 52)) << 52);
  return gamma >= 1 || alpha == 0.5 || !(gamma > 0) ? 1.0 : unit;
}

template <class T> INLINE void order_constants(double alpha, double t, Constants<T> *c) {
  using F = Format<T>;
  double gamma = fabs(t), lowest = larger(smaller(alpha, 1.0), 1e-300);
  c->beta = (T)alpha, c->beta_rest = (T)(alpha - (double)c->beta);
  // what rounding took from t = α - 1, unless t is the one that was not rounded
  double back = t - alpha, rest = (alpha - (t - back)) + (-1 - back);
  rest = fabs(rest) <= 2.3e-16 * gamma ? (t < 0 ? -rest : rest) : 0;
  c->gamma = (T)gamma, c->gamma_rest = (T)((gamma - (double)c->gamma) + rest);
  c->unit_m = (T)unit_of(alpha, gamma);
  c->floor_b = (T)larger((double)-F::far, 1.2 * F::nothing / lowest);
  c->floor_m = (T)larger((double)-F::far, 1.2 * F::least / larger(gamma, 1e-300));
}

// By which power of two probabilities are lifted before their logarithm or root is taken, lest they be no normal
// numbers; between which powers a peak may be for that, and where others are brought.
template <class T> constexpr int LIFT = sizeof(T) == 4 ? 100 : 900;
template <class T> constexpr int BAND = sizeof(T) == 4 ? 26 : 120;
template <class T> constexpr int TOP = sizeof(T) == 4 ? 124 : 1020;

template <class T, int S> INLINE void peak_constants(T peak, Constants<T> *c) {
  T nothing = S == LOGITS ? -(T)INFINITY : (T)0;
  c->peak = peak == nothing ? (T)S : peak;
  c->inv = 1 / c->peak, c->lifted = power_of_two<T>(LIFT<T>) / c->peak;
}

// By which power of two a row is scaled.
template <class T> INLINE int scale_of(T peak) {
  if (!(peak > 0 && peak < (T)INFINITY) || (peak > power_of_two<T>(-BAND<T>) && peak < power_of_two<T>(BAND<T>)))
    return 0;
  int k;
  frexp((double)peak, &k);
  return TOP<T> - k;
}
template <class T> APART T scaled(T z, int k) {
  T result = (T)ldexp((double)z, k);
  return z > 0 && result == 0 ? Format<T>::tiny : result;
}

// log(p/max p) without loss
template <class T> INLINE T log_ratio(T z, const Constants<T> &c, T *rest) {
  T q = z * c.lifted, d = log_of(q, (z - c.peak) * c.inv, z > (T)0.75 * c.peak, (T)LIFT<T>, rest);
  *rest = z == 0 ? (T)0 : *rest;
  return z == 0 ? -Format<T>::far : d + 0 * q;
}

INLINE float root(float x) { return __builtin_sqrtf(x); }
INLINE double root(double x) { return __builtin_sqrt(x); }

// expm1 of γ d in units of c.unit_m, and exp; d and γ have rests
template <class T> INLINE T power_gap(T d, T d_rest, const Constants<T> &c, T *e) {
  bool below = d < c.floor_m;
  d = below ? c.floor_m : d;
  T x = c.gamma * d, rest = rest_of(c.gamma, d, x) + fma_(c.gamma_rest, d, c.gamma * (below ? (T)0 : d_rest));
  return expm1_both(x, rest, e) * c.unit_m;
}

// exp of β d
template <class T> INLINE T power_below(T d, T d_rest, const Constants<T> &c) {
  bool below = d < c.floor_b;
  d = below ? c.floor_b : d;
  T x = c.beta * d;
  return exp_low(x, rest_of(c.beta, d, x) + fma_(c.beta_rest, d, c.beta * (below ? (T)0 : d_rest)));
}

// What a derivative needs, in units: m, and exp(γ d) where that is small; their signs tell them apart. Of probabilities
// for α < 1 it is expm1(-γ d).
template <class T> INLINE T kept_of(T m, T e, const Constants<T> &c) {
  return m > (T)-0.5 * c.unit_m ? m : e * c.unit_m;
}

// b, m in units of c.unit_m and b (1 + m) of an entry, and what its derivative needs besides b
template <class T, int M, int S> INLINE void terms(T z, const Constants<T> &c, T *b, T *m, T *o, T *kept) {
  T d, e = 0, rest;
  if (S == LOGITS) {
    d = z - c.peak;
    const T least = M == ABOVE || M == BELOW ? -Format<T>::far : c.floor_b, back = d - z;
    rest = d < least ? (T)0 : (z - (d - back)) - (c.peak + back), d = d < least ? least : d;
    if (M == ONE || M == INFINITE) {
      *b = exp_low(d, rest), *m = d, *o = 0;
    } else if (M == TWO || M == HALF) {
      const T part = M == TWO ? (T)1 : (T)0.5;
      *b = exp_low_both(d * part, rest * part, m), *o = *b * *b, e = *b;
    } else {
      *b = M == ABOVE ? exp_low(d, rest) : power_below(d, rest, c);
      if (M == BELOW) *b = z == -(T)INFINITY ? (T)0 : *b;
      *m = power_gap(d, rest, c, &e), *o = *b * e;
    }
    *kept = M == ONE ? *m : kept_of(*m, e, c);
    return;
  }
  e = z * c.inv;
  T below = (z - c.peak) * c.inv;
  if (M == INFINITE) {
    *b = e, *m = *o = *kept = 0;
  } else if (M == TWO) {
    *b = e, *m = below, *o = e * e, *kept = kept_of(*m, larger(e, Format<T>::tiny), c);
  } else if (M == HALF) {
    *b = root(z * c.lifted) * power_of_two<T>(-LIFT<T> / 2), *m = below / (*b + 1), *o = e;
    *kept = -*m / (*b > 0 ? *b : (T)1);
  } else {
    d = log_ratio(z, c, &rest);
    if (M == ONE) {
      *b = e, *m = z == 0 ? (T)0 : d, *o = 0, *kept = d;
      return;
    }
    T y;
    *m = power_gap(d, rest, c, &y), *kept = kept_of(*m, y, c);
    if (M == ABOVE) *b = e, *o = e * y;
    else *b = z == 0 ? (T)0 : power_below(d, rest, c), *o = e, *kept = -*m / y;
  }
}

// A factor that is no infinity, whose product with 0 would be lost.
template <class T> INLINE T finite(double x) {
  constexpr double most = sizeof(T) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308;
  return (T)(x > most ? most : x < -most ? -most : x);
}

// What the derivatives of a row have in common: a factor, and what stands beside m, exp(γ d) and p/q in its rows.
template <class T> struct Slope {
  T factor, beside_m, beside_e, top;
};

// the derivative of an entry
template <class T, int M, int S> INLINE T slope_of(T z, T b, T kept, const Slope<T> &g, const Constants<T> &c) {
  if (M == INFINITE) return z == c.peak ? g.top : S == LOGITS ? b * g.factor : g.factor;
  if (M == ONE) {
    T y = g.factor * (kept - g.beside_m);
    return S == LOGITS ? fma_(b, y, (T)0) : z == 0 ? 0 * g.factor : y;
  }
  // 0 makes no -0 of what has no weight
  if (S == LOGITS) return fma_(b, g.factor * (kept - (kept > 0 ? g.beside_e : g.beside_m)), (T)0);
  if (M == ABOVE || M == TWO) return g.factor * (kept - (kept > 0 ? g.beside_e : g.beside_m));
  return z == 0 ? 0 * g.factor : g.factor * (kept - g.beside_m);
}

// Σ (k + 1)/(k + 2)! u**k = (u exp(u) - expm1(u))/u**2 for |u| <= 1
constexpr double inverse_factorial(int n) { return n < 2 ? 1.0 : inverse_factorial(n - 1) / n; }
template <class T, int K, int LAST> INLINE T curvature(T u) {
  if constexpr (K == LAST) return (T)((K + 1) * inverse_factorial(K + 2));
  else return fma_(curvature<T, K + 1, LAST>(u), u, (T)((K + 1) * inverse_factorial(K + 2)));
}
template <class T> INLINE T curvature_of(T u) { return curvature<T, 0, sizeof(T) == 4 ? 11 : 19>(u); }

// what an entry adds to -dH/dα: p v**2 ψ(t v) with v = d - c, or (q (t v - 1) + p)/t**2
template <class T, int M, int S>
INLINE T alpha_term(T z, const Constants<T> &c, T center, T per_total, T per_total_alpha, T t) {
  T rest, d = S == LOGITS ? z - c.peak : log_ratio(z, c, &rest), lowest = (T)1.2 * Format<T>::nothing;
  d = d < -Format<T>::far ? -Format<T>::far : d;
  T near_d = d < 10 * lowest ? 10 * lowest : d;
  T p = per_total * (S == LOGITS ? exp_low(near_d, (T)0) : z * c.inv), v = near_d - center;
  if (M == ONE) return p * v * v * (T)0.5;
  d = d * c.beta < lowest ? lowest / c.beta : d;
  T x = c.beta * d, q = per_total_alpha * exp_low(x, fma_(c.beta_rest, d, rest_of(c.beta, d, x))), u = t * (d - center);
  bool dead = S == LOGITS ? z == -(T)INFINITY : z == 0, far = u > 1 || u < -1;
  T near = p * v * v * curvature_of(far ? (T)0 : u), apart = (q == 0 ? p : fma_(q, u - 1, p)) / t / t;
  return dead ? (T)0 : far ? apart : near;
}

// A sum of blocks, with what rounding took from it.
struct Total {
  double sum = 0, rest = 0;
  void add(double x) {
    double next = sum + x, back = next - sum;
    rest += (sum - (next - back)) + (x - back), sum = next;
  }
  double value() const { return sum + rest; }
};
struct Totals {
  Total B, S, O, count;
};

// A row, in double: its state, and what follows from it.
struct Row {
  double B, S, O, low, count;              // the sums; low without any largest entry, of which there are `count`
  double h, c, total, total_alpha;         // c = H_inf - H
  double factor, beside_m, beside_e, top;  // of the derivatives
};

INLINE void finish(int mode, int source, double alpha, double gamma, double unit, double peak, Row *r) {
  double B = r->B, S = mode == ONE ? r->S : r->S / unit, O = r->O, one = 1 / (1 + B), l1 = log1p_(B), f = 1 / peak;
  f = f > 1.7e308 ? 1.7e308 : f;
  r->total_alpha = NAN, r->beside_m = r->beside_e = r->top = 0;
  if (mode == ONE) {
    r->c = r->beside_m = S * one, r->h = l1 - r->c, r->total = 1 + B;
    r->factor = source == LOGITS ? -one : -one * f;
  } else if (mode == INFINITE) {
    r->c = 0, r->h = l1, r->total = 1 + B;
    r->factor = source == LOGITS ? one : one * f;
    r->top = -r->low / r->count * r->factor;
  } else {
    double x = S * one, some = log1p_(x > -0.5 ? x : O), L = x > -0.5 ? some : some - l1, lo = x > -0.5 ? l1 + L : some;
    bool above = mode == ABOVE || mode == TWO;
    double up = x > -0.5 ? 1 / (1 + x) : (1 + B) / (1 + O), more = x > -0.5 ? -x * up : up - 1;
    double down = x > -0.5 ? 1 + x : (1 + O) * one, less = x > -0.5 ? x : down - 1, a = alpha / gamma;
    r->c = L / gamma, r->h = alpha == 0 ? l1 : (above ? l1 : lo) - L / gamma;
    r->total = above ? 1 + B : 1 + O, r->total_alpha = above ? 1 + O : 1 + B;
    a *= source == PROBS ? f / r->total : one;
    if (source == LOGITS || above) r->factor = -a * up / unit, r->beside_m = less * unit, r->beside_e = down * unit;
    else r->factor = a * down / unit, r->beside_m = more * unit;
  }
}

// Σ p**α from h where that is below 1, else from the sums, whose error α multiplies
APART double power_sum(const Row &r, int mode, double alpha, double t) {
  double u = -t * r.h;
  if (mode == ONE || !(fabs(u) > 1) || r.h < 1) return exp(u);
  return r.total_alpha * pow(r.total, -alpha);
}

// the measure, its derivative by H, and that by α at a fixed H
APART void measured(int measure, const Row &r, int mode, double alpha, double t, double *value, double *by_h,
                    double *by_alpha) {
  *value = r.h, *by_h = 1, *by_alpha = 0;
  if (measure == HILL) {
    if (mode == INFINITE) *value = r.total;
    else if (alpha == 0) *value = r.total_alpha;
    else *value = r.total * (fabs(t) < 0.25 ? exp(-r.c) : pow(r.total_alpha / r.total, -1 / t));
    *by_h = *value;
  } else if (measure == TSALLIS) {
    double u = -t * r.h, sum = mode == INFINITE ? 0 * r.h : power_sum(r, mode, alpha, t);
    *by_h = sum;
    if (mode == INFINITE) *value = *by_alpha = 0 * r.h;
    else {
      bool near = !(fabs(u) > 1);
      *value = near ? (u == 0 ? r.h : r.h * (expm1(u) / u)) : (1 - sum) / t;
      *by_alpha = -(near ? r.h * r.h * curvature_of(u) : ((u - 1) * sum + 1) / t / t);
    }
  }
}

// Entries from memory, every `step`-th, and back.
template <class F> INLINE void load_as(const void *from, int64_t step, int64_t n, typename F::T *to) {
  const typename F::X *x = (const typename F::X *)from;
  if (step == 1) {
    SIMD
    for (int64_t i = 0; i < n; i++) to[i] = F::load(x[i]);
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = F::load(x[i * step]);
  }
}
template <class F> INLINE void store_as(const typename F::T *from, int64_t step, int64_t n, void *to) {
  typename F::X *x = (typename F::X *)to;
  if (step == 1) {
    SIMD
    for (int64_t i = 0; i < n; i++) x[i] = F::store(from[i]);
  } else {
    for (int64_t i = 0; i < n; i++) x[i * step] = F::store(from[i]);
  }
}
APART void load(int64_t format, const void *from, int64_t step, int64_t n, float *to) {
  if (format == 0) load_as<Float32>(from, step, n, to);
  else if (format == 2) load_as<BFloat16>(from, step, n, to);
  else load_as<Float16>(from, step, n, to);
}
APART void load(int64_t, const void *from, int64_t step, int64_t n, double *to) { load_as<Float64>(from, step, n, to); }
APART void store(int64_t format, const float *from, int64_t step, int64_t n, void *to) {
  if (format == 0) store_as<Float32>(from, step, n, to);
  else if (format == 2) store_as<BFloat16>(from, step, n, to);
  else store_as<Float16>(from, step, n, to);
}
APART void store(int64_t, const double *from, int64_t step, int64_t n, void *to) {
  store_as<Float64>(from, step, n, to);
}

template <class T> INLINE int64_t whole_of(int64_t n) {
  constexpr int lanes = Format<T>::lanes;
  return (n + lanes - 1) / lanes * lanes;
}

// Entries of a row as they are stored, read in whole vectors: what is left out, or beyond the end, has no weight.
template <class T> struct Reader {
  const char *x;
  int64_t format, size, step;
  const uint8_t *mask;
  int64_t mask_step;
  T nothing, beyond;  // of what is left out, and of what is beyond the end
  int scale = 0;

  Reader(const Task &q, int64_t row)
      : format(q.format),
        size(q.format < 2 ? sizeof(T) : 2),
        step(q.x_entry),
        mask_step(q.mask_entry),
        nothing(q.source == LOGITS ? -(T)INFINITY : (T)0),
        beyond(nothing) {
    x = (const char *)q.x + row * q.x_row * size;
    mask = q.mask ? q.mask + row * q.mask_row : nullptr;
  }

  bool plain() const { return format < 2 && step == 1 && !mask && !scale; }

  const T *block(int64_t at, int64_t n, int64_t *whole, T *room) const {
    *whole = whole_of<T>(n);
    if (plain() && *whole == n) return (const T *)x + at;
    load(format, x + at * step * size, step, n, room);
    if (mask)
      for (int64_t i = 0; i < n; i++) room[i] = mask[(at + i) * mask_step] ? room[i] : nothing;
    if (scale)
      for (int64_t i = 0; i < n; i++) room[i] = scaled(room[i], scale);
    for (int64_t i = n; i < *whole; i++) room[i] = beyond;
    return room;
  }
};

// How many entries are taken at once where `left` are left: whole vectors, then the rest.
template <class T> INLINE int64_t piece(int64_t left) {
  constexpr int64_t lanes = Format<T>::lanes;
  const int64_t n = smaller(left, (int64_t)BLOCK);
  return n > lanes ? n / lanes * lanes : n;
}

template <class T> APART void extremes(const T *__restrict z, int64_t n, T *most, T *least) {
  T high = *most, low = *least;
  _Pragma("omp simd reduction(max : high) reduction(min : low)") for (int64_t i = 0; i < n; i++) {
    high = z[i] > high ? z[i] : high;
    low = z[i] < low ? z[i] : low;
  }
  *most = high, *least = low;
}
template <class T> APART void largest(const T *__restrict z, int64_t n, T *most) {
  T high = *most;
  _Pragma("omp simd reduction(max : high)") for (int64_t i = 0; i < n; i++) high = z[i] > high ? z[i] : high;
  *most = high;
}

// What is wanted: sums only, or what derivatives need of each entry as well.
enum Want { SUMS, KEEP };

template <class T, int M, int S, int W> APART void sums(const T *__restrict z, int64_t n,
                                                        const Constants<T> *__restrict given, T *__restrict bs,
                                                        T *__restrict ks, Totals *r) {
  const Constants<T> c = *given;
  T B = 0, X = 0, O = 0, C = 0;
  _Pragma("omp simd reduction(+ : B, X, O, C)") for (int64_t i = 0; i < n; i++) {
    T b, m, o, k;
    terms<T, M, S>(z[i], c, &b, &m, &o, &k);
    if (W == KEEP) bs[i] = b, ks[i] = k;
    T top = z[i] == c.peak ? (T)1 : (T)0;
    B += top != 0 ? (T)0 : b, X += b * m, O += top != 0 ? (T)0 : o, C += top;
  }
  r->B.add(B), r->S.add(X), r->O.add(O), r->count.add(C);
}

template <class T, int M, int S, int W> APART void slopes(const T *z, int64_t n, const Constants<T> *__restrict given,
                                                          const T *bs, const T *ks, Slope<T> g, T *out) {
  const Constants<T> c = *given;
  SIMD
  for (int64_t i = 0; i < n; i++) {
    T b, m, o, k;
    if (W == KEEP) b = bs[i], k = ks[i];
    else terms<T, M, S>(z[i], c, &b, &m, &o, &k);
    out[i] = slope_of<T, M, S>(z[i], b, k, g, c);
  }
}

template <class T, int M, int S> APART double alpha_sum(const T *__restrict z, int64_t n,
                                                        const Constants<T> *__restrict given, T center, T per_total,
                                                        T per_total_alpha, T t) {
  const Constants<T> c = *given;
  T sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++) sum +=
      alpha_term<T, M, S>(z[i], c, center, per_total, per_total_alpha, t);
  return sum;
}

// Rows of lanes, in double.
struct Rows {
  double B[LANES], S[LANES], O[LANES], low[LANES], count[LANES], h[LANES], c[LANES], total[LANES], total_alpha[LANES],
      factor[LANES], beside_m[LANES], beside_e[LANES], top[LANES];
  Row at(int i) const {
    return {B[i],     S[i],           O[i],      low[i],      count[i],    h[i],  c[i],
            total[i], total_alpha[i], factor[i], beside_m[i], beside_e[i], top[i]};
  }
  void put(int i, const Row &r) {
    B[i] = r.B, S[i] = r.S, O[i] = r.O, low[i] = r.low, count[i] = r.count, h[i] = r.h, c[i] = r.c, total[i] = r.total;
    total_alpha[i] = r.total_alpha, factor[i] = r.factor, beside_m[i] = r.beside_m, beside_e[i] = r.beside_e,
    top[i] = r.top;
  }
};

// What a call keeps between its steps, for one thread.
template <class T> struct Workspace {
  T room[BLOCK], out[BLOCK], tail[Format<T>::lanes], z[SHORT * LANES];
  Lanes<T> lanes;
  Rows rows;
  T part[4][LANES], whole[4][LANES], slope[4][LANES], most[LANES], least[LANES], sum[LANES], peak[LANES],
      scaling[LANES];
  double alpha[LANES], t[LANES];
  int scale[LANES];
  T *b, *k;
  int64_t known = -1;  // the row of several orders whose peak, Σ exp(d) and Σ exp(d) d are known, or of several no one
  T shift;
  double total, moment;
};

// from the sums that a row has, or was given, to what it is asked for; returns the factor of its gradient
template <class T> APART double settled(const Task &q, int64_t row, int mode, double alpha, double t, T peak, Row *r) {
  T *state = q.state ? (T *)q.state + row : nullptr;
  const bool above = mode != HALF && mode != BELOW;
  double s = mode == ONE ? r->S : r->S / (unit_of(alpha, fabs(t)) * fabs(t)), r0 = above ? r->B : r->O,
         ra = above ? r->O : r->B;
  if (state && !q.given) {
    const int64_t next = q.state_field;
    state[0] = peak, state[next] = (T)r0, state[2 * next] = (T)s, state[3 * next] = (T)ra;
  }
  double value, by_h, by_alpha;
  measured((int)q.measure, *r, mode, alpha, t, &value, &by_h, &by_alpha);
  const bool sound = r0 >= 0;
  if (q.value) ((T *)q.value)[row * q.orders] = sound ? (T)value : (T)NAN;
  double scale = q.scale ? (double)((const T *)q.scale)[row * q.scale_row] : 1.0;
  if (!sound) r->c = r->top = NAN;
  return scale == 0 ? 0 : sound ? scale * by_h : NAN;
}

// the derivative in α, given the sum of alpha_term
template <class T>
APART void add_slope(const Task &q, int64_t row, const Row &r, int mode, double alpha, double t, double sum) {
  double value, by_h, by_alpha;
  measured((int)q.measure, r, mode, alpha, t, &value, &by_h, &by_alpha);
  ((T *)q.slope)[row] = (T)(by_alpha - sum * by_h + 0 * r.c);
}

template <class T> INLINE void given_sums(const Task &q, int64_t row, int mode, double alpha, double gamma, Row *r) {
  const T *state = (const T *)q.state + row;
  const double r0 = state[q.state_field], s = state[2 * q.state_field];
  const double ra = mode == ONE || mode == INFINITE ? 0 : (double)state[3 * q.state_field];
  const bool above = mode != HALF && mode != BELOW;
  r->B = above ? r0 : ra, r->O = above ? ra : r0, r->S = mode == ONE ? s : s * (unit_of(alpha, gamma) * gamma),
  r->low = r->count = 0;
}

// Whether a row's gradient is written where it is computed.
template <class T> INLINE bool direct(const Task &q, int64_t n) {
  return q.format < 2 && q.gradient_entry == 1 && !q.mask && n % Format<T>::lanes == 0;
}

// A row's gradient, block by block: compute(entries, at, how many with those beyond the end, to).
template <class T, class Compute> INLINE void write_gradient(const Task &q, int64_t row, const Reader<T> &x, bool none,
                                                             Workspace<T> &w, const Compute &compute) {
  char *place = (char *)q.gradient + row * q.gradient_row * x.size;
  int64_t whole;
  for (int64_t i = 0, n; i < q.n; i += n) {
    const T *z = x.block(i, n = piece<T>(q.n - i), &whole, w.room);
    T *out = direct<T>(q, n) ? (T *)place + i : w.out;
    if (none)
      for (int64_t j = 0; j < n; j++) out[j] = 0;
    else compute(z, i, whole, out);
    if (out != w.out) continue;
    if (q.mask)
      for (int64_t j = 0; j < n; j++) out[j] = x.mask[(i + j) * x.mask_step] ? out[j] : (T)0;
    store(q.format, out, q.gradient_entry, n, place + i * q.gradient_entry * x.size);
  }
}

// The plain form: Σ e and Σ e**α as they stand, where e is exp(z - max z), or a probability times a power of two that
// brings 1/n near 1. Near α = 1 it is B and S as above, for all entries. Its error is a few roundings of the sums'
// logarithms: it serves where H is well above them, and for the gradient where that is no small difference of two.

// The two sums; and of what the gradient is the difference of: the squares and the product.
template <class T> struct Plain {
  Total one, two, one_one, two_two, one_two;
  T least = (T)INFINITY, most = -(T)INFINITY;
};

template <class T> struct Order {
  T shift;                       // what is taken from logits; what probabilities are multiplied by
  T lifted;                      // that of probabilities before their logarithm, lest they be no normal numbers
  T beta, beta_rest, t, t_rest;  // the power of logits (near α = 1 of the larger weight), and α - 1 (of logits |α - 1|)
};

// within what exp_plain takes; the second of what is compared is kept where one is no number
template <class T> INLINE T within(T x) { return larger(Format<T>::least, smaller(Format<T>::most, x)); }

template <class T, int M, int S, bool NEAR, bool GRADIENT>
APART void plain_sums(const T *__restrict z, int64_t n, const Order<T> *__restrict given, T *__restrict first,
                      T *__restrict second, Plain<T> *to) {
  using F = Format<T>;
  constexpr bool general = M == ABOVE || M == BELOW;
  const Order<T> c = *given;
  T one = 0, two = 0, one_one = 0, two_two = 0, one_two = 0, least = to->least, most = to->most;
  _Pragma("omp simd reduction(+: one, two, one_one, two_two, one_two) reduction(min: least) reduction(max: most)") for (
      int64_t i = 0; i < n; i++) {
    T u, v = 0, kept;
    if (S == LOGITS) {
      const T d = larger(general || M == HALF ? -F::far : F::least, z[i] - c.shift);
      if (M == HALF) kept = v = exp_plain(larger(F::least, (T)0.5 * d)), u = v * v;
      else if (NEAR && M == BELOW) kept = u = exp_plain(larger(F::least, fma_(c.beta, d, c.beta_rest * d)));
      else kept = u = exp_plain(larger(F::least, d));
      // of what has no weight nothing is left in sums of which a uniform row has none
      if (M == ONE || NEAR) kept = u = z[i] == -(T)INFINITY ? (T)0 : u;
      if (M == ONE) v = u * d;
      if (M == TWO) v = u * u;
      if (general && NEAR) v = u * expm1_plain(larger(F::least, fma_(c.t, d, c.t_rest * d)));
      if (general && !NEAR) v = exp_plain(larger(F::least, fma_(c.beta, d, c.beta_rest * d)));
      if (GRADIENT && general) second[i] = v;
      if (GRADIENT && M != ONE) one_one += u * u, two_two += v * v, one_two += u * v;
    } else {
      u = kept = z[i] * c.shift;
      if (M == HALF) v = root(u), kept = 1 / v;
      if (M == TWO) v = u * u;
      if (M == ONE || general) {
        T rest;
        kept = log_of(z[i] * c.lifted, (T)0, false, (T)LIFT<T>, &rest);
        if (general) {
          const T x = c.t * kept;
          if (NEAR) kept = expm1_plain(within(fma_(c.t_rest, kept, x)));
          else kept = exp_plain(within(x), rest_of(c.t, kept, x) + fma_(c.t_rest, kept, c.t * rest));
        }
        v = u * kept;
      }
      least = z[i] < least ? z[i] : least;
      if (M == INFINITE || M == ABOVE) most = z[i] > most ? z[i] : most;
      if (GRADIENT) two_two += kept * kept, one_two += kept;
    }
    one += u, two += v;
    if (GRADIENT) first[i] = kept;
  }
  to->one.add(one), to->two.add(two);
  if (GRADIENT) to->one_one.add(one_one), to->two_two.add(two_two), to->one_two.add(one_two);
  to->least = least, to->most = most;
}

template <class T, int M, int S, bool NEAR> APART void plain_slopes(const T *z, int64_t n,
                                                                    const Order<T> *__restrict given, const T *first,
                                                                    const T *second, T factor, T beside, T *out) {
  constexpr bool light = S == PROBS && M == TWO;
  const T low = -factor * beside, shift = given->shift, floor = Format<T>::least / smaller(given->beta, (T)1);
  SIMD
  for (int64_t i = 0; i < n; i++) {
    T g = factor * ((light ? z[i] * shift : first[i]) - beside);
    if (S == LOGITS) {
      if (M == ONE) g = first[i] * (factor * (larger(z[i] - shift, Format<T>::least) - beside));
      else if (M == TWO || M == HALF) g = first[i] * fma_(first[i], factor, low);
      else if (M == BELOW && !NEAR) g = fma_(first[i], factor, second[i] * low);
      else g = fma_(second[i], factor, first[i] * low);
      g = z[i] - shift < floor ? (T)0 : g;
    }
    out[i] = g;
  }
}

// whether it served
template <class T, int M, int S, bool NEAR> APART bool plain_row(const Task &q, int64_t row, Workspace<T> &w) {
  constexpr bool powers = M != ONE && M != INFINITE, above = M == TWO || M == ABOVE;
  constexpr bool general = M == ABOVE || M == BELOW, light = S == PROBS && M == TWO;
  const double alpha = q.alpha[row * q.order_row], t = q.t[row * q.order_row], gamma = fabs(t);
  // what is kept lies where the gradient will, unless that is the input
  const bool wants = q.gradient, in_place = wants && q.gradient != q.x && direct<T>(q, Format<T>::lanes);
  if (wants && (M == INFINITE || (q.n > KEPT<T> && (!in_place || (S == LOGITS && M > HALF))))) return false;
  Reader<T> x(q, row);
  T *first = in_place ? (T *)q.gradient + row * q.gradient_row : w.b, peak = -(T)INFINITY;
  int64_t whole;
  Order<T> c;
  c.beta = (T)alpha, c.beta_rest = (T)(alpha - (double)c.beta);
  c.t = (T)(S == LOGITS ? gamma : t), c.t_rest = (T)((S == LOGITS ? gamma : t) - (double)c.t);
  if (S == LOGITS) {
    for (int64_t i = 0, n; i < q.n; i += n) {
      const T *z = x.block(i, n = piece<T>(q.n - i), &whole, w.room);
      largest(z, whole, &peak);
    }
    c.shift = x.beyond = peak;
  } else {
    int k;
    frexp((double)q.n, &k);
    c.shift = power_of_two<T>(k), c.lifted = power_of_two<T>(k + LIFT<T>), x.beyond = 1 / c.shift;
  }
  const auto kept = [&](int64_t i, int64_t n) { return in_place && !direct<T>(q, n) ? w.tail : first + i; };
  Plain<T> s;
  for (int64_t i = 0, n; i < q.n; i += n) {
    const T *z = x.block(i, n = piece<T>(q.n - i), &whole, w.room);
    if (wants && !light) plain_sums<T, M, S, NEAR, true>(z, whole, &c, kept(i, n), w.k + i, &s);
    else plain_sums<T, M, S, NEAR, false>(z, whole, &c, nullptr, nullptr, &s);
  }
  // its weights are the entries
  if (light) s.two_two = s.two, s.one_two = s.one;
  // entries beyond the end of a row have the weight 1, and its logarithm is 0
  const double n = (double)q.n, beyond = (double)whole_of<T>(q.n) - n, scale = S == PROBS ? 1 / (double)c.shift : 1;
  const double more = M == ONE || NEAR ? 0 : beyond;
  double one = s.one.value() - beyond, two = s.two.value() - more;
  if (S == PROBS && !(s.least >= (wants && (NEAR || !above) ? Format<T>::tiny : (T)0))) return false;
  if (S == PROBS && !(one * scale > 0.125 && one * scale < 8)) return false;
  // entries of most weight, whose power is beyond the numbers, and in the gradient lost by large logarithms
  if (S == PROBS && general && (wants || above) &&
      !(gamma * fabs(log((above ? s.most : s.least) * (double)c.shift)) < (wants ? 12 : 80)))
    return false;
  Row r = {};
  r.S = -INFINITY;
  if (M == ONE) {
    r.B = one - 1, r.S = two;
  } else if (NEAR) {
    r.S = S == PROBS && !above ? -two : two, r.B = (S == PROBS && !above ? one + two : one) - 1, r.O = r.B + r.S;
    if (!(r.S > -0.5 * (1 + r.B))) return false;
  } else {
    r.B = M == INFINITE && S == PROBS ? one * scale / s.most - 1 : above || !powers ? one - 1 : two - 1;
    r.O = above ? two - 1 : one - 1;
  }
  finish(M, S, alpha, gamma, 1, scale, &r);
  if (!(r.h * (powers && !NEAR ? smaller(gamma, 1.0) : 1.0) >=
            (S == PROBS && (NEAR || !general) ? larger(1.4, 0.8 * fabs(r.c)) : 1.4) &&
        r.h < INFINITY))
    return false;
  const double beside = M == ONE || NEAR ? r.beside_m : S == LOGITS || above ? r.beside_e : 1 + r.beside_m;
  if (wants && !(S == LOGITS && M == ONE)) {
    const bool swapped = S == LOGITS && !above && !NEAR;
    const double squares[] = {S == PROBS ? n : s.one_one.value() - beyond, s.two_two.value() - more};
    const double high = squares[!swapped], low = beside * beside * squares[swapped];
    if (!(high + low - 2 * beside * (s.one_two.value() - more) >= 0.3 * larger(high, low))) return false;
  }
  const double factor = settled<T>(q, row, M, alpha, t, peak, &r);
  if (wants)
    write_gradient(q, row, x, factor == 0, w, [&](const T *z, int64_t i, int64_t whole, T *out) {
      const T *kept_first = kept(i, smaller(q.n - i, whole));
      plain_slopes<T, M, S, NEAR>(z, whole, &c, kept_first, w.k + i, finite<T>(factor * r.factor), (T)beside, out);
    });
  return true;
}

template <class T>
APART void power_sums(const T *__restrict z, int64_t n, const Order<T> *__restrict given, Plain<T> *to) {
  const Order<T> c = *given;
  T sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++) {
    const T d = larger(-Format<T>::far, z[i] - c.shift);
    sum += exp_plain(larger(Format<T>::least, fma_(c.beta, d, c.beta_rest * d)));
  }
  to->two.add(sum);
}

// One of several orders of a row: what all have in common is computed once; of probabilities their logarithms as well.
template <class T, int M, int S> APART bool plain_order(const Task &q, int64_t row, Workspace<T> &w) {
  constexpr bool powers = M != ONE && M != INFINITE, above = M == TWO || M == ABOVE;
  const double alpha = q.alpha[0], t = q.t[0], gamma = fabs(t);
  const Reader<T> x(q, row);
  int64_t whole;
  Order<T> c = {};
  const auto each = [&](const auto &take) {
    for (int64_t i = 0, n; i < q.n; i += n) {
      const T *z = S == PROBS ? w.b + i : x.block(i, piece<T>(q.n - i), &whole, w.room);
      n = piece<T>(q.n - i), take(z, whole_of<T>(n));
    }
  };
  Plain<T> s;
  if (w.known != row) {
    T least = 0, peak = -(T)INFINITY;
    if (S == PROBS) {
      Plain<T> logs;
      c.shift = 1, c.lifted = power_of_two<T>(LIFT<T>);
      for (int64_t i = 0, n; i < q.n; i += n) {
        const T *z = x.block(i, n = piece<T>(q.n - i), &whole, w.room);
        plain_sums<T, ONE, PROBS, false, true>(z, whole, &c, w.b + i, nullptr, &logs);
      }
      // beyond that, what is lifted for its logarithm may be no number
      least = logs.one.value() < power_of_two<T>(BAND<T>) ? logs.least : (T)-1;
    }
    each([&](const T *z, int64_t n) { largest(z, n, &peak); });
    w.known = row, w.shift = c.shift = peak;
    each([&](const T *z, int64_t n) { plain_sums<T, ONE, LOGITS, false, false>(z, n, &c, nullptr, nullptr, &s); });
    w.total = least >= 0 ? s.one.value() : NAN, w.moment = s.two.value();
  }
  if (w.total != w.total) return false;
  c.shift = w.shift, c.beta = (T)alpha, c.beta_rest = (T)(alpha - (double)c.beta);
  s = {};
  if (powers) each([&](const T *z, int64_t n) { power_sums(z, n, &c, &s); });
  const double sum = s.two.value();
  Row r = {};
  r.B = (powers && !above ? sum : w.total) - 1, r.O = (above ? sum : w.total) - 1,
  r.S = M == ONE ? w.moment : -INFINITY;
  finish(M, LOGITS, alpha, gamma, 1, 1, &r);
  if (!(r.h * (powers ? smaller(gamma, 1.0) : 1.0) >= 1.4 && r.h < INFINITY)) return false;
  settled<T>(q, row, M, alpha, t, w.shift, &r);
  return true;
}

template <class T, int M, int S> INLINE bool plain(const Task &q, int64_t row, Workspace<T> &w) {
  constexpr bool general = M == ABOVE || M == BELOW;
  const double alpha = q.alpha[row * q.order_row], gamma = fabs(q.t[row * q.order_row]);
  if (q.state || q.slope || q.given || alpha < (S == LOGITS ? 0.01 : 0.25) || (general && gamma < 1e-12) ||
      (S == PROBS && gamma > 1e4 && general))
    return false;
  if (q.orders > 1 && q.n <= KEPT<T> && !(general && gamma < 0.25)) return plain_order<T, M, S>(q, row, w);
  return general && gamma < 0.25 ? plain_row<T, M, S, general>(q, row, w) : plain_row<T, M, S, false>(q, row, w);
}

template <class T, int M, int S> APART void long_row(const Task &q, int64_t row, Workspace<T> &w) {
  if (plain<T, M, S>(q, row, w)) return;
  const double alpha = q.alpha[row * q.order_row], t = q.t[row * q.order_row], gamma = fabs(t);
  Reader<T> x(q, row);
  const int want = q.gradient && !q.given && q.n <= KEPT<T> ? KEEP : SUMS;
  Constants<T> c;
  Row r = {};
  Totals all;
  order_constants(alpha, t, &c);
  T peak = -(T)INFINITY, least = (T)INFINITY;
  int64_t whole;
  if (q.given) {
    peak = ((const T *)q.state)[row];
  } else {
    for (int64_t i = 0, n; i < q.n; i += n) {
      const T *z = x.block(i, n = piece<T>(q.n - i), &whole, w.room);
      if (S == LOGITS) largest(z, whole, &peak);
      else extremes(z, whole, &peak, &least);
    }
  }
  if (S == PROBS) x.scale = scale_of(peak);
  peak_constants<T, S>(x.scale ? scaled(peak, x.scale) : peak, &c);
  if (q.given) {
    given_sums<T>(q, row, M, alpha, gamma, &r);
  } else {
    for (int64_t i = 0, n; i < q.n; i += n) {
      const T *z = x.block(i, n = piece<T>(q.n - i), &whole, w.room);
      if (want == KEEP) sums<T, M, S, KEEP>(z, whole, &c, w.b + i, w.k + i, &all);
      else sums<T, M, S, SUMS>(z, whole, &c, nullptr, nullptr, &all);
    }
    r.low = all.B.value(), r.S = all.S.value(), r.count = all.count.value();
    r.B = r.low + (r.count - 1), r.O = all.O.value() + (r.count - 1);
    if ((S == PROBS && least < 0) || r.S != r.S || r.low != r.low || !(peak < (T)INFINITY)) r.B = r.O = NAN;
  }
  finish(M, S, alpha, gamma, c.unit_m, ldexp((double)c.peak, -x.scale), &r);
  const double factor = settled<T>(q, row, M, alpha, t, peak, &r);
  if (q.slope) {
    double sum = 0;
    if (M != INFINITE)
      for (int64_t i = 0, n; i < q.n; i += n) {
        const T *z = x.block(i, n = piece<T>(q.n - i), &whole, w.room);
        sum += alpha_sum<T, M, S>(z, whole, &c, (T)r.c, (T)(1 / r.total), (T)(1 / r.total_alpha), (T)t);
      }
    add_slope<T>(q, row, r, M, alpha, t, sum);
  }
  if (!q.gradient) return;
  const Slope<T> g = {finite<T>(factor * r.factor), (T)r.beside_m, (T)r.beside_e, (T)(factor * r.top)};
  write_gradient(q, row, x, factor == 0, w, [&](const T *z, int64_t i, int64_t whole, T *out) {
    if (want == KEEP) slopes<T, M, S, KEEP>(z, whole, &c, w.b + i, w.k + i, g, out);
    else slopes<T, M, S, SUMS>(z, whole, &c, nullptr, nullptr, g, out);
  });
}

template <class T, int M, int S, int W> APART void lane_sums(const T *__restrict z, T *__restrict bs, T *__restrict ks,
                                                             const Lanes<T> *__restrict lanes,
                                                             T (*__restrict sum)[LANES]) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const Constants<T> c = Lanes<T>::at(*lanes, i);
    T b, m, o, k;
    terms<T, M, S>(z[i], c, &b, &m, &o, &k);
    if (W == KEEP) bs[i] = b, ks[i] = k;
    T top = z[i] == c.peak ? (T)1 : (T)0;
    sum[0][i] += top != 0 ? (T)0 : b, sum[1][i] += b * m, sum[2][i] += top != 0 ? (T)0 : o, sum[3][i] += top;
  }
}
template <class T, int M, int S> APART void lane_slopes(const T *__restrict z, T *__restrict bs, const T *__restrict ks,
                                                        const Lanes<T> *__restrict lanes,
                                                        const T (*__restrict g)[LANES]) {
  SIMD
  for (int i = 0; i < LANES; i++)
    bs[i] = slope_of<T, M, S>(z[i], bs[i], ks[i], {g[0][i], g[1][i], g[2][i], g[3][i]}, Lanes<T>::at(*lanes, i));
}
template <class T, int M, int S> APART void lane_alpha_sums(const T *__restrict z, const Lanes<T> *__restrict lanes,
                                                            const T *__restrict center, const T *__restrict per_total,
                                                            const T *__restrict per_total_alpha, const T *__restrict t,
                                                            T *__restrict sum) {
  SIMD
  for (int i = 0; i < LANES; i++)
    sum[i] += alpha_term<T, M, S>(z[i], Lanes<T>::at(*lanes, i), center[i], per_total[i], per_total_alpha[i], t[i]);
}
template <class T> APART void lane_extremes(const T *__restrict z, T *__restrict most, T *__restrict least) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    most[i] = z[i] > most[i] ? z[i] : most[i];
    least[i] = z[i] < least[i] ? z[i] : least[i];
  }
}

template <class T, int M, int S>
APART void lane_finish(bool fresh, const T (*__restrict sum)[LANES], const T *__restrict most,
                       const T *__restrict least, const T *__restrict peak, const T *__restrict unit,
                       const double *__restrict alpha, const double *__restrict t, Rows *__restrict all) {
  if (fresh) {
    SIMD
    for (int i = 0; i < LANES; i++) {
      const double more = (double)sum[3][i] - 1;
      const bool lost =
          (S == PROBS && least[i] < 0) | (sum[1][i] != sum[1][i]) | (sum[0][i] != sum[0][i]) | !(most[i] < (T)INFINITY);
      const double one = lost ? NAN : 0.0;
      all->low[i] = sum[0][i], all->count[i] = sum[3][i], all->S[i] = sum[1][i];
      all->B[i] = sum[0][i] + more + one, all->O[i] = sum[2][i] + more + one;
    }
  }
  SIMD
  for (int i = 0; i < LANES; i++) {
    Row r = {};
    r.B = all->B[i], r.O = all->O[i], r.S = all->S[i], r.low = all->low[i], r.count = all->count[i];
    finish(M, S, alpha[i], fabs(t[i]), (double)unit[i], (double)peak[i], &r);
    all->h[i] = r.h, all->c[i] = r.c, all->total[i] = r.total, all->total_alpha[i] = r.total_alpha;
    all->factor[i] = r.factor, all->beside_m[i] = r.beside_m, all->beside_e[i] = r.beside_e, all->top[i] = r.top;
  }
}

// the orders of all lanes; those of other modes have the order of one of this
template <class T>
APART void lane_orders(const Task &q, int64_t first, int rows, int mode, const int *modes, Workspace<T> &w) {
  int known = 0;
  while (modes[known] != mode) known++;
  for (int i = 0; i < LANES; i++) {
    const int64_t row = (first + (i < rows && modes[i] == mode ? i : known)) * q.order_row;
    w.alpha[i] = q.alpha[row], w.t[i] = q.t[row];
  }
  Lanes<T> &to = w.lanes;
  SIMD
  for (int i = 0; i < LANES; i++) {
    Constants<T> c = {};
    order_constants(w.alpha[i], w.t[i], &c);
    to.beta[i] = c.beta, to.beta_rest[i] = c.beta_rest, to.gamma[i] = c.gamma, to.gamma_rest[i] = c.gamma_rest;
    to.floor_b[i] = c.floor_b, to.floor_m[i] = c.floor_m, to.unit_m[i] = c.unit_m;
  }
}

// rows of one mode among those from `first`, whose modes are `modes`
template <class T, int M, int S>
APART void short_rows(const Task &q, int64_t first, int rows, const int *modes, Workspace<T> &w) {
  const int n = (int)q.n;
  int64_t whole;
  for (int i = 0; i < LANES; i++) {
    const Reader<T> x(q, first + (i < rows ? i : 0));
    const T *z = x.plain() ? (const T *)x.x : x.block(0, n, &whole, w.room);
    for (int j = 0; j < n; j++) w.z[j * LANES + i] = z[j];
  }
  for (int i = 0; i < LANES; i++) w.most[i] = -(T)INFINITY, w.least[i] = (T)INFINITY;
  memset(w.part, 0, sizeof w.part), memset(w.whole, 0, sizeof w.whole);
  if (q.given)
    for (int i = 0; i < rows; i++) w.most[i] = ((const T *)q.state)[first + i];
  else
    for (int j = 0; j < n; j++) lane_extremes(w.z + j * LANES, w.most, w.least);
  if (first == q.first || q.order_row || q.orders > 1) lane_orders(q, first, rows, M, modes, w);
  for (int i = 0; i < rows; i++) {
    w.scale[i] = S == PROBS ? scale_of(w.most[i]) : 0;
    if (!w.scale[i]) continue;
    for (int j = 0; j < n; j++) w.z[j * LANES + i] = scaled(w.z[j * LANES + i], w.scale[i]);
  }
  SIMD
  for (int i = 0; i < LANES; i++) {
    Constants<T> c = {};
    peak_constants<T, S>(w.most[i], &c);
    w.lanes.peak[i] = w.peak[i] = c.peak, w.lanes.inv[i] = c.inv, w.lanes.lifted[i] = c.lifted;
  }
  for (int i = 0; i < rows; i++) {
    if (!w.scale[i]) continue;
    Constants<T> c = {};
    peak_constants<T, S>(scaled(w.most[i], w.scale[i]), &c);
    w.lanes.peak[i] = c.peak, w.lanes.inv[i] = c.inv, w.lanes.lifted[i] = c.lifted;
  }
  if (!q.given || q.gradient)
    for (int j = 0; j < n; j++) {
      const int at = j * LANES;
      if (!q.gradient) lane_sums<T, M, S, SUMS>(w.z + at, w.b + at, w.k + at, &w.lanes, w.part);
      else lane_sums<T, M, S, KEEP>(w.z + at, w.b + at, w.k + at, &w.lanes, w.part);
      if (j % 8 < 7 && j < n - 1) continue;
      for (int k = 0; k < 4; k++)
        for (int i = 0; i < LANES; i++) w.whole[k][i] += w.part[k][i], w.part[k][i] = 0;
    }
  if (q.given)
    for (int i = 0; i < rows; i++) {
      Row r = {};
      given_sums<T>(q, first + i, M, w.alpha[i], fabs(w.t[i]), &r);
      w.rows.put(i, r);
    }
  Rows &all = w.rows;
  lane_finish<T, M, S>(!q.given, w.whole, w.most, w.least, w.peak, w.lanes.unit_m, w.alpha, w.t, &all);
  const bool simple = q.measure == ENTROPY && !q.state && !q.slope;
  if (simple) {
    for (int i = 0; i < LANES; i++)
      w.scaling[i] = q.scale ? ((const T *)q.scale)[(first + (i < rows ? i : 0)) * q.scale_row] : (T)1;
    constexpr bool above = M != HALF && M != BELOW;
    SIMD
    for (int i = 0; i < LANES; i++) {
      const double one = (above ? all.B[i] : all.O[i]) >= 0 ? 1 : NAN;
      w.sum[i] = (T)(one * all.h[i]);
      const double factor = w.scaling[i] == 0 ? 0 : one * all.factor[i], top = w.scaling[i] == 0 ? 0 : one * all.top[i];
      w.slope[0][i] = finite<T>(w.scaling[i] * factor), w.slope[3][i] = (T)(w.scaling[i] * top);
    }
    if (q.value)
      for (int i = 0; i < rows; i++)
        if (modes[i] == M) ((T *)q.value)[(first + i) * q.orders] = w.sum[i];
  } else {
    for (int i = 0; i < rows; i++) {
      if (modes[i] != M) continue;
      Row r = all.at(i);
      const double factor = settled<T>(q, first + i, M, w.alpha[i], w.t[i], w.most[i], &r);
      all.c[i] = r.c;
      w.slope[0][i] = factor == 0 ? (T)0 : finite<T>(factor * r.factor),
      w.slope[3][i] = factor == 0 ? (T)0 : (T)(factor * r.top);
    }
  }
  if (q.gradient) {
    SIMD
    for (int i = 0; i < LANES; i++) w.slope[1][i] = (T)all.beside_m[i], w.slope[2][i] = (T)all.beside_e[i];
    for (int j = 0; j < n; j++) {
      const int at = j * LANES;
      lane_slopes<T, M, S>(w.z + at, w.b + at, w.k + at, &w.lanes, w.slope);
    }
    for (int i = 0; i < rows; i++) {
      if (modes[i] != M) continue;
      const Reader<T> x(q, first + i);
      char *g = (char *)q.gradient + (first + i) * q.gradient_row * x.size;
      const bool direct = q.format < 2 && q.gradient_entry == 1, none = w.slope[0][i] == 0;
      T *out = direct ? (T *)g : w.out;
      for (int j = 0; j < n; j++) out[j] = w.b[j * LANES + i];
      if (none || x.mask)
        for (int j = 0; j < n; j++) out[j] = none || !x.mask[j * x.mask_step] ? (T)0 : out[j];
      if (!direct) store(q.format, out, q.gradient_entry, n, g);
    }
  }
  if (q.slope) {
    T center[LANES], per_total[LANES], per_total_alpha[LANES], ts[LANES];
    for (int i = 0; i < LANES; i++) {
      center[i] = (T)all.c[i], per_total[i] = (T)(1 / all.total[i]), per_total_alpha[i] = (T)(1 / all.total_alpha[i]);
      ts[i] = (T)w.t[i], w.sum[i] = 0;
    }
    if (M != INFINITE)
      for (int j = 0; j < n; j++)
        lane_alpha_sums<T, M, S>(w.z + j * LANES, &w.lanes, center, per_total, per_total_alpha, ts, w.sum);
    for (int i = 0; i < rows; i++)
      if (modes[i] == M) add_slope<T>(q, first + i, all.at(i), M, w.alpha[i], w.t[i], w.sum[i]);
  }
}

template <class T, int S>
static void by_mode(const Task &q, int64_t first, int rows, int mode, const int *modes, Workspace<T> &w) {
#define RENYI_MODE(M) \
  case M:             \
    return modes ? short_rows<T, M, S>(q, first, rows, modes, w) : long_row<T, M, S>(q, first, w);
  switch (mode) {
    RENYI_MODE(ONE)
    RENYI_MODE(INFINITE)
    RENYI_MODE(TWO)
    RENYI_MODE(HALF)
    RENYI_MODE(ABOVE)
    RENYI_MODE(BELOW)
  }
#undef RENYI_MODE
}

template <class T> static int64_t run(const Task &task) {
  Task q = task;
  if (!q.alpha) q.alpha = &task.one_alpha, q.t = &task.one_t, q.order_row = 0;
  const int64_t kept = q.n <= SHORT                                     ? SHORT * LANES
                       : (q.gradient || q.orders > 1) && q.n <= KEPT<T> ? (q.n + BLOCK - 1) / BLOCK * BLOCK
                                                                        : 0;
  const int64_t own = (sizeof(Workspace<T>) + 63) / 64 * 64;
  Workspace<T> *w = (Workspace<T> *)aligned_alloc(64, own + 2 * kept * sizeof(T));
  if (!w) return -1;
  w->known = -1, w->b = (T *)((char *)w + own), w->k = w->b + kept;
  auto each = [&](int64_t first, int rows, int mode, const int *modes) {
    if (q.source == LOGITS) by_mode<T, LOGITS>(q, first, rows, mode, modes, *w);
    else by_mode<T, PROBS>(q, first, rows, mode, modes, *w);
  };
  const int64_t together = q.n > SHORT ? 1 : LANES;
  for (int64_t first = q.first; first < q.last; first += together) {
    const int rows = (int)smaller(q.last - first, together);
    for (int64_t k = 0; k < q.orders; k++) {
      int modes[LANES], seen = 0;
      if (q.orders > 1) q.alpha = task.alpha + k, q.t = task.t + k, q.value = (T *)task.value + k;
      for (int i = 0; i < rows; i++) {
        const int64_t row = (first + i) * q.order_row;
        modes[i] = mode_of<T>(q.alpha[row], q.t[row]), seen |= 1 << modes[i];
      }
      for (int mode = ONE; mode <= BELOW; mode++)
        if (seen >> mode & 1) each(first, rows, mode, q.n > SHORT ? nullptr : modes);
    }
  }
  free(w);
  return 0;
}

}  // namespace renyi
