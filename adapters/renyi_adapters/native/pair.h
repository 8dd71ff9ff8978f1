// The Rényi divergence of pairs of distributions, with both gradients, row by row.
//
// Entries lie in tiles of 64 lanes: a tile of short rows has a row in each lane, a block of a long row has 64
// neighbors in them. A lane has its weights, in units of its largest, and every sum of terms of one sign:
//
//     b = q/max q    d = log(p/q) - middle    a = b exp(d)    f = a - b = b expm1(d)
//     B = sum b   A = sum a   F = sum f       s = log(A/B) = log1p(F/B)      r = d - s = log(p/q)
//     S = sum q K(r)                          q K(r) = p (expm1(t r)/t - 1) + q, near r = 0 its series
//     O = sum p exp(t r) = 1 + t S            D = log1p(t S)/t
//     h = p expm1(t(r - D))/t                 dD/dx = alpha h,  dD/dy = -(p - q) - t h
//
// for 1/2 <= alpha < inf; below, D_alpha(P|Q) = alpha/(1 - alpha) D_(1 - alpha)(Q|P). Blocks of a row merge by the
// chain rule of the divergence. The cross-entropy log B - log1p(t S)/t has d = log(q/max q) in place of r, and
// S = sum p expm1(t d)/t; the rest is the same, with -1 in place of alpha before h. The Jensen-Shannon divergence needs
// a, b and f alone. A row that this does not hold for is flagged: of outcomes that Q has not, of
// quotients that overflow, of distributions so far from each other that 1 + t S is lost, or of no distribution.
//
// Long rows of logits are first tried by plain sums, which are as exact where D is not small next to their terms:
//
//     u = x - max x    v = y - max y    A = sum exp(u)    B = sum exp(v)    w = alpha u - t v    C = sum exp(w)
//     D = (log C - alpha log A)/t + log B      dD/dx = alpha (exp(w)/C - exp(u)/A)/t      dD/dy = exp(v)/B - exp(w)/C
//
// with w = u - v itself, weighted by exp(u), at alpha = 1; that of the cross-entropy is u + t v, or v. Those of
// probabilities have A = sum p, B = sum q and C = sum p exp(t r), or sum p r, with r = log(p/q), or log q.
#pragma once
#include <stdlib.h>

#include "arithmetic.h"

namespace renyi::pairs {

// Some rows of a call, of n entries each: their divergence (0), their cross-entropy (1), or their Jensen-Shannon
// divergence (2), or that of order 2 (3). Strides are counted in entries, those of numbers of a row are 0 or 1. Values
// and scales are of the type that sums are formed in. Gradients that are not wanted are null.
struct Task {
  int64_t first, last, n, format, gradient_format, probabilities, cross;
  const void *x;
  int64_t x_row, x_entry;
  const void *y;
  int64_t y_row, y_entry;
  const uint8_t *where;
  int64_t where_row, where_entry;
  const double *alpha, *t;
  int64_t order_row;
  const void *scale;
  int64_t scale_row;
  void *value;
  void *along_x;
  int64_t along_x_row, along_x_entry;
  void *along_y;
  int64_t along_y_row, along_y_entry;
  uint8_t *flags;           // of rows that are left: 1, or 2 if only their gradients are
  double share_x, share_y;  // in the mixture of the Jensen-Shannon divergence
};

constexpr int64_t LANES = 64, SHORT = 64, BLOCK = 4096, STEP = 256, KEPT = 1 << 18;
// so many times D the terms of a plain sum may be
constexpr int TERMS = 8;
#define EACH_LANE \
  SIMD            \
  for (int64_t i = 0; i < LANES; i++)

// alpha = 1, 2, above 1, and below it or of any row its own; of the cross-entropy 1, and any
enum Mode { ONE, TWO, ABOVE, ANY, COST, COST_ANY };

template <class T> struct Series;
template <> struct Series<float> {
  static constexpr int kept = 8, terms = 14, even = 7;
  static constexpr float limit = 60, nothing = -1e20f, never = -1e15f, least = 1e-18f;
};
template <> struct Series<double> {
  static constexpr int kept = 15, terms = 21, even = 13;
  static constexpr double limit = 600, nothing = -1e200, never = -1e150, least = 1e-150;
};

// An order: alpha >= 1/2, t = alpha - 1, and the coefficients of K(r)/(steep r)**2 in powers of steep r.
template <class T> struct Order {
  double alpha, t, factor;
  bool swapped;
  double steep, c[Series<T>::terms];

  void set(double a, double rest, bool cross) {
    swapped = !cross && a < 0.5;
    alpha = swapped ? -rest : a;
    t = swapped ? -a : rest;
    // q K is the difference of two terms where alpha r is not small and r is: of a large order next to nothing is left
    factor = alpha <= 16 ? (swapped ? a / alpha : 1) : (double)NAN;
    // of what is nearly 1, expm1(t r)/t is r to all digits
    if (t > -0x1p-60 && t < 0x1p-60) t = 0x1p-60;
    steep = cross ? 1 : larger(alpha, 1.0);
    const double ratio = alpha > 1 ? 1 / alpha : alpha;
    double sum = 0, power = 1, term = alpha > 1 ? ratio : alpha;
    for (int m = 0; m < Series<T>::terms; m++) {
      sum += power;
      power *= ratio;
      term /= m + 2;
      c[m] = term * sum;
    }
    // fewer of them serve as well on [-1, 1]: the last is taken off with a multiple of Chebyshev's polynomial
    for (int n = Series<T>::terms - 1; n >= Series<T>::kept; n--) {
      double part = c[n];
      for (int k = 0; 2 * k <= n; k++) {
        c[n - 2 * k] -= part;
        part *= -(n - 2.0 * k) * (n - 2 * k - 1) / (4.0 * (k + 1) * (n - k - 1));
      }
    }
  }
};

// The lanes of a tile. A number of the whole row is the same in all lanes of a long one.
template <class T> struct Lanes {
  T top_x[LANES], top_y[LANES], middle[LANES], per_x[LANES], per_y[LANES];
  T A[LANES], B[LANES], F[LANES], most[LANES], S[LANES], O[LANES], rest[LANES];
  T s[LANES], p[LANES], q[LANES], wide[LANES], up[LANES], shift[LANES];
  T k1[LANES], k0[LANES], k[LANES], u1[LANES], u2[LANES], u3[LANES], half_x[LANES], half_y[LANES];
  T sum_x[LANES], sum_y[LANES], size[LANES], size_y[LANES], along_x[LANES], along_y[LANES], scale[LANES];
  T t[LANES], turn[LANES], over[LANES], most_tr[LANES], far[LANES], steep[LANES], at_zero[LANES];
  T c[Series<T>::kept][LANES];

  void order(const Order<T> &w, bool cross, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      // of an outcome of P that overflows, or of one that P has not, for which r is far below all others
      most_tr[i] = (T)smaller((double)Series<T>::limit, w.t < 0 ? -2.5 * w.t * Series<T>::limit : 1e9);
      t[i] = (T)w.t, turn[i] = cross && w.t == 0x1p-60 ? (T)0 : (T)w.t, over[i] = (T)(1 / w.t);
      steep[i] = (T)w.steep, at_zero[i] = cross || w.t > 0x1p-59;
      for (int k = 0; k < Series<T>::kept; k++) c[k][i] = (T)w.c[k];
    }
  }
};

template <class T> INLINE void fill(T *to, double value) { EACH_LANE to[i] = (T)value; }

// ---------------------------------------------------------------- entries of a tile, in order of what is done to them

// entries of a row from where they are stored to `step` apart; what is masked is nothing
template <class F, class T, bool PROBS> APART void load(const void *from, int64_t at, int64_t stride,
                                                        const uint8_t *__restrict where, int64_t hop, int64_t n,
                                                        int64_t step, T *__restrict to) {
  const typename F::X *__restrict x = (const typename F::X *)from + at;
  const T nothing = PROBS ? (T)0 : -(T)INFINITY;
  if (where)
    for (int64_t j = 0; j < n; j++) to[j * step] = where[j * hop] ? (T)F::load(x[j * stride]) : nothing;
  else if (stride == 1 && step == 1) SIMD
  for (int64_t j = 0; j < n; j++) to[j] = F::load(x[j]);
  else for (int64_t j = 0; j < n; j++) to[j * step] = F::load(x[j * stride]); }

template <class F, class T> APART void store(const T *__restrict from, int64_t step, int64_t n, T factor, T scale,
                                             int64_t stride, int64_t at, void *room) {
  using X = typename F::X;
  using Y = typename F::T;
  X *__restrict to = (X *)room + at;
  if (stride == 1 && step == 1) SIMD
  for (int64_t j = 0; j < n; j++) to[j] = (X)F::store((Y)(from[j] * factor) * (Y)scale);
  else for (int64_t j = 0; j < n; j++) to[j * stride] = (X)F::store((Y)(from[j * step] * factor) * (Y)scale); }

// those of a call
template <class T> struct Door {
  void (*load)(const void *, int64_t, int64_t, const uint8_t *, int64_t, int64_t, int64_t, T *);
  void (*store)(const T *, int64_t, int64_t, T, T, int64_t, int64_t, void *);
};
template <class F, class T, bool PROBS> Door<T> door() { return {load<F, T, PROBS>, store<F, T>}; }
template <class T, bool PROBS> Door<T> door_of(int64_t format) {
  if constexpr (sizeof(T) == 8)
    if (format == 1) return door<Float64, T, PROBS>();
  return format == 0 ? door<Float32, T, PROBS>() : format == 2 ? door<BFloat16, T, PROBS>() : door<Float16, T, PROBS>();
}

template <class T> struct Weighed {
  T a, b, f, d, r;
};

