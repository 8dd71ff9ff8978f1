// The distribution of largest payoff plus entropy, its value and its products, a row at a time.
//
// In the terms of renyi_core/_kernels/choice_search.py, one number v for each row is looked for: up to α = 1 the only
// root of v − M, beyond it the one of largest objective. Cells of the curve are halved, and those whose bound is below
// an objective that was met are dropped; a root is found in each that is left. Products are those of choice.py.
#pragma once
#include <float.h>

#include "entropy.h"

namespace renyi::choice {

// What w**(1/t) is: exp(−y) at α = 1, w at 2, w**2 at 3/2, w**−2 at 1/2.
enum Form { SOFTMAX, LINEAR, SQUARE, INVERSE_SQUARE, POWER };

template <class T> constexpr double LARGEST = sizeof(T) == 4 ? FLT_MAX : DBL_MAX;
constexpr int CELLS = 8, HALVINGS = 13;

// A call for the rows from `first` to `last`; strides are in entries, 0 for what all rows share. _choice.py packs it.
struct Task {
  int64_t first, last, n, format;
  const void *x;
  int64_t x_row, x_entry;
  const uint8_t *mask;
  int64_t mask_row, mask_entry;
  double one_alpha, one_t;  // of all rows, where `alpha` is null
  const double *alpha, *t;
  int64_t order_row;
  double one_temperature;  // where `temperature` is null
  const void *temperature;
  int64_t temperature_row;
  const void *scale;  // of p
  int64_t scale_row;
  const void *vector;
  int64_t vector_row, vector_entry;
  void *p;
  int64_t p_row, p_entry;
  void *product;
  int64_t product_row, product_entry;
  void *value, *entropy, *by_temperature;
  double *c;      // where on its curve each row is
  int64_t given;  // 1: c is given, 2: p is, at α = 1
};

// The order of a row, and its temperature.
template <class T> struct Row {
  double alpha, t, temperature;
  bool sane;

  Row(const Task &q, int64_t row)
      : alpha(q.alpha[row * q.order_row]), t(q.t[row * q.order_row]), temperature(q.one_temperature) {
    using F = Format<T>;
    if (q.temperature) temperature = ((const T *)q.temperature)[row * q.temperature_row];
    sane = temperature > 0 && temperature < INFINITY && alpha >= 0;
    temperature = (double)(T)larger(temperature, 4 * (double)F::tiny);
    temperature = temperature < INFINITY ? temperature : LARGEST<T>;
    alpha = larger(alpha, F::tiny * 1099511627776.0);
    if (fabs(t) < (sizeof(T) == 4 ? 1e-12 : 1e-25)) alpha = 1, t = 0;
  }

  int form() const {
    return t == 0 ? SOFTMAX : alpha == 2 ? LINEAR : alpha == 1.5 ? SQUARE : alpha == 0.5 ? INVERSE_SQUARE : POWER;
  }
};

INLINE double point_of(double alpha, double t, double v) { return exp(-t * v) / alpha; }

template <class T> struct Gaps {
  T *g;  // of n entries, rounded up to whole vectors; infinite where an entry has no weight
  int64_t n;
  double alpha, t;
  T cap;
};

struct Sums {
  double e = 0, y = 0, w = 0, inverse = 0, inside = 0;  // Σ e, Σ e y, Σ e w, Σ e/w and how many are in the support
};

// The part of the curve at one c that an entry is on; e and y are 0 where it is beyond the support.
template <class T> struct Entry {
  T y, w, e;
};
template <class T> struct Place {
  T c, tc, inverse_t, cap;
};

template <class T, int M> INLINE Entry<T> entry_of(T g, const Place<T> &at) {
  T y = at.c * g, u = -(at.tc * g), w = 1 + u;
  bool inside = M == SOFTMAX ? g <= at.cap : (g <= at.cap) & (u > -1);
  y = inside ? y : (T)0, w = inside ? w : (T)1;
  T e;
  if (M == SOFTMAX) e = exp_low(-y, (T)0);
  else if (M == LINEAR) e = w;
  else if (M == SQUARE) e = w * w;
  else if (M == INVERSE_SQUARE) e = 1 / w / w;
  else {
    u = inside ? u : (T)0;
    T rest, d = log_of(w, u, (u > (T)-0.25) & (u < (T)0.25), (T)0, &rest), x = d * at.inverse_t;
    e = exp_low(x, fma_(rest, at.inverse_t, rest_of(d, at.inverse_t, x)));
  }
  return {y, w, inside ? e : (T)0};
}

template <class T> INLINE Place<T> place_of(const Gaps<T> &q, double c) {
  return {(T)c, (T)(q.t * c), (T)(q.t == 0 ? 1 : 1 / q.t), q.cap};
}

template <class T, int M> APART Sums sums_at(const Gaps<T> &q, double c) {
  const Place<T> at = place_of(q, c);
  Sums s;
  for (int64_t first = 0; first < q.n; first += BLOCK) {
    const T *__restrict g = q.g + first;
    const int64_t n = smaller(q.n - first, (int64_t)BLOCK);
    T E = 0, Y = 0, W = 0, V = 0, N = 0;
    _Pragma("omp simd reduction(+ : E, Y, W, V, N)") for (int64_t i = 0; i < n; i++) {
      Entry<T> a = entry_of<T, M>(g[i], at);
      E += a.e, Y += a.e * a.y, W += a.e * a.w, N += a.e > 0 ? (T)1 : (T)0;
      V += M == LINEAR ? (T)0 : M == SQUARE ? a.e > 0 ? a.w : (T)0 : a.e / a.w;
    }
    s.e += E, s.y += Y, s.w += W, s.inverse += M == LINEAR ? N : V, s.inside += N;
  }
  return s;
}

struct Point {
  double v, c, h, m, f;
  Sums sums;
};

// −log R/t, of the means of y and of w
INLINE double m_of(double t, double mean, double r) {
  if (t == 0) return mean;
  return t * mean < 0.5 ? -log1p(-t * mean) / t : -log(r) / t;
}

template <class T, int M> static Point point_at(const Gaps<T> &q, double v) {
  const double c = point_of(q.alpha, q.t, v);
  const Sums s = sums_at<T, M>(q, c);
  const double mean = s.y / s.e, m = m_of(q.t, mean, s.w / s.e), h = mean / c;
  return {v, c, h, m, log(s.e) + m - h, s};
}

// what the objective is not above between two points of an order above 1: see _bounds in choice_search.py
static double bound_of(const Point &left, const Point &right, double alpha, double t) {
  double low = 1 - t * left.c * left.h, high = 1 - t * right.c * right.h;
  low = low > 0 ? low : 1, high = high > 0 ? high : 1;
  const double width = right.h - left.h;
  const double excess = expm1(t / alpha * (right.f - left.f + width) + log(high / low));
  const double slope = t * ((1 + excess) * left.c - right.c);
  double meet = (slope > 0 ? excess / slope : left.h) - left.h;
  meet = meet > 0 ? smaller(meet, width) : 0;
  const double drop = left.c * t * meet / low, rest = width - meet, grown = right.c * t * rest / high;
  const double fall = right.f + rest - alpha / t * log1p(grown > -0.5 ? grown : 0);
  double bound = larger(larger(left.f, right.f), fall);
  if (drop < 1) bound = larger(bound, left.f - alpha / t * log1p(-drop) - meet);
  return bound;
}

// Whether there is no more than one root of v − M between two points. d(v − M)/dv > 0 where (Σ e w)(Σ e/w) < α (Σ e)²,
// and w grows with v.
static bool has_one_root(const Point &left, const Point &right, double alpha) {
  const bool falls = alpha > 2;
  if (falls && left.sums.inside != right.sums.inside) return false;
  const double inverse = falls ? left.sums.inverse : right.sums.inverse;
  return right.sums.w * inverse < (alpha - 1e-3) * left.sums.e * left.sums.e;
}

// Whether v − M has no root between two points: w and e grow with v, which bounds M.
static bool has_no_root(const Point &left, const Point &right, double alpha, double t, double slack) {
  const bool crosses = left.v <= left.m && right.v >= right.m;
  if (!crosses && has_one_root(left, right, alpha)) return left.v <= left.m || right.v >= right.m;
  slack *= 1 + 1 / t;
  const double most = -log(left.sums.w / right.sums.e) / t, least = -log(right.sums.w / left.sums.e) / t;
  return least > right.v + slack || most < left.v - slack;
}

struct Cell {
  Point left, right;
  double rank;
  bool crosses() const { return left.v <= left.m && right.v >= right.m; }
};

// the root of v − M between points where it is not above and not below 0, by secants and halves
template <class T, int M> static Point root_of(const Gaps<T> &q, Point low, Point high, double span) {
  const double close = span * (sizeof(T) == 4 ? 3e-8 : 5e-17);
  double a = low.v - low.m, b = high.v - high.m, width = high.v - low.v;
  int side = 0;
  Point x = -a < b ? low : high;
  for (int i = 0; i < 80 && a < 0 && b > 0 && high.v - low.v > close; i++) {
    const double last = x.v;
    double v = low.v + (high.v - low.v) * (a / (a - b));
    // where three steps did not halve the interval, or a step is none
    if ((i % 3 == 2 && high.v - low.v > width / 2) || !(v > low.v && v < high.v)) v = (low.v + high.v) / 2, side = 0;
    if (i % 3 == 2) width = high.v - low.v;
    x = point_at<T, M>(q, v);
    const double f = v - x.m;
    if (f <= 0) {
      if (side < 0) b /= 2;
      low = x, a = f, side = -1;
    }
    if (f >= 0) {
      if (side > 0) a /= 2;
      high = x, b = f, side = 1;
    }
    if (fabs(v - last) <= close) break;
  }
  return x;
}

template <class T, int M> static double search(const Gaps<T> &q, double span) {
  if (!(span > 0)) return 0;
  const double digits = sizeof(T) == 4 ? 1.2e-7 : 2.3e-16;
  Cell cells[2 * CELLS];
  int count = 1;
  cells[0] = {point_at<T, M>(q, 0), point_at<T, M>(q, span), 0};
  if (q.t < 0) return cells[0].crosses() ? root_of<T, M>(q, cells[0].left, cells[0].right, span).v : span;
  double best = larger(cells[0].left.f, cells[0].right.f);
  for (int k = 0; k < HALVINGS; k++) {
    const Cell whole = {cells[0].left, cells[count - 1].right, 0};
    bool joined = whole.crosses() && has_one_root(whole.left, whole.right, q.alpha);
    for (int i = 1; i < count && joined; i++) joined = cells[i - 1].right.v == cells[i].left.v;
    if (joined) return root_of<T, M>(q, whole.left, whole.right, span).v;
    Cell some[2 * CELLS];
    for (int i = 0; i < count; i++) {
      const Point middle = point_at<T, M>(q, (cells[i].left.v + cells[i].right.v) / 2);
      best = larger(best, middle.f);
      some[2 * i] = {cells[i].left, middle, 0}, some[2 * i + 1] = {middle, cells[i].right, 0};
    }
    const double slack = 16 * digits * (1 + fabs(best));
    int left = 0;
    for (int i = 0; i < 2 * count; i++) {
      Cell &cell = some[i];
      if (has_no_root(cell.left, cell.right, q.alpha, q.t, slack)) continue;
      cell.rank = bound_of(cell.left, cell.right, q.alpha, q.t) + (cell.crosses() ? slack : 0);
      if (cell.rank >= best - slack) cells[left++] = cell;
    }
    while (left > CELLS) {
      int least = 0;
      for (int i = 1; i < left; i++) least = cells[i].rank <= cells[least].rank ? i : least;
      for (int i = least + 1; i < left; i++) cells[i - 1] = cells[i];
      left--;
    }
    count = left;
  }
  Point found = cells[0].left;
  bool any = false;
  for (int i = 0; i < count; i++) {
    if (!cells[i].crosses()) continue;
    const Point root = root_of<T, M>(q, cells[i].left, cells[i].right, span);
    if (!any || root.f > found.f) found = root;
    any = true;
  }
  for (int i = 0; i < count && !any; i++) {
    if (cells[i].left.f > found.f) found = cells[i].left;
    if (cells[i].right.f > found.f) found = cells[i].right;
  }
  return found.v;
}

// Entries as T, `nothing` where they are masked and up to whole vectors: where they lie, or in `room`.
template <class T> static const T *read_row(int64_t format, const void *x, int64_t row, int64_t entry,
                                            const uint8_t *mask, int64_t mask_entry, int64_t n, int64_t whole,
                                            T nothing, T *room) {
  if (format < 2 && entry == 1 && !mask && n == whole) return (const T *)x + row;
  load(format, (const char *)x + row * (format < 2 ? (int64_t)sizeof(T) : 2), entry, n, room);
  if (mask)
    for (int64_t i = 0; i < n; i++) room[i] = mask[i * mask_entry] ? room[i] : nothing;
  for (int64_t i = n; i < whole; i++) room[i] = nothing;
  return room;
}

template <class T> static void write_row(int64_t format, T *from, const uint8_t *mask, int64_t mask_entry, int64_t n,
                                         void *to, int64_t row, int64_t entry) {
  if (mask)
    for (int64_t i = 0; i < n; i++) from[i] = mask[i * mask_entry] ? from[i] : (T)0;
  store(format, from, entry, n, (char *)to + row * (format < 2 ? (int64_t)sizeof(T) : 2));
}

// the largest entry, NaN if one is, and how many are live
template <class T> APART T peak_of(const T *__restrict x, int64_t n, double *live) {
  T high = -(T)INFINITY;
  double lives = 0;
  for (int64_t first = 0; first < n; first += BLOCK) {
    const T *__restrict z = x + first;
    const int64_t m = smaller(n - first, (int64_t)BLOCK);
    T L = 0;
    _Pragma("omp simd reduction(max : high) reduction(+ : L)") for (int64_t i = 0; i < m; i++) {
      high = z[i] > high ? z[i] : high;
      L += z[i] > -(T)INFINITY ? (T)1 : z[i] == z[i] ? (T)0 : (T)NAN;
    }
    lives += L;
  }
  *live = lives;
  return lives == lives ? high : (T)NAN;
}

// the gap to the peak in units of the temperature; EXACT: it is a power of two, whose reciprocal is as good
template <class T, bool EXACT> INLINE T gap_of(T x, T half, T unit, T cap) {
  const T apart = half - x / 2, gap = EXACT ? apart * unit : apart / unit;
  return x == -(T)INFINITY ? (T)INFINITY : smaller(gap, cap);
}
// all of them; it returns how many are 0
template <class T, bool EXACT> APART double gaps_of(const T *x_all, T *g_all, int64_t n, T peak, T unit, T cap) {
  const T half = peak / 2;
  double tops = 0;
  for (int64_t first = 0; first < n; first += BLOCK) {
    const T *x = x_all + first;
    T *g = g_all + first;
    const int64_t m = smaller(n - first, (int64_t)BLOCK);
    T P = 0;
    _Pragma("omp simd reduction(+ : P)") for (int64_t i = 0; i < m; i++) {
      g[i] = gap_of<T, EXACT>(x[i], half, unit, cap);
      P += g[i] == 0 ? (T)1 : (T)0;
    }
    tops += P;
  }
  return tops;
}

// What a row is at the point that was found.
struct Found {
  double rest, mean, r;
};

// e of each entry, and their sums
template <class T, int M> APART Found weigh(const Gaps<T> &q, double c, double tops, T *weights) {
  const Place<T> at = place_of(q, c);
  double rest = 0, y = 0, w = 0;
  for (int64_t first = 0; first < q.n; first += BLOCK) {
    const T *__restrict g = q.g + first;
    T *__restrict e = weights + first;
    const int64_t n = smaller(q.n - first, (int64_t)BLOCK);
    T E = 0, Y = 0, W = 0;
    _Pragma("omp simd reduction(+ : E, Y, W)") for (int64_t i = 0; i < n; i++) {
      Entry<T> a = entry_of<T, M>(g[i], at);
      e[i] = a.e;
      E += g[i] == 0 ? (T)0 : a.e;
      W += a.e * a.w, Y += a.e * a.y;
    }
    rest += E, y += Y, w += W;
  }
  Found f;
  f.rest = rest + (tops - 1);
  const double total = 1 + f.rest;
  f.mean = y / total, f.r = w / total;
  return f;
}

template <class T> APART void multiply(T *__restrict x, int64_t n, T factor) {
  SIMD
  for (int64_t i = 0; i < n; i++) x[i] *= factor;
}
template <class T> APART void fill(T *__restrict x, int64_t n, T value) {
  SIMD
  for (int64_t i = 0; i < n; i++) x[i] = value;
}

// how many entries are not 0, and the sum of those whose gap is 0
template <class T> APART double weight_of(const T *g_all, const T *x_all, int64_t n, double *top) {
  double some = 0;
  for (int64_t first = 0; first < n; first += BLOCK) {
    const T *__restrict g = g_all + first, *__restrict x = x_all + first;
    const int64_t m = smaller(n - first, (int64_t)BLOCK);
    T S = 0, V = 0;
    _Pragma("omp simd reduction(+ : S, V)") for (int64_t i = 0; i < m; i++) S += x[i] != 0 ? (T)1 : (T)0,
        V += g[i] == 0 ? x[i] : (T)0;
    some += S, *top += V;
  }
  return some;
}

// The derivative of p by the scores times a vector x; it returns Σ product g, both over the temperature. `middle` is
// the mean of x at the top, `v` room for what is left of it.
template <class T> APART double product_of(const Gaps<T> &q, double c, T middle, double temperature, const T *p_all,
                                           const T *x_all, T *v_all, T *out_all) {
  const Place<T> at = place_of(q, c);
  double size = 0, y = 0, v = 0;
  for (int64_t first = 0; first < q.n; first += BLOCK) {
    const T *__restrict g = q.g + first, *__restrict p = p_all + first, *x = x_all + first;
    T *to = v_all + first;
    const int64_t n = smaller(q.n - first, (int64_t)BLOCK);
    T Q = 0, Y = 0, V = 0;
    _Pragma("omp simd reduction(+ : Q, Y, V)") for (int64_t i = 0; i < n; i++) {
      Entry<T> a = entry_of<T, LINEAR>(g[i], at);
      const T one = a.e > 0 ? x[i] - middle : -middle, inverse = 1 / a.w;
      to[i] = one;
      V += p[i] * (inverse * one);
      Q += p[i] * inverse, Y += p[i] * (a.y * inverse);
    }
    size += Q, y += Y, v += V;
  }
  const T center = (T)(y / size), mean = (T)(v / size);
  double covariance = 0, variance = 0, others = 0, along = 0;
  for (int64_t first = 0; first < q.n; first += BLOCK) {
    const T *__restrict g = q.g + first, *__restrict p = p_all + first, *__restrict x = v_all + first;
    const int64_t n = smaller(q.n - first, (int64_t)BLOCK);
    T C = 0, S = 0;
    _Pragma("omp simd reduction(+ : C, S)") for (int64_t i = 0; i < n; i++) {
      Entry<T> a = entry_of<T, LINEAR>(g[i], at);
      const T inverse = 1 / a.w, apart = a.y - center;
      C += p[i] * ((a.y * inverse) * (x[i] - mean)), S += p[i] * (apart * inverse) * apart;
    }
    covariance += C, variance += S;
  }
  const double x = 1 / size, curvature = x * x - q.t * variance / size, by = 1 / temperature;
  const T factor = (T)(q.alpha * (covariance / size) * q.t / (curvature != 0 ? curvature : 1)), part = (T)by;
  bool dominated = false;
  for (int64_t first = 0; first < q.n; first += BLOCK) {
    const T *__restrict g = q.g + first, *__restrict p = p_all + first, *x = v_all + first;
    T *to = out_all + first;
    const int64_t n = smaller(q.n - first, (int64_t)BLOCK);
    T O = 0, A = 0, D = 0;
    _Pragma("omp simd reduction(+ : O, A, D)") for (int64_t i = 0; i < n; i++) {
      Entry<T> a = entry_of<T, LINEAR>(g[i], at);
      const T one = p[i] * (at.c / a.w) * ((x[i] - mean) + factor * (a.y - center));
      const bool most = p[i] > (T)0.5;
      O += most ? (T)0 : one, D += most ? (T)1 : (T)0, A += g[i] < (T)INFINITY ? one * g[i] : (T)0;
      to[i] = one * part;
    }
    others += O, along += A, dominated |= D > 0;
  }
  // what has more than half of p gets what the others lose; its gap is 0
  const T dominant = (T)-others * part;
  if (dominated) {
    SIMD
    for (int64_t i = 0; i < q.n; i++) out_all[i] = p_all[i] > (T)0.5 ? dominant : out_all[i];
  }
  return along * by;
}

template <class T> static int64_t whole_of(int64_t n) {
  return (n + Format<T>::lanes - 1) / Format<T>::lanes * Format<T>::lanes;
}

template <class T> struct Room {
  T *g, *e, *v;
};

// the product of a row with its vector
template <class T> static void multiplied(const Task &q, int64_t row, const Gaps<T> &gaps, double c, double tops,
                                          double temperature, const Room<T> &w) {
  const uint8_t *mask = q.mask ? q.mask + row * q.mask_row : nullptr;
  const T *x = read_row(q.format, q.vector, row * q.vector_row, q.vector_entry, nullptr, 0, q.n, gaps.n, (T)0, w.v);
  const bool direct = q.product && q.format < 2 && !mask && gaps.n == q.n && q.product_entry == 1;
  T *out = direct ? (T *)q.product + row * q.product_row : w.v;
  double top = 0, along = 0;
  const double some = weight_of(gaps.g, x, gaps.n, &top);
  if (some > 0) along = product_of(gaps, c, (T)(top / tops), temperature, w.e, x, w.v, out);
  else fill(out, gaps.n, (T)0);
  if (q.by_temperature) ((T *)q.by_temperature)[row] = (T)along;
  if (q.product && !direct)
    write_row(q.format, out, mask, q.mask_entry, q.n, q.product, row * q.product_row, q.product_entry);
}

template <class T, int M> static void choose(const Task &q, int64_t row, const Gaps<T> &gaps, double span, double tops,
                                             T peak, double temperature, const Room<T> &w) {
  const uint8_t *mask = q.mask ? q.mask + row * q.mask_row : nullptr;
  const double c = q.given ? q.c[row] : point_of(gaps.alpha, gaps.t, search<T, M>(gaps, span));
  if (q.c && !q.given) q.c[row] = c;
  // rows of whole vectors are written where they belong
  const bool direct = q.p && q.format < 2 && !mask && gaps.n == q.n && q.p_entry == 1 && !q.vector;
  T *e = direct ? (T *)q.p + row * q.p_row : w.e;
  const Found f = weigh<T, M>(gaps, c, tops, e);
  if (q.value || q.entropy) {
    const double entropy = log1p(f.rest) + m_of(gaps.t, f.mean, f.r);
    if (q.value) ((T *)q.value)[row] = (T)(peak + temperature * (entropy - f.mean / c));
    if (q.entropy) ((T *)q.entropy)[row] = (T)entropy;
  }
  if (!q.p && !q.vector) return;
  multiply(e, gaps.n, (T)(1 / (1 + f.rest)));
  if (q.scale) multiply(e, gaps.n, ((const T *)q.scale)[row * q.scale_row]);
  if (q.vector) multiplied(q, row, gaps, c, tops, temperature, w);
  if (q.p && !direct)
    write_row(q.format, e, q.vector ? nullptr : mask, q.mask_entry, q.n, q.p, row * q.p_row, q.p_entry);
}

// e of each entry at α = 1, 0 from the cap on, and their sums; that of e g with MEAN
template <class T, bool EXACT, bool MEAN>
APART Found soft_weights(const T *x_all, T *e_all, int64_t n, T peak, T unit, T cap) {
  const T half = peak / 2;
  double rest = 0, y = 0, tops = 0;
  for (int64_t first = 0; first < n; first += BLOCK) {
    const T *x = x_all + first;
    T *e = e_all + first;
    const int64_t m = smaller(n - first, (int64_t)BLOCK);
    T E = 0, Y = 0, P = 0;
    _Pragma("omp simd reduction(+ : E, Y, P)") for (int64_t i = 0; i < m; i++) {
      const T apart = half - x[i] / 2, gap = smaller(EXACT ? apart * unit : apart / unit, cap);
      const T one = exp_low(-gap, (T)0);
      e[i] = one;
      E += gap == 0 ? (T)0 : one, P += gap == 0 ? (T)1 : (T)0;
      if (MEAN) Y += one * gap;
    }
    rest += E, y += Y, tops += P;
  }
  rest += tops - 1;
  return {rest, y / (1 + rest), 1};
}

// the derivative of p by the scores at α = 1 times a vector x, over the temperature
template <class T> APART bool soft_product(const T *p_all, const T *x_all, int64_t n, T part, T *out_all) {
  T high = -(T)INFINITY;
  double some = 0, tops = 0, top = 0, v = 0, others = 0;
  for (int64_t first = 0; first < n; first += BLOCK) {
    const T *p = p_all + first, *x = x_all + first;
    const int64_t m = smaller(n - first, (int64_t)BLOCK);
    T S = 0;
    _Pragma("omp simd reduction(max : high) reduction(+ : S)") for (int64_t i = 0; i < m; i++) {
      high = p[i] > high ? p[i] : high, S += x[i] != 0 ? (T)1 : (T)0;
    }
    some += S;
  }
  if (!(some > 0)) {
    fill(out_all, n, (T)0);
    return false;
  }
  for (int64_t first = 0; first < n; first += BLOCK) {
    const T *p = p_all + first, *x = x_all + first;
    const int64_t m = smaller(n - first, (int64_t)BLOCK);
    T P = 0, V = 0;
    _Pragma("omp simd reduction(+ : P, V)") for (int64_t i = 0; i < m; i++) {
      P += p[i] == high ? (T)1 : (T)0, V += p[i] == high ? x[i] : (T)0;
    }
    tops += P, top += V;
  }
  // what is left of x keeps its digits where p is small
  const T middle = (T)(top / tops);
  for (int64_t first = 0; first < n; first += BLOCK) {
    const T *p = p_all + first, *x = x_all + first;
    const int64_t m = smaller(n - first, (int64_t)BLOCK);
    T V = 0;
    _Pragma("omp simd reduction(+ : V)") for (int64_t i = 0; i < m; i++) V += p[i] > 0 ? p[i] * (x[i] - middle) : p[i];
    v += V;
  }
  const T mean = (T)v;
  for (int64_t first = 0; first < n; first += BLOCK) {
    const T *p = p_all + first, *x = x_all + first;
    T *out = out_all + first;
    const int64_t m = smaller(n - first, (int64_t)BLOCK);
    T O = 0;
    _Pragma("omp simd reduction(+ : O)") for (int64_t i = 0; i < m; i++) {
      const T one = p[i] > 0 ? p[i] * ((x[i] - middle) - mean) : p[i];
      O += p[i] > (T)0.5 ? (T)0 : one, out[i] = one * part;
    }
    others += O;
  }
  // what has more than half of p gets what the others lose
  if (high > (T)0.5)
    for (int64_t i = 0; i < n; i++) out_all[i] = p_all[i] > (T)0.5 ? (T)-others * part : out_all[i];
  return true;
}

// The scores of a row at α = 1; none where p is known, or the row makes no sense.
template <class T> struct Scores {
  const T *x;
  T peak, unit, cap;

  double along(const T *product, int64_t n) const {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
      const T gap = gap_of<T, false>(x[i], peak / 2, unit / 2, cap);
      sum += gap < (T)INFINITY ? product[i] * gap : (T)0;
    }
    return sum;
  }
};