// one entry of P and of Q, in a lane of these numbers
// d is log b for the cross-entropy, with no value where that is too low to be a number times P
template <class T, bool PROBS, bool CROSS> INLINE Weighed<T> weighed(T x, T y, T top, T middle, T per_x, T per_y) {
  const T none = Series<T>::nothing;
  if (PROBS) {
    T a = x * per_x, b = y * per_y, base = middle * y, f = (x - base - rest_of(middle, y, base)) * per_x;
    T some = b > 0 ? b : (T)1, q = a / some, g = f / some;
    bool normal = q > Format<T>::tiny;
    T over, d = log_of(normal ? q : (T)1, g, (g < (T)0.25) & (g > (T)-0.25), (T)0, &over);
    d = normal ? d : none;
    d = (b > 0) | !(a > 0) ? d : (T)INFINITY;
    bool sound = (x >= 0) & (y >= 0);
    d = sound ? d : (T)NAN;
    T low = CROSS ? log_of(b > Format<T>::tiny ? b : (T)1, (y - top) * per_y, y > (T)0.75 * top, (T)0, &over) : d;
    if (CROSS) low = (b > Format<T>::tiny) & (low > -Series<T>::limit) ? low : a > 0 ? (T)NAN : -Series<T>::limit;
    return {a, b, sound ? f : (T)NAN, sound ? low : (T)NAN, d};
  }
  // of no weight, and of less still where Q has none either; NaN stays
  x = larger(none, x), y = larger(Series<T>::never, y);
  T gap = x - y, back = gap - x, rest = (x - (gap - back)) - (y + back), power;
  T d = (gap - middle) + rest, b = exp_low(y - top, (T)0), f = b * expm1_both(d, (T)0, &power);
  T a = d > Format<T>::least ? b * power : (T)0, low = y - top;
  if (CROSS) low = low > -Series<T>::limit ? low : (a > 0) | (d != d) ? (T)NAN : -Series<T>::limit;
  return {a, b, f, CROSS ? low : d, d};
}

// d, which becomes expm1(t r), or r itself where alpha = 1, q K and p exp(t r)
template <class T> struct Measured {
  T d, S, O;
};

template <class T, int K = 0> INLINE T series(const Lanes<T> *w, int64_t i, T z) {
  if constexpr (K + 1 == Series<T>::kept) return w->c[K][i];
  else return fma_(series<T, K + 1>(w, i, z), z, w->c[K][i]);
}

template <class T, int MODE> INLINE Measured<T> measured(T a, T b, T f, T d, const Lanes<T> *w, int64_t i) {
  if (MODE >= COST) {
    T p = a * w->p[i], e = 1, g = d, slope = d;
    if (MODE == COST_ANY) {
      g = expm1_both(smaller(w->most_tr[i], w->t[i] * d), (T)0, &e);
      slope = g * w->over[i];
      g = g < (T)-0.5 ? -1 / e : g;
    }
    return {g, p * slope, p * e};
  }
  T q = b * w->q[i], e = 1;
  if (MODE == TWO) {
    // q K = (p - q)**2/q, with no further exponential
    T r = fma_(w->up[i], (w->wide[i] > 0 ? a : f) / (b > 0 ? b : (T)1), w->shift[i]);
    return {r, q * (r * r), e};
  }
  T p = a * w->p[i], r = d - w->s[i], z = MODE == ONE ? r : w->steep[i] * r, g = r, slope = r;
  if (MODE >= ABOVE) {
    g = expm1_both(smaller(w->most_tr[i], w->t[i] * r), (T)0, &e);
    slope = g * w->over[i];
  }
  T near = q * (z * z) * series<T>(w, i, z), far = fma_(p, slope - 1, q);
  // next to -1 exp(t r) has the digits: -1/exp(t r) stands for both
  if (MODE == ANY) g = g < (T)-0.5 ? -1 / e : g;
  return {g, (z <= 1) & (z >= -1) ? near : far, p * e};
}

// f, which becomes the gradient along y, and d, that along x over alpha; their sums
template <class T> struct Differentiated {
  T f, d, y, x;
};

// of probabilities they are divided by these
template <class T, bool PROBS, bool CODED>
INLINE Differentiated<T> differentiated(T a, T b, T f, T d, const Lanes<T> *w, int64_t i) {
  T e = 1;
  if (CODED) {
    e = d < (T)-0.75 ? -1 / d : 1 + d;
    d = w->far[i] > 0 ? e : d < (T)-0.75 ? e - 1 : d;
  }
  T ratio = fma_(w->k1[i], d, w->k0[i]), h = a * ratio;
  T y = -fma_(w->turn[i], h, fma_(w->u1[i], f, fma_(w->u2[i], b, w->u3[i] * a)));
  if (CODED && PROBS) {
    // q - p exp(t v), where p is no part of the difference
    T p = a * w->p[i], q = b * w->q[i], tilted = a * e * w->k[i];
    y = larger(tilted, p) > 2 * q ? q - tilted : y;
  }
  if (!PROBS) return {y, h, y, h};
  return {b > 0 ? y / b : (T)0, (a > 0) | ((w->at_zero[i] > 0) & (b > 0)) ? ratio : (T)0, y, h};
}

// The Jensen-Shannon divergence of the mixture M = v P + w Q is Σ M (v K(x) + w K(y)), where x = p/M - 1 = w (p - q)/M,
// y = q/M - 1 = -v (p - q)/M, K(x) = (1 + x) log(1 + x) - x.
template <class T> struct Mixed {
  T f, d, S, x, y;
};

template <class T, int K = 1> INLINE T even_series(T z) {
  constexpr T c = (T)(1 / (K * (2.0 * K - 1)));
  if constexpr (K == Series<T>::even) return c;
  else return fma_(even_series<T, K + 1>(z), z, c);
}
template <class T, int K = 1> INLINE T odd_series(T z) {
  constexpr T c = (T)(1 / (K * (2.0 * K + 1)));
  if constexpr (K == Series<T>::even) return c;
  else return fma_(odd_series<T, K + 1>(z), z, c);
}
// twice K(x); q = 1 + x
template <class T> INLINE T twice_excess(T x, T q, T log_q, bool close) {
  const T z = x * x;
  return close ? z * (even_series(z) - x * odd_series(z)) : 2 * (q * log_q - x);
}

// log(p/M) and log(q/M), 0 where there is none, and what they add to their means; v and w are 1/2 if EVEN
template <class T, bool EVEN> INLINE Mixed<T> mixed(T a, T b, T f, const Lanes<T> *w, int64_t i, T along_x, T along_y) {
  T p = a * w->p[i], q = b * w->q[i], m = along_x * p + along_y * q, some = m > 0 ? m : (T)1, over;
  T gap = fma_(w->u1[i], f, fma_(w->u2[i], b, w->u3[i] * a)) / some, x = p / some, y = q / some;
  T above = along_y * gap, below = -along_x * gap;
  bool close_x = (above < (T)0.25) & (above > (T)-0.25), close_y = (below < (T)0.25) & (below > (T)-0.25);
  T log_x = log_of(x > Format<T>::tiny ? x : (T)1, above, close_x, (T)0, &over);
  T log_y = log_of(y > Format<T>::tiny ? y : (T)1, below, close_y, (T)0, &over);
  T along_p = p * log_x, along_q = q * log_y, z = above * above, S;
  if (EVEN) S = close_x ? m * z * even_series(z) / 2 : (along_p + along_q) / 2 + 0 * gap;
  else
    S = m / 2 * (along_x * twice_excess(above, x, log_x, close_x) + along_y * twice_excess(below, y, log_y, close_y));
  return {log_y, log_x, S, along_p, along_q};
}

// The same of all entries, with their sums. Short rows have a lane each, and its numbers; of a long row the numbers are
// those of lane 0, and so are the sums.
template <class T, bool LONG> APART void peaks(const T *x, int64_t m, T *__restrict top) {
  if (LONG) {
    T most = top[0];
    _Pragma("omp simd reduction(max : most)") for (int64_t k = 0; k < m * LANES; k++) most = larger(x[k], most);
    top[0] = most;
  } else
    for (int64_t j = 0; j < m; j++) EACH_LANE top[i] = larger(x[j * LANES + i], top[i]);
}

template <class T, bool PROBS, bool CROSS, bool LONG>
APART void weigh(const T *x, const T *y, T *a, T *b, T *f, T *d, int64_t m, Lanes<T> *__restrict w) {
  if (LONG) {
    const T top = w->top_y[0], middle = w->middle[0], per_x = w->per_x[0], per_y = w->per_y[0];
    T A = w->A[0], B = w->B[0], F = w->F[0], most = w->most[0], rest = w->rest[0];
    for (int64_t from = 0; from < m * LANES; from += STEP) {
      const int64_t to = smaller(from + STEP, m * LANES);
      // of the next block, or row, which is on its way while this one is computed
      for (int64_t k = from; k < to; k += 64 / sizeof(T))
        __builtin_prefetch(x + k + BLOCK, 0, 2), __builtin_prefetch(y + k + BLOCK, 0, 2);
      _Pragma("omp simd reduction(+ : A, B, F, rest) reduction(max : most)") for (int64_t k = from; k < to; k++) {
        Weighed<T> e = weighed<T, PROBS, CROSS>(x[k], y[k], top, middle, per_x, per_y);
        a[k] = e.a, b[k] = e.b, f[k] = e.f, d[k] = e.d;
        A += e.a, B += e.b, F += e.f, most = larger(e.r, most);
        if (CROSS) rest += e.d < 0 ? e.b : (T)0;
      }
    }
    w->A[0] = A, w->B[0] = B, w->F[0] = F, w->most[0] = most, w->rest[0] = rest;
  } else
    for (int64_t j = 0; j < m; j++, x += LANES, y += LANES, a += LANES, b += LANES, f += LANES, d += LANES) EACH_LANE {
        Weighed<T> e = weighed<T, PROBS, CROSS>(x[i], y[i], w->top_y[i], w->middle[i], w->per_x[i], w->per_y[i]);
        a[i] = e.a, b[i] = e.b, f[i] = e.f, d[i] = e.d;
        w->A[i] += e.a, w->B[i] += e.b, w->F[i] += e.f, w->most[i] = larger(e.r, w->most[i]);
        if (CROSS) w->rest[i] += e.d < 0 ? e.b : (T)0;
      }
}