// the product of a row with its vector at α = 1
template <class T> static void soft_multiplied(const Task &q, int64_t row, const T *p, double temperature,
                                               const Scores<T> &scores, const Room<T> &w) {
  const uint8_t *mask = q.mask ? q.mask + row * q.mask_row : nullptr;
  const T *x = read_row(q.format, q.vector, row * q.vector_row, q.vector_entry, nullptr, 0, q.n, q.n, (T)0, w.v);
  const bool direct = q.product && q.format < 2 && !mask && q.product_entry == 1;
  T *out = direct ? (T *)q.product + row * q.product_row : w.v;
  const bool some = soft_product(p, x, q.n, (T)(1 / temperature), out);
  if (q.by_temperature)
    ((T *)q.by_temperature)[row] = (T)(scores.x ? scores.along(out, q.n) : some ? (double)NAN : 0.0);
  if (q.product && !direct)
    write_row(q.format, out, mask, q.mask_entry, q.n, q.product, row * q.product_row, q.product_entry);
}

template <class T> static void softmax(const Task &q, int64_t row, const T *x, T peak, T unit, T cap, bool exact,
                                       double temperature, const Room<T> &w) {
  const uint8_t *mask = q.mask ? q.mask + row * q.mask_row : nullptr;
  const int64_t n = whole_of<T>(q.n);
  const bool direct = q.p && q.format < 2 && !mask && n == q.n && q.p_entry == 1;
  T *e = direct ? (T *)q.p + row * q.p_row : w.e;
  Found f;
  if (q.entropy) {
    f = exact ? soft_weights<T, true, true>(x, e, n, peak, 2 / unit, cap)
              : soft_weights<T, false, true>(x, e, n, peak, unit / 2, cap);
    ((T *)q.entropy)[row] = (T)(log1p(f.rest) + f.mean);
  } else {
    f = exact ? soft_weights<T, true, false>(x, e, n, peak, 2 / unit, cap)
              : soft_weights<T, false, false>(x, e, n, peak, unit / 2, cap);
  }
  if (q.c && !q.given) q.c[row] = 1;
  if (q.value) ((T *)q.value)[row] = (T)(peak + temperature * log1p(f.rest));
  if (!q.p && !q.vector) return;
  multiply(e, n, (T)(1 / (1 + f.rest)));
  if (q.scale) multiply(e, n, ((const T *)q.scale)[row * q.scale_row]);
  if (q.vector) soft_multiplied(q, row, e, temperature, {x, peak, unit, cap}, w);
  if (q.p && !direct)
    write_row(q.format, e, q.vector ? nullptr : mask, q.mask_entry, q.n, q.p, row * q.p_row, q.p_entry);
}

// NaN, but where the derivative is multiplied by 0
template <class T> static void no_choice(const Task &q, int64_t row, const Room<T> &w) {
  const uint8_t *mask = q.mask ? q.mask + row * q.mask_row : nullptr;
  const T factor = q.scale && ((const T *)q.scale)[row * q.scale_row] == 0 ? (T)0 : (T)NAN;
  if (q.value) ((T *)q.value)[row] = (T)NAN;
  if (q.entropy) ((T *)q.entropy)[row] = (T)NAN;
  if (q.c && !q.given) q.c[row] = 0;
  fill(w.e, q.n, factor);
  // as a derivative of the value it is 0 where it is masked
  const uint8_t *left_out = q.value || q.scale ? mask : nullptr;
  if (q.p) write_row(q.format, w.e, left_out, q.mask_entry, q.n, q.p, row * q.p_row, q.p_entry);
  if (q.vector) soft_multiplied(q, row, w.e, 1, {}, w);
}

template <class T> static void long_row(const Task &q, int64_t row, const Room<T> &w) {
  using F = Format<T>;
  const uint8_t *mask = q.mask ? q.mask + row * q.mask_row : nullptr;
  const Row<T> r(q, row);
  const double alpha = r.alpha, t = r.t, temperature = r.temperature;
  if (q.given == 2) {
    const T *p = read_row(q.format, q.p, row * q.p_row, q.p_entry, nullptr, 0, q.n, q.n, (T)0, w.e);
    soft_multiplied(q, row, p, temperature, {}, w);
    return;
  }
  const int64_t whole = whole_of<T>(q.n);
  const T *x = read_row(q.format, q.x, row * q.x_row, q.x_entry, mask, q.mask_entry, q.n, whole, -(T)INFINITY, w.g);
  double live;
  const T peak = peak_of(x, whole, &live);
  if (!(r.sane && peak > -(T)INFINITY && peak < (T)INFINITY)) {
    no_choice(q, row, w);
    return;
  }
  // beyond the cap c g would overflow, and a larger gap changes no digit
  const T cap = (T)(LARGEST<T> / 64 * smaller(alpha, 1.0) / live), unit = (T)temperature;
  const bool exact = bits<typename F::U>(unit) << (sizeof(T) * 8 - F::mantissa) == 0;
  if (t == 0) {
    softmax(q, row, x, peak, unit, cap, exact, temperature, w);
    return;
  }
  const double tops = exact ? gaps_of<T, true>(x, w.g, whole, peak, 2 / unit, cap)
                            : gaps_of<T, false>(x, w.g, whole, peak, unit / 2, cap);
  const double span = log(live) * smaller(1 / alpha, 1.0);
  const Gaps<T> gaps = {w.g, whole, alpha, t, cap};
#define RENYI_FORM(M) choose<T, M>(q, row, gaps, span, tops, peak, temperature, w)
  switch (r.form()) {
    case LINEAR:
      RENYI_FORM(LINEAR);
      break;
    case SQUARE:
      RENYI_FORM(SQUARE);
      break;
    case INVERSE_SQUARE:
      RENYI_FORM(INVERSE_SQUARE);
      break;
    default:
      RENYI_FORM(POWER);
  }
#undef RENYI_FORM
}

}  // namespace renyi::choice