template <class T, int MODE, bool LONG> APART void measure(const T *__restrict a, const T *__restrict b,
                                                           const T *__restrict f, T *__restrict d, int64_t m,
                                                           Lanes<T> *__restrict w) {
  if (LONG) {
    T S = 0, O = 0;
    _Pragma("omp simd reduction(+ : S, O)") for (int64_t k = 0; k < m * LANES; k++) {
      Measured<T> e = measured<T, MODE>(a[k], b[k], f[k], d[k], w, 0);
      d[k] = e.d, S += e.S, O += MODE >= ABOVE ? e.O : 0;
    }
    w->S[0] = S, w->O[0] = O;
  } else
    for (int64_t j = 0; j < m; j++, a += LANES, b += LANES, f += LANES, d += LANES) EACH_LANE {
        Measured<T> e = measured<T, MODE>(a[i], b[i], f[i], d[i], w, i);
        d[i] = e.d, w->S[i] += e.S, w->O[i] += MODE >= ABOVE ? e.O : 0;
      }
}

// into to_x and to_y, times factors where that is of a long row
template <class T, bool PROBS, bool CODED, bool LONG> APART void differentiate(const T *a, const T *b, const T *f,
                                                                               const T *d, T *to_x, T *to_y, int64_t m,
                                                                               Lanes<T> *__restrict w) {
  if (LONG) {
    T x = w->sum_x[0], y = w->sum_y[0], size = w->size[0], size_y = w->size_y[0];
    const T along_x = w->along_x[0], along_y = w->along_y[0], scale = w->scale[0];
    _Pragma("omp simd reduction(+ : x, y, size, size_y)") for (int64_t k = 0; k < m * LANES; k++) {
      Differentiated<T> e = differentiated<T, PROBS, CODED>(a[k], b[k], f[k], d[k], w, 0);
      to_y[k] = e.f * along_y * scale, to_x[k] = e.d * along_x * scale;
      x += e.x, y += e.y, size += larger(e.x, -e.x), size_y += larger(e.y, -e.y);
    }
    w->sum_x[0] = x, w->sum_y[0] = y, w->size[0] = size, w->size_y[0] = size_y;
  } else
    for (int64_t j = 0; j < m; j++, a += LANES, b += LANES, f += LANES, d += LANES, to_x += LANES, to_y += LANES)
      EACH_LANE {
        Differentiated<T> e = differentiated<T, PROBS, CODED>(a[i], b[i], f[i], d[i], w, i);
        to_y[i] = e.f, to_x[i] = e.d;
        w->sum_x[i] += e.x, w->sum_y[i] += e.y;
        w->size[i] += larger(e.x, -e.x), w->size_y[i] += larger(e.y, -e.y);
      }
}

template <class T, bool LONG, bool EVEN> APART void mix(const T *__restrict a, const T *__restrict b, T *__restrict f,
                                                        T *__restrict d, int64_t m, Lanes<T> *__restrict w, T along_x,
                                                        T along_y) {
  if (LONG) {
    T S = w->S[0], x = w->sum_x[0], y = w->sum_y[0];
    _Pragma("omp simd reduction(+ : S, x, y)") for (int64_t k = 0; k < m * LANES; k++) {
      Mixed<T> e = mixed<T, EVEN>(a[k], b[k], f[k], w, 0, along_x, along_y);
      f[k] = e.f, d[k] = e.d, S += e.S, x += e.x, y += e.y;
    }
    w->S[0] = S, w->sum_x[0] = x, w->sum_y[0] = y;
  } else
    for (int64_t j = 0; j < m; j++, a += LANES, b += LANES, f += LANES, d += LANES) EACH_LANE {
        Mixed<T> e = mixed<T, EVEN>(a[i], b[i], f[i], w, i, along_x, along_y);
        f[i] = e.f, d[i] = e.d, w->S[i] += e.S, w->sum_x[i] += e.x, w->sum_y[i] += e.y;
      }
}

// logarithms less their mean, in lanes, or in all that of lane 0
template <class T, bool LONG>
APART void subtract(const T *__restrict weights, T *__restrict g, int64_t m, const T *mean) {
  for (int64_t j = 0; j < m; j++, weights += LANES, g += LANES)
    EACH_LANE g[i] = weights[i] > 0 ? g[i] - mean[LONG ? 0 : i] : (T)0;
}

// an outcome with more than half of the mass takes minus the sum of the others
template <class T, bool PROBS> APART void balance(const T *__restrict weights, T *__restrict g, int64_t m,
                                                  const T *__restrict half, const T *__restrict sum) {
  for (int64_t j = 0; j < m; j++, weights += LANES, g += LANES)
    EACH_LANE g[i] -= weights[i] > half[i] ? (PROBS ? sum[i] / weights[i] : sum[i]) : (T)0;
}

// ---------------------------------------------------------------- plain sums

// exp(x) for x between -110 and 43; NaN stays
template <class T> INLINE T exp_of(T x) {
  using F = Format<T>;
  T y = fma_(x, F::log2e, F::magic), whole = y - F::magic, r = fma_(whole, -F::ln2_low, fma_(whole, -F::ln2_high, x));
  T p = fma_(r * r, F::excess(r), r);
  T power = bits<T>((bits<typename F::U>(y) << F::mantissa) + ((typename F::U)(F::bias + F::lift) << F::mantissa));
  return fma_(p, power, power) * F::lowered;
}
// of the logits x and y: in units of the largest, so that nothing is 0; w, where nothing less nothing is nothing
template <class T> struct Exponents {
  T u, v, w;
};
template <class T, bool POWER> INLINE Exponents<T> exponents(T x, T y, T top_x, T top_y, T along_u, T along_v) {
  const T nothing = Format<T>::nothing, u = x - top_x, v = y - top_y, w = POWER ? fma_(along_u, u, along_v * v) : u - v;
  return {larger(nothing, u), larger(nothing, v), POWER ? larger(w, nothing) : w};
}

// What the logits of a block are next to, w = along_u u + along_v v, and sums: of exp(u), exp(v) and C of the weights
// exp(w), or exp(u) if alpha = 1, of these times u and v, and the largest exponent.
template <class T> struct Plain {
  T top_x, top_y, along_u, along_v, A, B, C, U, V, most;
  T mean, size, per_a, per_b, per_c, factor_x, factor_y, scale;
};

template <class T, bool POWER> APART void plain_sums(const T *x, const T *y, int64_t m, Plain<T> *__restrict w) {
  const T top_x = w->top_x, top_y = w->top_y, along_u = w->along_u, along_v = w->along_v;
  T most = w->most;
  for (int64_t from = 0; from < m; from += STEP / 16) {
    const int64_t to = smaller(from + STEP / 16, m);
    T a[LANES] = {}, b[LANES] = {}, c[LANES] = {}, u[LANES] = {}, v[LANES] = {}, top[LANES];
    // of the next block, or row, which is on its way while this one is computed
    for (int64_t k = from * LANES; k < to * LANES; k += 64 / sizeof(T))
      __builtin_prefetch(x + k + BLOCK, 0, 2), __builtin_prefetch(y + k + BLOCK, 0, 2);
    fill(top, most);
    for (int64_t k = from * LANES; k < to * LANES; k += LANES) EACH_LANE {
        const Exponents<T> e = exponents<T, POWER>(x[k + i], y[k + i], top_x, top_y, along_u, along_v);
        const T p = exp_of(e.u), weight = POWER ? exp_of(e.w) : p;
        a[i] += p, b[i] += exp_of(e.v), u[i] = fma_(weight, e.u, u[i]), v[i] = fma_(weight, e.v, v[i]);
        top[i] = larger(e.w, top[i]);
        if (POWER) c[i] += weight;
      }
    T A = 0, B = 0, C = 0, U = 0, V = 0;
    _Pragma("omp simd reduction(+ : A, B, C, U, V) reduction(max : most)") for (int64_t i = 0; i < LANES; i++) {
      A += a[i], B += b[i], C += c[i], U += u[i], V += v[i], most = larger(top[i], most);
    }
    w->A += A, w->B += B, w->C += POWER ? C : A, w->U += U, w->V += V;
  }
  w->most = most;
}

// squares of the gradients, and of what they are differences of
template <class T> struct Squares {
  T x, y, parts_x, parts_y;
};

template <class T, bool POWER>
APART void plain_slopes(const T *x, const T *y, T *to_x, T *to_y, int64_t m, const Plain<T> *w, Squares<T> *sums) {
  const Plain<T> z = *w;
  T square_x = 0, square_y = 0, parts_x = 0, parts_y = 0;
  _Pragma("omp simd reduction(+ : square_x, square_y, parts_x, parts_y)") for (int64_t k = 0; k < m * LANES; k++) {
    const Exponents<T> e = exponents<T, POWER>(x[k], y[k], z.top_x, z.top_y, z.along_u, z.along_v);
    const T p = exp_of(e.u) * z.per_a, q = exp_of(e.v) * z.per_b, weight = POWER ? exp_of(e.w) * z.per_c : p;
    const T exponent = z.along_u * e.u + z.along_v * e.v;
    const T h = POWER ? weight - p : p * (exponent - z.mean), g = q - weight;
    const T part_x = POWER ? weight + p : p * (z.size - e.u - e.v), part_y = q + weight;
    to_x[k] = h * z.factor_x * z.scale, to_y[k] = g * z.factor_y * z.scale;
    square_x = fma_(h, h, square_x), parts_x = fma_(part_x, part_x, parts_x);
    square_y = fma_(g, g, square_y), parts_y = fma_(part_y, part_y, parts_y);
  }
  sums->x += square_x, sums->y += square_y, sums->parts_x += parts_x, sums->parts_y += parts_y;
}

// What C is the mean of: r = log(p/q), or log q for the cross-entropy, at alpha = 1, else exp(t r), at 2 without both.
enum Way { LOG, POWER, SQUARE };
template <class T, int WAY, bool CROSS> INLINE T tilted(T p, T q, T t, T *ratio, T *r) {
  T over, base = *ratio = p / q;
  if (CROSS) base = q;
  if (WAY == SQUARE) return *r = 0, base;
  *r = log_of(larger(Format<T>::tiny, base), (T)0, false, (T)0, &over);
  return WAY == LOG ? *r : exp_of(larger(Format<T>::nothing, t * *r));
}

// Sums of a block of probabilities: of p, q, C, and of |r| with the weights of C; the largest t r or power, and the
// least p and q. Then what the derivatives need.
template <class T> struct Quotients {
  T t, A, B, C, R, most, least_p, least_q;
  T mean, per_a, per_b, per_c, factor_x, factor_y, scale;
};

template <class T, int WAY, bool CROSS>
APART void quotient_sums(const T *__restrict x, const T *__restrict y, int64_t m, Quotients<T> *__restrict w) {
  const T t = w->t;
  T most = w->most, least_p = w->least_p, least_q = w->least_q;
  for (int64_t from = 0; from < m * LANES; from += 4 * STEP) {
    const int64_t to = smaller(from + 4 * STEP, m * LANES);
    T A = 0, B = 0, C = 0, R = 0;
    _Pragma(
        "omp simd reduction(+ : A, B, C, R) reduction(max : most) reduction(min : least_p, least_q)") for (int64_t k =
                                                                                                               from;
                                                                                                           k < to;
                                                                                                           k++) {
      T ratio, r;
      const T p = x[k], q = y[k], e = tilted<T, WAY, CROSS>(p, q, t, &ratio, &r), c = p * e;
      const T weight = WAY == LOG ? p : c, top = WAY == SQUARE ? e : t * r;
      A += p, B += q, C += c, R += weight * larger(r, -r);
      most = top > most ? top : most, least_p = p < least_p ? p : least_p, least_q = q < least_q ? q : least_q;
    }
    w->A += A, w->B += B, w->C += C, w->R += R;
  }
  w->most = most, w->least_p = least_p, w->least_q = least_q;
}

template <class T, int WAY, bool CROSS> APART void quotient_slopes(const T *x, const T *y, T *to_x, T *to_y, int64_t m,
                                                                   const Quotients<T> *w, Squares<T> *sums) {
  const Quotients<T> z = *w;
  T square_x = 0, square_y = 0, parts_x = 0, parts_y = 0;
  _Pragma("omp simd reduction(+ : square_x, square_y, parts_x, parts_y)") for (int64_t k = 0; k < m * LANES; k++) {
    T ratio, r;
    const T e = tilted<T, WAY, CROSS>(x[k], y[k], z.t, &ratio, &r), u = e * z.per_c;
    const T v = WAY == LOG ? ratio * z.per_a : ratio * u, h = u - z.mean, g = z.per_b - v;
    const T part_x = WAY == LOG ? z.per_a * (1 + larger(r, -r)) : u * (1 + larger(z.t * r, -z.t * r));
    to_x[k] = h * z.factor_x * z.scale, to_y[k] = g * z.factor_y * z.scale;
    square_x = fma_(h, h, square_x), parts_x = fma_(part_x, part_x, parts_x);
    const T part_y = WAY == POWER ? v * (1 + larger(z.t * r, -z.t * r)) : v;
    square_y = fma_(g, g, square_y), parts_y = fma_(part_y, part_y, parts_y);
  }
  sums->x += square_x, sums->y += square_y, sums->parts_x += parts_x, sums->parts_y += parts_y;
}

// ---------------------------------------------------------------- the Jensen-Renyi divergence of order 2

// With p2 = sum p**2, q2, g = p - q, E = sum g**2, G = sum g (p + q) = p2 - q2 and W = (p2 + q2)/2 - E/4, that of M:
// J = -log1p((G**2/(sqrt p2 + sqrt q2)**2/2 - E/4)/sqrt(p2 q2)), dJ/dp = g/(2 W) - p (G/2 + E/4)/(p2 W) + G/(4 W),
// dJ/dq = -g/(2 W) + q (G/2 - E/4)/(q2 W) - G/(4 W). g = f - F q, where f = (x - middle y)/A and F = sum f.
template <class T> APART void totals(const T *x, const T *y, int64_t m, Lanes<T> *__restrict w) {
  for (int64_t j = 0; j < m; j++, x += LANES, y += LANES) EACH_LANE {
      w->A[i] += x[i], w->B[i] += y[i];
      w->rest[i] = smaller(w->rest[i], smaller(x[i], y[i]));
    }
}
template <class T> INLINE T gap_of(T x, T y, T middle) {
  T base = middle * y;
  return x - base - rest_of(middle, y, base);
}
template <class T> APART void squares(const T *x, const T *y, int64_t m, Lanes<T> *__restrict w) {
  for (int64_t j = 0; j < m; j++, x += LANES, y += LANES) EACH_LANE {
      const T p = x[i] * w->per_x[i], q = y[i] * w->per_y[i], f = gap_of(x[i], y[i], w->middle[i]) * w->per_x[i];
      w->F[i] += f, w->S[i] = fma_(p, p, w->S[i]), w->O[i] = fma_(q, q, w->O[i]), w->size[i] = fma_(f, f, w->size[i]);
      w->sum_x[i] = fma_(f, q, w->sum_x[i]), w->sum_y[i] = fma_(f, p + q, w->sum_y[i]);
    }
}
template <class T>
APART void square_slopes(const T *x, const T *y, T *__restrict to_x, T *__restrict to_y, int64_t m, const Lanes<T> *w) {
  for (int64_t j = 0; j < m; j++, x += LANES, y += LANES, to_x += LANES, to_y += LANES) EACH_LANE {
      const T p = x[i] * w->per_x[i], q = y[i] * w->per_y[i], f = gap_of(x[i], y[i], w->middle[i]) * w->per_x[i];
      const T g = fma_(w->u1[i], f - w->u2[i] * q, w->u3[i]);
      to_x[i] = p + q > 0 ? fma_(p, w->k1[i], g) : (T)0, to_y[i] = p + q > 0 ? fma_(q, w->k0[i], -g) : (T)0;
    }
}

// ---------------------------------------------------------------- numbers of a row, or of a block of one

INLINE double exp_(double x) {
  double e;
  expm1_both(x, 0.0, &e);
  return x < Format<double>::least ? 0 : e;
}
INLINE double expm1_(double x) {
  double e;
  return expm1_both(x, 0.0, &e);
}
// log(q), and log(1 + y) near 1
INLINE double log_sum(double q, double y) {
  double over;
  return log_of(q, y, (y < 0.25) & (y > -0.25), 0.0, &over);
}

// log(A/B), and what `measure` needs of it
template <class T> INLINE void center(Lanes<T> *w, int64_t i, double A, double B, double F) {
  double u = F / B, s = log_sum(A / B, u);
  bool wide = u <= -0.5;
  w->s[i] = (T)s, w->p[i] = (T)(1 / A), w->q[i] = (T)(1 / B);
  w->wide[i] = wide ? (T)1 : (T)0;
  w->up[i] = (T)(B / A), w->shift[i] = (T)(wide ? -1 : -u * B / A);
}

// B less 1, for the largest, from the sum of the others but those that are as large
INLINE double below(double B, double rest) { return rest + ((double)(int32_t)(B - rest + 0.5) - 1); }

// D from S, and 1 + t S from O where that is more exact; NaN where they are not to be trusted. The cross-entropy is
// log B - D, that of its sums.
template <class T> INLINE double conclude(double S, double *O, double most, double t, double steep, bool one,
                                          bool cross, double B, double rest) {
  double x = t * S, whole = x > -0.5 ? 1 + x : *O, D = one ? S : 0.0 + log_sum(whole, x) / t;
  D = cross ? log_sum(B, below(B, rest)) - D : D;
  bool known = (most * steep < Series<T>::limit) & (whole > 1e-6) & (D - D == 0) & (S - S == 0);
  *O = whole;
  return known ? D : (double)NAN;
}

// h = a (k1 expm1(t r) + k0), or a (k1 exp(t r) + k0) if the distributions are far from each other, and
// p - q = u1 f + u2 b + u3 a: p and q are what a and b are multiplied by, `growth` is expm1(t ds), r in the row being
// that next to s and ds, and `gap` expm1(log(p/q))
template <class T> INLINE void slopes(Lanes<T> *w, int64_t i, double S, double O, double t, bool one, double p,
                                      double q, double ds, double growth, double gap) {
  bool close = p < 4 * q, far = t * S <= -0.5;
  const double tilt = growth < -0.5 ? exp_(t * ds) : growth + 1;
  w->far[i] = far ? (T)1 : (T)0;
  w->p[i] = (T)p, w->q[i] = (T)q, w->k[i] = (T)(p * tilt / O);
  w->k1[i] = (T)(one ? p : p * tilt / (t * O));
  w->k0[i] = (T)(one ? p * (ds - S) : far ? -p / t : p * (growth / t - S) / O);
  w->u1[i] = (T)(close ? p : 0);
  w->u2[i] = (T)(close ? q * gap : -q);
  w->u3[i] = (T)(close ? 0 : p);
  w->half_x[i] = (T)(0.5 / p), w->half_y[i] = (T)(0.5 / q);
}

// J of the sums that `squares` are, NaN where its terms or those of g cancel, and what its slopes need
template <class T> INLINE double second(Lanes<T> *w, int64_t i, const double (*sums)[LANES], double faint) {
  const double F = sums[0][i], p = sums[1][i], q = sums[2][i], E = sums[3][i] + F * (F * q - 2 * sums[4][i]);
  const double G = sums[5][i] - F * ((p + q - E) / 2 + q), W = (p + q) / 2 - E / 4, apart = G / (sqrt(p) + sqrt(q));
  const double root = sqrt(p * q), x = (apart * apart / 2 - E / 4) / root, J = 0.0 - log_sum(1 + x, x);
  w->u1[i] = (T)(0.5 / W), w->u2[i] = (T)F, w->u3[i] = (T)(G / (4 * W));
  w->k1[i] = (T)(-(G / 2 + E / 4) / (p * W)), w->k0[i] = (T)((G / 2 - E / 4) / (q * W));
  return (larger(x, -x) >= faint * E / root) & (faint * faint * F * F <= E) ? J : (double)NAN;
}
template <class T>
APART void second_lanes(Lanes<T> *__restrict w, double *__restrict J, const double (*sums)[LANES], double faint) {
  EACH_LANE J[i] = second(w, i, sums, faint);
}

template <class T> APART void center_lanes(Lanes<T> *__restrict w) {
  EACH_LANE center(w, i, w->A[i], w->B[i], w->F[i]);
}
template <class T> APART void conclude_lanes(Lanes<T> *__restrict w, double *__restrict D, bool one, bool cross) {
  EACH_LANE {
    double O = w->O[i];
    bool sound = (w->A[i] > 0) & (w->B[i] > 0);
    D[i] = conclude<T>(w->S[i], &O, w->most[i] - w->s[i], w->t[i], w->steep[i], one, cross, w->B[i], w->rest[i]);
    D[i] = sound ? D[i] : (double)NAN;
    w->O[i] = (T)O;
  }
}
template <class T> APART void slope_lanes(Lanes<T> *__restrict w, bool one) {
  EACH_LANE slopes(w, i, w->S[i], w->O[i], w->t[i], one, 1.0 / w->A[i], 1.0 / w->B[i], 0.0, 0.0,
                   -(double)w->F[i] / w->A[i]);
}

// The sums of a block of a row, in units of its own; those of a row are in units of one of its blocks.
struct Sums {
  double top, middle, per_x, per_y, A, B, F, s, S, O, most, rest;
};

// ---------------------------------------------------------------- rows

template <class T, bool PROBS> struct Pairs {
  const Task &task;
  const Door<T> door, gradients;
  Lanes<T> &w;
  T *a, *b, *f, *d;
  Sums *blocks;
  const bool graded, kept;
  Order<T> order = {};

  static constexpr double nothing = PROBS ? 0 : -INFINITY;

  void prepare(int64_t row, int64_t first, int64_t last) {
    order.set(task.alpha[row * task.order_row], task.t[row * task.order_row], task.cross);
    w.order(order, task.cross, first, last);
  }
  // how small the gradient may be next to its parts: doubles have digits of floats to spare
  double faint() const { return sizeof(T) == 8 && task.format != 1 ? 1e-7 : 0.1; }
  // Of a gradient that is lost next to s all is once more formed next to the middle: of r = d all but S stays as it is,
  // and S is the sum of the cross-entropy.
  bool beside = false;
  Mode mode() const {
    if (task.cross || beside) return task.order_row || order.t != 0x1p-60 ? COST_ANY : COST;
    return task.order_row || order.t < 0 ? ANY : order.t == 0x1p-60 ? ONE : order.t == 1 ? TWO : ABOVE;
  }
  bool one() const { return mode() == ONE || mode() == COST; }
  bool coded() const { return mode() == ANY || mode() == COST_ANY; }
  // what the gradient along P has before it
  double outer() const { return task.cross ? -1 : order.alpha; }

  void read(int64_t row, int64_t from, int64_t n, int64_t step, T *to_x, T *to_y) {
    const uint8_t *where = task.where ? task.where + row * task.where_row + from * task.where_entry : nullptr;
    door.load(task.x, row * task.x_row + from * task.x_entry, task.x_entry, where, task.where_entry, n, step,
              order.swapped ? to_y : to_x);
    door.load(task.y, row * task.y_row + from * task.y_entry, task.y_entry, where, task.where_entry, n, step,
              order.swapped ? to_x : to_y);
  }

  // gradients of some entries, times what they have in common
  void write(int64_t row, bool swapped, double p, double q, int64_t from, int64_t n, int64_t step, const T *along_p,
             const T *along_q) {
    const T scale = scale_of(row), u = (T)p, v = (T)q;
    if (task.along_x)
      gradients.store(swapped ? along_q : along_p, step, n, swapped ? v : u, scale, task.along_x_entry,
                      row * task.along_x_row + from * task.along_x_entry, task.along_x);
    if (task.along_y)
      gradients.store(swapped ? along_p : along_q, step, n, swapped ? u : v, scale, task.along_y_entry,
                      row * task.along_y_row + from * task.along_y_entry, task.along_y);
  }

  T scale_of(int64_t row) const { return (T)(task.scale ? number(task.scale, row * task.scale_row) : 1); }
  // where a gradient along P (0) or Q (1) is wanted as it is computed, `other` if it is not wanted, null if otherwise
  T *wanted(int i, int64_t row, int64_t from, T *other) const {
    const bool x = order.swapped ? i == 1 : i == 0;
    T *to = (T *)(x ? task.along_x : task.along_y);
    if (!to) return other;
    if (task.gradient_format != (sizeof(T) == 8) || (x ? task.along_x_entry : task.along_y_entry) != 1) return nullptr;
    return to + row * (x ? task.along_x_row : task.along_y_row) + from;
  }
  // values and scales are of the type that sums are formed in
  double number(const void *x, int64_t i) const {
    return task.format == 1 ? ((const double *)x)[i] : ((const float *)x)[i];
  }
  // the value of a row, which is flagged 1 if there is none; one whose gradient alone is lost has it, and is flagged 2
  bool finish(int64_t row, double D, double factor) {
    const double value = D * factor;
    const bool known = task.flags[row] == 2, flagged = !(value - value == 0);
    if (!known && task.format == 1) ((double *)task.value)[row] = value;
    if (!known && task.format != 1) ((float *)task.value)[row] = (float)value;
    task.flags[row] = flagged ? (known ? 2 : 1) : 0;
    return flagged;
  }

  // whether h has lost too many digits of its parts; then the row is flagged
  bool faded(int64_t row, double size, double size_y, double S, double O, double s, double t) {
    const double rest = task.cross || beside ? 0 : larger(s, -s) / (1 + t);
    bool lost = size < faint() * (smaller(larger(S, -S) / O, 1 / larger(t, -t)) + rest);
    lost = lost || size_y < faint() * larger(t, -t) * size;
    if (task.flags[row]) return false;
    task.flags[row] = lost ? 2 : 0;
    return lost;
  }
  // what the entries of a lane are next to; of numbers that are too far from 1, or from 0 if they are logits, NaN
  void level(int64_t lanes) {
    const T least = Series<T>::least;
    for (int64_t i = 0; i < lanes; i++) {
      T x = w.top_x[i], y = w.top_y[i];
      bool usual = (PROBS ? smaller(x, y) > least : y > -1 / least) & (larger(x, y) < 1 / least);
      w.middle[i] = !usual ? (T)NAN : PROBS ? x / y : x > -1 / least ? x - y : (T)0;
      w.per_x[i] = usual ? 1 / x : (T)NAN, w.per_y[i] = 1 / y;
    }
  }
  template <bool LONG> void mix_all(const T *a, const T *b, T *f, T *d, int64_t m) {
    const bool even = task.share_x == 0.5 && task.share_y == 0.5;
    (even ? mix<T, LONG, true> : mix<T, LONG, false>)(a, b, f, d, m, &w, (T)task.share_x, (T)task.share_y);
  }
  template <bool LONG> void sum(int64_t m, T *a, T *b, T *f, T *d) {
    Mode way = mode();
    if (way == ONE) measure<T, ONE, LONG>(a, b, f, d, m, &w);
    if (way == TWO) measure<T, TWO, LONG>(a, b, f, d, m, &w);
    if (way == ABOVE) measure<T, ABOVE, LONG>(a, b, f, d, m, &w);
    if (way == ANY) measure<T, ANY, LONG>(a, b, f, d, m, &w);
    if (way == COST) measure<T, COST, LONG>(a, b, f, d, m, &w);
    if (way == COST_ANY) measure<T, COST_ANY, LONG>(a, b, f, d, m, &w);
  }

  template <bool LONG> void gradients_of(int64_t m, const T *a, const T *b, T *f, T *d, T *to_x, T *to_y) {
    if (coded()) differentiate<T, PROBS, true, LONG>(a, b, f, d, to_x, to_y, m, &w);
    else differentiate<T, PROBS, false, LONG>(a, b, f, d, to_x, to_y, m, &w);
  }

  // up to LANES short rows
  int64_t tile(const int64_t *rows, int64_t count) {
    const int64_t n = task.n;
    bool swapped[LANES];
    double factor[LANES], alpha[LANES], D[LANES];
    for (int64_t k = 0; k < n * LANES; k++) a[k] = b[k] = (T)nothing;
    for (int64_t i = 0; i < count; i++) {
      if (task.order_row) prepare(rows[i], i, i + 1);
      swapped[i] = order.swapped, alpha[i] = outer(), factor[i] = order.factor;
      read(rows[i], 0, n, LANES, a + i, b + i);
    }
    T *zero[] = {w.A, w.B, w.F, w.S, w.O, w.rest, w.sum_x, w.sum_y, w.size, w.size_y};
    for (T *sum : zero) fill(sum, 0);
    fill(w.most, -INFINITY), fill(w.top_x, nothing), fill(w.top_y, nothing);
    peaks<T, false>(a, n, w.top_x);
    peaks<T, false>(b, n, w.top_y);
    level(LANES);
    (task.cross == 1 ? weigh<T, PROBS, true, false> : weigh<T, PROBS, false, false>)(a, b, a, b, f, d, n, &w);
    center_lanes(&w);
    if (task.cross == 2) {
      slope_lanes(&w, true);
      mix_all<false>(a, b, f, d, n);
      subtract<T, false>(a, d, n, w.sum_x);
      subtract<T, false>(b, f, n, w.sum_y);
      int64_t flagged = 0;
      for (int64_t i = 0; i < count; i++) {
        flagged += finish(rows[i], w.A[i] > 0 && w.B[i] > 0 ? w.S[i] : NAN, 1);
        if (graded)
          write(rows[i], false, w.p[i] * w.per_x[i] * task.share_x, w.q[i] * w.per_y[i] * task.share_y, 0, n, LANES,
                d + i, f + i);
      }
      return flagged;
    }
    sum<false>(n, a, b, f, d);
    conclude_lanes(&w, D, one(), task.cross);
    int64_t flagged = 0;
    for (int64_t i = 0; i < count; i++) flagged += finish(rows[i], D[i], factor[i]);
    if (!graded) return flagged;
    slope_lanes(&w, one());
    gradients_of<false>(n, a, b, f, d, d, f);
    balance<T, PROBS>(a, d, n, w.half_x, w.sum_x);
    balance<T, PROBS>(b, f, n, w.half_y, w.sum_y);
    for (int64_t i = 0; i < count; i++) {
      flagged += faded(rows[i], w.size[i], w.size_y[i], w.S[i], w.O[i], w.s[i], w.t[i]);
      double p = alpha[i] * factor[i], q = factor[i];
      if (PROBS) p *= w.per_x[i], q *= w.per_y[i];
      write(rows[i], swapped[i], p, q, 0, n, LANES, d + i, f + i);
    }
    if (beside || task.cross || sizeof(T) == 4) return flagged;
    int64_t lost[LANES], more = 0;
    for (int64_t i = 0; i < count; i++)
      if (task.flags[rows[i]] == 2 && D[i] - D[i] == 0) lost[more++] = rows[i];
    return more ? flagged - more + again([&] { return tile(lost, more); }) : flagged;
  }
  template <class F> int64_t again(F f) {
    beside = true;
    int64_t flagged = f();
    beside = false;
    return flagged;
  }

  // log(p/q) of numbers that the logits are next to, or the probabilities are divided by
  static double distance(double p, double q) { return PROBS ? log_sum(p / q, (p - q) / q) : p - q; }
  // log of what the middle of a block is above that of the row; of one where P has nothing
  static double lift(const Sums &b, const Sums &row) { return b.A == 0 ? -800 : distance(b.middle, row.middle); }

  double excess(double r, double *e) const {
    double z = r * order.steep, k = order.c[Series<T>::kept - 1];
    *e = exp_(order.alpha * r);
    for (int j = Series<T>::kept - 2; j >= 0; j--) k = k * z + order.c[j];
    double m = one() ? r : expm1_(order.t * r) / order.t;
    return z <= 1 && z >= -1 ? z * z * k : exp_(r) * (m - 1) + 1;
  }

  void merge(Sums *row, Sums b) const {
    if (row->B == 0 || row->A == 0) {
      Sums other = *row;
      *row = b, b = other;
    }
    if (b.B == 0) return;
    double above = distance(b.top, row->top), gap = lift(b, *row) + (b.s - row->s), down[2] = {0, above};
    if (above > 0) {
      row->B *= exp_(-above), row->top = b.top, row->rest = b.rest + row->B;
      down[0] = -above, down[1] = 0;
    } else b.B *= exp_(above), row->rest += b.B;
    double B = row->B + b.B, one = row->B / B, two = b.B / B, growth = two * expm1_(gap), e1, e2;
    double rise = log_sum(one + two * exp_(gap), growth);
    if (beside) down[0] = 0, down[1] = lift(b, *row);
    if (task.cross || beside) {
      one *= exp_(-rise), two *= exp_(gap - rise);
      const double low = expm1_(order.t * down[0]), high = expm1_(order.t * down[1]);
      e1 = exp_(order.t * down[0]), e2 = exp_(order.t * down[1]);
      row->S = one * (low / order.t + e1 * row->S) + two * (high / order.t + e2 * b.S);
      row->O = one * e1 * row->O + two * e2 * b.O;
    } else {
      double k1 = excess(-rise, &e1), k2 = excess(gap - rise, &e2);
      row->S = one * (k1 + e1 * row->S) + two * (k2 + e2 * b.S);
      row->O = one * e1 * row->O + two * e2 * b.O;
    }
    row->most = larger(row->most - rise, b.most + gap - rise);
    row->s += rise, row->B = B;
    row->A = row->A == 0 ? 0 : B * exp_(row->s);
  }

  // Entries as they are stored, in groups of LANES; those after `whole` of them are read, and filled up with nothing.
  struct Span {
    const T *x, *y, *rest_x, *rest_y;
    int64_t whole, rest;
  };
  const T *entries(const void *x, int64_t at, int64_t stride) const {
    return stride == 1 && !task.where && task.format == (sizeof(T) == 8) ? (const T *)x + at : nullptr;
  }
  Span span(int64_t row, int64_t from, int64_t n, T *a, T *b) {
    const T *x = entries(task.x, row * task.x_row + from * task.x_entry, task.x_entry);
    const T *y = entries(task.y, row * task.y_row + from * task.y_entry, task.y_entry);
    const int64_t all = (n + LANES - 1) / LANES, whole = n / LANES, done = whole * LANES, direct = x && y ? done : 0;
    for (int64_t k = n; k < all * LANES; k++) a[k] = b[k] = (T)nothing;
    if (n > direct) read(row, from + direct, n - direct, 1, a + direct, b + direct);
    if (!direct) x = a, y = b;
    const bool turned = direct && order.swapped;
    return {turned ? y : x, turned ? x : y, a + done, b + done, whole, all - whole};
  }
  void top(const Span &e) {
    w.top_x[0] = w.top_y[0] = (T)nothing;
    peaks<T, true>(e.x, e.whole, w.top_x);
    peaks<T, true>(e.y, e.whole, w.top_y);
    peaks<T, true>(e.rest_x, e.rest, w.top_x);
    peaks<T, true>(e.rest_y, e.rest, w.top_y);
  }

  // a block of a long row: its entries are left in the arrays from `at` on
  Sums block(int64_t row, int64_t from, int64_t n, int64_t at) {
    const int64_t m = (n + LANES - 1) / LANES, done = n / LANES * LANES;
    T *a = this->a + at, *b = this->b + at, *f = this->f + at, *d = this->d + at;
    const Span e = span(row, from, n, a, b);
    top(e);
    Sums z = {};
    const T none = PROBS ? (T)0 : -1 / Series<T>::least;
    if (w.top_x[0] <= none && w.top_y[0] <= none) return z;
    level(1);
    w.A[0] = w.B[0] = w.F[0] = w.rest[0] = 0, w.most[0] = -(T)INFINITY;
    const auto weigh_all = task.cross == 1 ? weigh<T, PROBS, true, true> : weigh<T, PROBS, false, true>;
    weigh_all(e.x, e.y, a, b, f, d, e.whole, &w);
    weigh_all(e.rest_x, e.rest_y, a + done, b + done, f + done, d + done, e.rest, &w);
    z.top = w.top_y[0], z.middle = w.middle[0], z.A = w.A[0], z.B = w.B[0], z.F = w.F[0];
    z.per_x = PROBS ? w.per_x[0] : 1, z.per_y = PROBS ? w.per_y[0] : 1;
    center(&w, 0, z.A, z.B, z.F);
    z.s = log_sum(z.A / z.B, z.F / z.B), z.most = w.most[0] - z.s;
    if (task.cross == 2) return z;
    if (z.A == 0) z.s = z.most = w.s[0] = w.p[0] = 0;
    sum<true>(m, a, b, f, d);
    z.S = w.S[0], z.O = w.O[0], z.rest = below(z.B, w.rest[0]);
    if (order.t * z.S > -0.5) z.O = 1 + order.t * z.S;
    return z;
  }

  // Plain sums of a row, in units of its largest logits.
  struct Far {
    double top_x, top_y, A, B, C, U, V, most, along_u, along_v;

    void raise(double x, double y) {
      const double up_x = top_x - x, up_y = top_y - y, up_c = along_u * up_x + along_v * up_y, up = exp_(up_c);
      most += up_c, A *= exp_(up_x), B *= exp_(up_y), U = up * (U + up_x * C), V = up * (V + up_y * C);
      C *= up, top_x = x, top_y = y;
    }
  };

  // a long row of probabilities by plain sums, flagged as below
  template <int WAY, bool CROSS> int64_t quotients(int64_t row) {
    const auto sums = quotient_sums<T, WAY, CROSS>;
    const auto slopes = quotient_slopes<T, WAY, CROSS>;
    const bool one = WAY == LOG;
    const int64_t n = task.n;
    const double t = order.t, size = larger(t, -t), share = CROSS ? 1 : order.alpha;
    Quotients<T> z = {};
    z.t = (T)t, z.least_p = z.least_q = (T)INFINITY, z.most = -(T)INFINITY;
    // of what fills up the last group: what it adds is known
    int power;
    frexp((double)n, &power);
    const double filler = ldexp(1.0, -power);
    double A = 0, B = 0, C = 0, R = 0, D = 0;
    // the first entries tell what is to come
    for (int64_t from = 0, to; from < n; from = to) {
      to = smaller(from + (from ? BLOCK : STEP), n);
      const Span e = span(row, from, to - from, a, b);
      const int64_t whole = (e.whole + e.rest) * LANES;
      const double added = (double)(whole - (to - from)) * filler;
      for (int64_t k = to - from; k < whole; k++) a[k] = CROSS ? 0 : (T)filler, b[k] = (T)filler;
      z.A = z.B = z.C = z.R = 0;
      sums(e.x, e.y, e.whole, &z);
      sums(e.rest_x, e.rest_y, e.rest, &z);
      A += z.A - (CROSS ? 0 : added), B += z.B - added, C += z.C - (CROSS || one ? 0 : added), R += z.R;
      const double log_a = log_sum(A, A - 1), log_b = log_sum(B, B - 1), log_c = one ? 0 : log_sum(C, C - 1);
      const double mean = one ? C / A : (log_c - log_a) / t;
      D = log_b + (CROSS ? -mean : mean - log_a);
      const double rounded = one ? 1 + R / A : 1 + (1 + share) / size + R / C;
      const bool usual = z.least_p >= 0 && z.least_q >= Format<T>::tiny &&
                         (one || (C > 1e-12 * A && z.most < (WAY == SQUARE ? 1e15 : 40)));
      if (!usual || !(rounded <= (to < n ? 2 : 1) * TERMS * D)) return 1;
    }
    if (!(smaller(A, B) > 0.125 && larger(A, B) < 8)) return 1;
    if (finish(row, D, order.factor)) return 1;
    if (!graded) return 0;
    // logarithms of outcomes that P has not
    if (!CROSS && z.least_p < Format<T>::tiny) return task.flags[row] = 2, 1;
    z.per_a = (T)(1 / A), z.per_b = (T)(1 / B), z.per_c = one ? z.per_a : (T)(1 / C);
    z.mean = (T)(one ? C / A / A : 1 / A);
    const double factors[2] = {(CROSS ? -1 : order.alpha) * order.factor / (one ? 1 : t), order.factor};
    Squares<T> squares = {};
    for (int64_t from = 0; from < n; from += BLOCK) {
      const int64_t count = smaller(BLOCK, n - from), done = count / LANES * LANES;
      const Span e = span(row, from, count, a, b);
      for (int64_t k = count; k < done + e.rest * LANES; k++) a[k] = a[count - 1], b[k] = b[count - 1];
      T *to_x = wanted(0, row, from, d), *to_y = wanted(1, row, from, f);
      const int64_t direct = to_x && to_y ? done : 0;
      z.factor_x = z.factor_y = z.scale = 1;
      if (direct) z.factor_x = (T)factors[0], z.factor_y = (T)factors[1], z.scale = scale_of(row);
      slopes(e.x, e.y, direct ? to_x : d, direct ? to_y : f, e.whole, &z, &squares);
      z.factor_x = z.factor_y = z.scale = 1;
      slopes(e.rest_x, e.rest_y, d + done, f + done, e.rest, &z, &squares);
      write(row, order.swapped, factors[0], factors[1], from + direct, count - direct, 1, d + direct, f + direct);
    }
    const T terms = TERMS * TERMS / 4;
    task.flags[row] = squares.parts_x <= terms * squares.x && squares.parts_y <= terms * squares.y ? 0 : 2;
    return task.flags[row] != 0;
  }

  // a long row by plain sums; it is flagged if its value (1), or its gradient (2), is small next to the terms
  int64_t far_row(int64_t row) {
    const int64_t n = task.n;
    if (task.order_row) prepare(row, 0, 1);
    // next to alpha = 1 the logarithms cancel, and at 2 the other way takes as long
    task.flags[row] = 1;
    if ((!PROBS && mode() == TWO) || (!one() && order.t > -0.5 && order.t < 0.5)) return 1;
    if constexpr (PROBS) {
      const bool square = order.t == 1;
      if (task.cross)
        return one() ? quotients<LOG, true>(row) : square ? quotients<SQUARE, true>(row) : quotients<POWER, true>(row);
      return one() ? quotients<LOG, false>(row) : square ? quotients<SQUARE, false>(row) : quotients<POWER, false>(row);
    }
    const bool power = !one();
    const double t = order.t, share = task.cross ? 1 : order.alpha;
    Plain<T> z = {};
    Far whole = {};
    z.along_u = (T)(power ? share : task.cross ? 0 : 1);
    z.along_v = (T)((task.cross ? 1 : -1) * (power ? t : 1));
    whole.along_u = power ? z.along_u : 1, whole.along_v = power ? z.along_v : 0;
    double most = -1e300;
    // the first entries tell what is to come
    for (int64_t from = 0, to; from < n; from = to) {
      to = smaller(from + (from ? BLOCK : STEP), n);
      const Span e = span(row, from, to - from, a, b);
      top(e);
      z.top_x = w.top_x[0], z.top_y = w.top_y[0], z.most = -(T)INFINITY, z.A = z.B = z.C = z.U = z.V = 0;
      const auto sums = power ? plain_sums<T, true> : plain_sums<T, false>;
      sums(e.x, e.y, e.whole, &z);
      sums(e.rest_x, e.rest_y, e.rest, &z);
      Far block = {z.top_x, z.top_y, z.A, z.B, z.C, z.U, z.V, z.most, whole.along_u, whole.along_v};
      most = larger(most, block.most);
      if (from == 0) whole = block;
      else {
        const double x = larger(whole.top_x, block.top_x), y = larger(whole.top_y, block.top_y);
        whole.raise(x, y), block.raise(x, y);
        whole.A += block.A, whole.B += block.B, whole.C += block.C, whole.U += block.U, whole.V += block.V;
        whole.most = larger(whole.most, block.most);
      }
      const double log_a = log_sum(whole.A, whole.A - 1), log_b = log_sum(whole.B, whole.B - 1);
      const double u = whole.U / whole.C, v = whole.V / whole.C, sign = task.cross ? -1 : 1;
      const double mean = z.along_u * u + z.along_v * v;
      const double D = log_b + sign * (power ? (log_sum(whole.C, whole.C - 1) - share * log_a) / t
                                             : mean - (task.cross ? 0 : log_a));
      const double terms = 1 + share - z.along_u * u + larger(z.along_v * v, -z.along_v * v);
      const double rounded = power ? 1 + terms / larger(t, -t) : 2 - v - (task.cross ? 0 : u);
      z.mean = (T)mean, z.size = (T)larger(mean, -mean);
      if (!(rounded <= (to < n ? 2 : 1) * TERMS * D) || !(most < 40 && whole.most < 40) || !(whole.C > 1e-12)) return 1;
      if (to < n) continue;
      if (finish(row, D, order.factor)) return 1;
      // of distributions that are close to each other q - p is rounded
      if (graded && !power && !(rounded <= TERMS * (u - v - log_a + log_b))) {
        task.flags[row] = 2;
        return 1;
      }
    }
    if (!graded) return 0;
    z.top_x = (T)whole.top_x, z.top_y = (T)whole.top_y;
    z.per_a = (T)(1 / whole.A), z.per_b = (T)(1 / whole.B), z.per_c = (T)(1 / whole.C);
    const double factors[2] = {(task.cross ? -1 : order.alpha) * order.factor / (power ? t : 1), order.factor};
    const auto slopes = power ? plain_slopes<T, true> : plain_slopes<T, false>;
    const T scale = scale_of(row);
    Squares<T> squares = {};
    for (int64_t from = 0; from < n; from += BLOCK) {
      const int64_t count = smaller(BLOCK, n - from), done = count / LANES * LANES;
      const Span e = span(row, from, count, a, b);
      T *to_x = wanted(0, row, from, d), *to_y = wanted(1, row, from, f);
      const int64_t direct = to_x && to_y ? done : 0;
      z.factor_x = z.factor_y = z.scale = 1;
      if (direct) z.factor_x = (T)factors[0], z.factor_y = (T)factors[1], z.scale = scale;
      slopes(e.x, e.y, direct ? to_x : d, direct ? to_y : f, e.whole, &z, &squares);
      z.factor_x = z.factor_y = z.scale = 1;
      slopes(e.rest_x, e.rest_y, d + done, f + done, e.rest, &z, &squares);
      write(row, order.swapped, factors[0], factors[1], from + direct, count - direct, 1, d + direct, f + direct);
    }
    // of v alone it is less than half of it that is rounded
    const T terms = TERMS * TERMS;
    const bool exact_x = squares.parts_x <= (power || !task.cross ? 1 : 4) * terms * squares.x;
    task.flags[row] = exact_x && squares.parts_y <= terms * squares.y ? 0 : 2;
    return task.flags[row] != 0;
  }

  int64_t long_row(int64_t row) {
    const int64_t n = task.n;
    if (task.order_row) prepare(row, 0, 1);
    const double t = order.t;
    const bool one = this->one();
    Sums whole = {};
    for (int64_t from = 0; from < n; from += BLOCK) {
      Sums z = block(row, from, smaller(BLOCK, n - from), kept ? from : 0);
      if (kept) blocks[from / BLOCK] = z;
      merge(&whole, z);
    }
    double D = conclude<T>(whole.S, &whole.O, whole.most, t, order.steep, one, task.cross, whole.B, whole.rest);
    if (finish(row, whole.A > 0 ? D : NAN, order.factor)) return 1;
    if (!graded) return 0;
    // an outcome with more than half of P, or of Q, takes minus the sum of the others: once that is known
    struct {
      int64_t at;
      T weights[2], along[2];
      double factors[2];
    } tops[2];
    tops[0].at = tops[1].at = -1;
    w.sum_x[0] = w.sum_y[0] = w.size[0] = w.size_y[0] = 0;
    for (int64_t from = 0; from < n; from += BLOCK) {
      const int64_t count = smaller(BLOCK, n - from), m = (count + LANES - 1) / LANES, at = kept ? from : 0;
      T *a = this->a + at, *b = this->b + at, *f = this->f + at, *d = this->d + at;
      Sums z = kept ? blocks[from / BLOCK] : block(row, from, count, at);
      const double factors[2] = {outer() * order.factor * z.per_x, order.factor * z.per_y};
      T *to_x = wanted(0, row, from, d), *to_y = wanted(1, row, from, f);
      const int64_t direct = z.B != 0 && to_x && to_y ? count / LANES : 0, done = direct * LANES;
      if (z.B == 0) {
        for (int64_t k = 0; k < count; k++) f[k] = d[k] = 0;
      } else {
        const double above = distance(z.top, whole.top), up = lift(z, whole), gap = up + (z.s - whole.s);
        const double shares[2] = {exp_(above + up) / whole.A, exp_(above) / whole.B};
        const double ds = task.cross ? above : beside ? up : gap;
        slopes(&w, 0, whole.S, whole.O, t, one, shares[0], shares[1], ds, expm1_(t * ds), expm1_(up - whole.s));
        for (int i = 0; i < 2; i++)
          if (shares[i] > 0.5) {
            const T *weights = i ? b : a;
            int64_t k = 0;
            for (int64_t j = 1; j < count; j++) k = weights[j] > weights[k] ? j : k;
            Differentiated<T> e = coded() ? differentiated<T, PROBS, true>(a[k], b[k], f[k], d[k], &w, 0)
                                          : differentiated<T, PROBS, false>(a[k], b[k], f[k], d[k], &w, 0);
            tops[i] = {from + k, {a[k], b[k]}, {e.d, e.f}, {factors[0], factors[1]}};
          }
        w.along_x[0] = (T)factors[0], w.along_y[0] = (T)factors[1], w.scale[0] = scale_of(row);
        gradients_of<true>(direct, a, b, f, d, to_x, to_y);
        w.along_x[0] = w.along_y[0] = w.scale[0] = 1;
        gradients_of<true>(m - direct, a + done, b + done, f + done, d + done, d + done, f + done);
      }
      write(row, order.swapped, factors[0], factors[1], from + done, count - done, 1, d + done, f + done);
    }
    const double sums[2] = {w.sum_x[0], w.sum_y[0]};
    for (int i = 0; i < 2; i++)
      if (tops[i].at >= 0) {
        for (int k = 0; k < 2; k++)
          if (tops[k].at == tops[i].at) tops[i].along[k] -= (T)(PROBS ? sums[k] / tops[i].weights[k] : sums[k]);
        write(row, order.swapped, tops[i].factors[0], tops[i].factors[1], tops[i].at, 1, 1, tops[i].along,
              tops[i].along + 1);
      }
    if (!faded(row, w.size[0], w.size_y[0], whole.S, whole.O, whole.s, t)) return 0;
    return beside || task.cross || sizeof(T) == 4 ? 1 : again([&] { return long_row(row); });
  }

  // the Jensen-Shannon divergence of a long row, whose blocks are all kept
  int64_t mixture(int64_t row) {
    const int64_t n = task.n;
    Sums whole = {};
    for (int64_t from = 0; from < n; from += BLOCK)
      merge(&whole, blocks[from / BLOCK] = block(row, from, smaller(BLOCK, n - from), from));
    w.S[0] = w.sum_x[0] = w.sum_y[0] = 0;
    for (int pass = 0; pass < 2; pass++) {
      for (int64_t from = 0; from < n; from += BLOCK) {
        const int64_t count = smaller(BLOCK, n - from), m = (count + LANES - 1) / LANES;
        T *a = this->a + from, *b = this->b + from, *f = this->f + from, *d = this->d + from;
        const Sums &z = blocks[from / BLOCK];
        const double above = z.B == 0 ? 0 : distance(z.top, whole.top), up = z.B == 0 ? 0 : lift(z, whole);
        const double p = z.B == 0 ? 0 : exp_(above + up) / whole.A, q = z.B == 0 ? 0 : exp_(above) / whole.B;
        if (pass == 0) {
          slopes(&w, 0, 0, 1, 1, true, p, q, 0, 0, expm1_(up - whole.s));
          if (z.B != 0) mix_all<true>(a, b, f, d, m);
        } else {
          subtract<T, true>(a, d, m, w.sum_x);
          subtract<T, true>(b, f, m, w.sum_y);
          write(row, false, p * z.per_x * task.share_x, q * z.per_y * task.share_y, from, count, 1, d, f);
        }
      }
      if (pass == 0 && (finish(row, whole.A > 0 && whole.B > 0 ? w.S[0] : NAN, 1) || !graded)) break;
    }
    return task.flags[row];
  }

  // the middle of lanes of such sums
  void halve(int64_t i, double A, double B, double least) {
    const bool usual = least >= 0 && smaller(A, B) > Series<T>::least && larger(A, B) < 1 / Series<T>::least;
    w.middle[i] = usual ? (T)(A / B) : (T)NAN, w.per_x[i] = (T)(1 / A), w.per_y[i] = (T)(1 / B);
  }
  // of short rows in a lane each, or of a long one
  int64_t second_order(const int64_t *rows, int64_t count, bool tall) {
    const int64_t n = task.n, lanes = tall ? LANES : 1, each = tall ? n : BLOCK;
    T *fields[] = {w.F, w.S, w.O, w.size, w.sum_x, w.sum_y, w.A, w.B};
    T *numbers[] = {w.middle, w.per_x, w.per_y, w.u1, w.u2, w.u3, w.k1, w.k0};
    double J[LANES], sums[8][LANES] = {}, least[LANES];
    if (tall) {
      for (int64_t k = 0; k < n * LANES; k++) a[k] = b[k] = 0;
      for (int64_t i = 0; i < count; i++) read(rows[i], 0, n, LANES, a + i, b + i);
    }
    fill(w.rest, 0);
    for (int pass = 0; pass < 2; pass++) {
      for (int64_t from = 0; from < n; from += each) {
        for (T *field : fields) fill(field, 0);
        const Span e = tall ? Span{a, b, a, b, n, 0} : span(rows[0], from, smaller(each, n - from), a, b);
        (pass ? squares<T> : totals<T>)(e.x, e.y, e.whole, &w);
        (pass ? squares<T> : totals<T>)(e.rest_x, e.rest_y, e.rest, &w);
        for (int k = pass ? 0 : 6; k < (pass ? 6 : 8); k++)
          for (int64_t i = 0; i < LANES; i++) sums[k][tall ? i : 0] += fields[k][i];
      }
      for (int64_t i = 0; i < LANES; i++)
        least[tall ? i : 0] = i && !tall ? smaller(least[0], (double)w.rest[i]) : w.rest[i];
      for (int64_t i = 0; i < lanes && !pass; i++) halve(i, sums[6][i], sums[7][i], least[i]);
      if (pass && tall) second_lanes(&w, J, sums, faint());
      else if (pass) J[0] = second(&w, 0, sums, faint());
      if (!tall)
        for (T *number : numbers) fill(number, number[0]);
    }
    int64_t flagged = 0;
    for (int64_t i = 0; i < count; i++) flagged += finish(rows[i], J[i], 1);
    for (int64_t from = 0; from < n && graded; from += each) {
      const Span e = tall ? Span{a, b, a, b, n, 0} : span(rows[0], from, smaller(each, n - from), a, b);
      square_slopes(e.x, e.y, d, f, e.whole, &w);
      square_slopes(e.rest_x, e.rest_y, d + e.whole * LANES, f + e.whole * LANES, e.rest, &w);
      for (int64_t i = 0; i < count; i++)
        write(rows[i], false, w.per_x[i], w.per_y[i], from, smaller(each, n - from), tall ? LANES : 1, d + i, f + i);
    }
    return flagged;
  }

  int64_t all(const int64_t *rows, int64_t count) {
    int64_t flagged = 0, some[LANES];
    for (int64_t from = 0; from < count; from += LANES) {
      const int64_t few = smaller(LANES, count - from);
      for (int64_t i = 0; i < few; i++) some[i] = rows ? rows[from + i] : task.first + from + i;
      const bool second = task.cross == 3;
      if (task.n <= SHORT) flagged += second ? second_order(some, few, true) : tile(some, few);
      else if (second)
        for (int64_t i = 0; i < few; i++) flagged += second_order(some + i, 1, false);
      else
        for (int64_t i = 0; i < few; i++) flagged += task.cross == 2 ? mixture(some[i]) : long_row(some[i]);
    }
    return flagged;
  }
};

template <class T, bool PROBS> int64_t run(const Task &task, const int64_t *rows, int64_t count, bool far) {
  const bool graded = task.along_x || task.along_y, kept = task.cross == 2 || (graded && task.n <= KEPT);
  const int64_t blocks = (task.n + BLOCK - 1) / BLOCK, whole = (task.n + LANES - 1) / LANES * LANES;
  const int64_t room = task.n <= SHORT ? task.n * LANES : kept ? whole : smaller(whole, BLOCK);
  const size_t lanes = (sizeof(Lanes<T>) + 63) / 64 * 64, sums = (size_t)blocks * sizeof(Sums);
  char *memory = (char *)malloc(64 + lanes + 4 * (size_t)room * sizeof(T) + sums);
  if (!memory) return -1;
  char *start = memory + (64 - (uintptr_t)memory % 64);
  T *a = (T *)(start + lanes);
  Lanes<T> &w = *(Lanes<T> *)start;
  const Door<T> in = door_of<T, PROBS>(task.format), out = door_of<T, PROBS>(task.gradient_format);
  T *b = a + room, *f = b + room, *d = f + room;
  Pairs<T, PROBS> pairs{task, in, out, w, a, b, f, d, (Sums *)(d + room), graded, kept};
  if (!task.order_row) pairs.prepare(0, 0, LANES);
  int64_t flagged = 0;
  if (far)
    for (int64_t i = 0; i < count; i++) flagged += pairs.far_row(task.first + i);
  else flagged = pairs.all(rows, count);
  free(memory);
  return flagged;
}

// How many rows are left flagged, -1 if there is no memory. Those that plain sums do not hold for are done with care,
// and of these those that float does not hold for in double.
template <bool PROBS> int64_t run(const Task &task) {
  const bool wide = task.format == 1, far = task.cross < 2 && task.n > SHORT;
  const int64_t all = task.last - task.first;
  int64_t *rows = (int64_t *)malloc((size_t)all * sizeof(int64_t)), count = 0;
  if (!rows) return -1;
  for (int64_t i = task.first; i < task.last; i++) task.flags[i] = far ? 0 : 1;
  int64_t flagged = all;
  if (far && wide) flagged = run<double, PROBS>(task, nullptr, all, true);
  if (far && !wide) flagged = run<float, PROBS>(task, nullptr, all, true);
  for (int step = wide; step < 2 && flagged > 0; step++) {
    count = 0;
    for (int64_t i = task.first; i < task.last; i++)
      if (task.flags[i]) rows[count++] = i;
    flagged = step ? run<double, PROBS>(task, rows, count, false) : run<float, PROBS>(task, rows, count, false);
  }
  free(rows);
  return flagged;
}

}  // namespace renyi::pairs
