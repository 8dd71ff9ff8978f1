// Choices of rows of up to 64 entries, 64 rows at a time, a lane each. What a row gives depends on its length and its
// entries only.
//
// With τ = 1/(t c), B = α/t and S(τ) = Σ max(τ − g, 0)**B, the objective rises with v where log S(τ) − τ does, and at
// its maxima they differ by a constant. For α = 2 and 3/2, where B is 2 and 3, S is a polynomial between two gaps, and
// of each such part the largest log S − τ is known, or soon found. Other orders search row by row, as choice.h does.
#pragma once
#include "choice.h"

namespace renyi::choice {

// What is known of each lane.
template <class T> struct Lanes {
  T peak[LANES], live[LANES], half[LANES], half_unit[LANES], sane[LANES], sound[LANES];
  T cap[LANES], c[LANES], tc[LANES], inverse_t[LANES], over[LANES];
  T mean[LANES], square[LANES], cube[LANES], best[LANES], place[LANES];
  T middle[LANES], center[LANES], pull[LANES], factor[LANES], by[LANES], dominant[LANES];
  double alpha[LANES], t[LANES], temperature[LANES], tops[LANES], point[LANES];
  double total[LANES], y[LANES], w[LANES], inverse[LANES], value[LANES], entropy[LANES];
  double some[LANES], top[LANES], size[LANES], v[LANES], covariance[LANES], variance[LANES], others[LANES],
      along[LANES], most[LANES];
};

// Beside them SHORT × LANES gaps, weights that become p, and room for a vector.
template <class T> struct Workspace {
  Lanes<T> lanes;
  T g[SHORT * LANES], e[SHORT * LANES], v[SHORT * LANES], row[SHORT], padded[SHORT];
};

template <class T> APART void lane_peaks(const T *__restrict x, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    l->peak[i] = x[i] > l->peak[i] ? x[i] : l->peak[i];
    l->live[i] += x[i] > -(T)INFINITY ? (T)1 : x[i] == x[i] ? (T)0 : (T)NAN;
  }
}

// gaps to the peak in units of the temperature; those of a row that makes no sense are 0
template <class T> APART void lane_gaps(const T *__restrict x, T *__restrict g, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const T gap = smaller((l->half[i] - x[i] / 2) / l->half_unit[i], l->cap[i]);
    const T one = l->sound[i] == 0 ? (T)0 : x[i] == -(T)INFINITY ? (T)INFINITY : gap;
    g[i] = one, l->tops[i] += one == 0 ? 1.0 : 0.0;
  }
}
// gaps that say of each entry of p whether it is one of the largest, and whether it is not 0
template <class T> APART void lane_kept_gaps(const T *__restrict p, T *__restrict g, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const bool top = p[i] == l->peak[i];
    g[i] = top ? (T)0 : p[i] > 0 ? (T)1 : (T)INFINITY, l->tops[i] += top ? 1.0 : 0.0;
  }
}

template <class T> APART void exchange(T *__restrict low, T *__restrict high) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const T a = low[i], b = high[i];
    low[i] = smaller(a, b), high[i] = larger(a, b);
  }
}

// Batcher's network, as in Knuth's Algorithm 5.2.2 M
template <class T> static void sort(T *z, int n) {
  int half = 1;
  while (2 * half < n) half *= 2;
  for (int p = half; p > 0; p /= 2) {
    int q = half, r = 0, d = p;
    for (;;) {
      for (int i = 0; i + d < n; i++)
        if ((i & p) == r) exchange(z + i * LANES, z + (i + d) * LANES);
      if (q == p) break;
      d = q - p, q /= 2, r = p;
    }
  }
}

// Newton's method from above for the largest root of s³ − 3 a s − b; some number where that is below √a
template <class T, int STEPS> INLINE T newton(T s, T a, T b, T least) {
  if constexpr (STEPS == 0) {
    return s;
  } else {
    const T square = s * s, next = (2 * s * square + b) / (3 * (square - a));
    return newton<T, STEPS - 1>(next > least ? next : least, a, b, least);
  }
}
template <class T> INLINE T largest_root(T a, T b) {
  const T some = larger(a, (T)0);
  return newton<T, 9>(larger(root(3 * some + larger(b, (T)0)), (T)1), a, b, root(some));
}

// log S − τ with τ between two gaps, `count` of which are not beyond; the moments are those of these about their mean
template <class T, int M> INLINE void propose(T tau, T low, T high, T count, bool known, int i, Lanes<T> *l) {
  tau = tau > low ? tau : low, tau = tau < high ? tau : high;
  const T z = tau - l->mean[i], square = l->square[i] / count, z2 = z * z;
  T s = M == LINEAR ? count * (z2 + square) : count * (z * (z2 + 3 * square) - l->cube[i] / count), rest;
  const T f = log_of(larger(s, Format<T>::tiny), (T)0, false, (T)0, &rest) - tau;
  const bool better = known & (f > l->best[i]);
  l->best[i] = better ? f : l->best[i], l->place[i] = better ? tau : l->place[i];
}

// one more gap, and the largest objective until the next one; returns in how many lanes there may be another
template <class T, int M>
APART int lane_part(const T *__restrict low, const T *__restrict high, T count, Lanes<T> *__restrict l) {
  int more = 0;
  _Pragma("omp simd reduction(+ : more)") for (int i = 0; i < LANES; i++) {
    const T d = low[i] - l->mean[i], part = d / count, term = d * part * (count - 1);
    if (M == SQUARE) l->cube[i] += term * part * (count - 2) - 3 * part * l->square[i];
    l->mean[i] += part, l->square[i] += term;
    const T a = 1 - l->square[i] / count, edge = root(larger(a, (T)0));
    T s = edge;
    if (M == SQUARE) {
      const T b = 2 + l->cube[i] / count;
      s = largest_root(a, b);
      const T start = low[i] - l->mean[i] - 1, slack = (T)1e-3;
      const bool other = (start <= slack - edge) & (start * (start * start - 3 * a) <= b + slack) &
                         (b <= 2 * edge * edge * edge + slack);
      l->over[i] = other ? (T)1 : (T)0, more += other ? 1 : 0;
    }
    propose<T, M>(l->mean[i] + 1 + s, low[i], high[i], count, true, i, l);
  }
  return more;
}
// the objective may have a maximum at the least root too
template <class T>
APART void lane_other_part(const T *__restrict low, const T *__restrict high, T count, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const T s = -largest_root(1 - l->square[i] / count, -2 - l->cube[i] / count);
    propose<T, SQUARE>(l->mean[i] + 1 + s, low[i], high[i], count, l->over[i] != 0, i, l);
  }
}

// Σ e, Σ e w and Σ e/w in double: where the objective is flat, the root of v − M has few of the digits of sums
template <class T, int M> APART void lane_sums(const T *__restrict g, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const double u = 1 - l->t[i] * l->point[i] * (double)g[i], w = u > 0 ? u : 0.0;
    const double e = M == LINEAR ? w : w * w, one = u > 0 ? 1.0 : 0.0;
    l->total[i] += e, l->w[i] += e * w, l->inverse[i] += M == LINEAR ? one : w;
  }
}
template <class T> APART void lane_places(Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) l->c[i] = (T)l->point[i], l->tc[i] = (T)(l->t[i] * l->point[i]);
}
// a step of Newton's method
template <class T> APART void lane_step(Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const double E = l->total[i], W = l->w[i], c = l->point[i];
    const double rise = (l->alpha[i] * E * E - l->inverse[i] * W) / (l->t[i] * E * W);
    const double step = (W / E / l->alpha[i] - c) / (rise > 1e-6 ? rise : 1.0);
    l->point[i] = (rise > 1e-6) & (fabs(step) < 0.01 * c) ? c + step : c;
    l->total[i] = l->w[i] = l->inverse[i] = 0;
  }
}

template <class T, int M> static void search_parts(int n, Workspace<T> &w) {
  Lanes<T> &l = w.lanes;
  // the last gap that counts is below 16
  constexpr T most = 32;
  for (int i = 0; i < n * LANES; i++) w.v[i] = smaller(w.g[i], most);
  sort(w.v, n);
  T end[LANES];
  for (int i = 0; i < LANES; i++) {
    end[i] = most, l.best[i] = -(T)INFINITY, l.mean[i] = l.square[i] = l.cube[i] = 0;
    l.total[i] = l.w[i] = l.inverse[i] = 0;
  }
  for (int j = 0; j < n; j++) {
    const T *low = w.v + j * LANES, *high = j + 1 < n ? low + LANES : end;
    if (lane_part<T, M>(low, high, (T)(j + 1), &l)) lane_other_part(low, high, (T)(j + 1), &l);
  }
  for (int i = 0; i < LANES; i++) l.point[i] = 1 / (l.t[i] * l.place[i]);
  for (int k = 0; k < 3; k++) {
    for (int j = 0; j < n; j++) lane_sums<T, M>(w.g + j * LANES, &l);
    lane_step(&l);
  }
}

template <class T, int M> static double search_row(const T *g, int n, int i, Workspace<T> &w) {
  constexpr int lanes = Format<T>::lanes;
  const int64_t whole = (n + lanes - 1) / lanes * lanes;
  const Lanes<T> &l = w.lanes;
  for (int j = 0; j < whole; j++) w.padded[j] = j < n ? g[j * LANES + i] : (T)INFINITY;
  const double span = log((double)l.live[i]) * smaller(1 / l.alpha[i], 1.0);
  return point_of(l.alpha[i], l.t[i], search<T, M>({w.padded, whole, l.alpha[i], l.t[i], l.cap[i]}, span));
}

// e of each entry, and their sums; that of e y with MEAN
template <class T, int M, bool MEAN>
APART void lane_weights(const T *__restrict g, T *__restrict e, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const Entry<T> a = entry_of<T, M>(g[i], {l->c[i], l->tc[i], l->inverse_t[i], l->cap[i]});
    e[i] = a.e;
    l->total[i] += g[i] == 0 ? (T)0 : a.e;
    if (M != SOFTMAX) l->w[i] += a.e * a.w;
    if (MEAN) l->y[i] += a.e * a.y;
  }
}
template <class T, int M> APART void lane_values(Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const double rest = l->total[i], total = 1 + rest, mean = l->y[i] / total, t = l->t[i], most = log1p_(rest);
    double lost, m = mean;
    if (M != SOFTMAX) {
      const bool near = t * mean < 0.5;
      const double all = log_of(l->w[i] / total, 0.0, false, 0.0, &lost);
      m = -(near ? log1p_(near ? -t * mean : 0.0) : all) / t;
    }
    l->entropy[i] = most + m;
    l->value[i] = l->peak[i] + l->temperature[i] * (M == SOFTMAX ? most : most + m - mean / l->point[i]);
  }
}
template <class T> APART void lane_scale(T *__restrict x, const T *__restrict factor) {
  SIMD
  for (int i = 0; i < LANES; i++) x[i] *= factor[i];
}

// how many entries of a vector are not 0, and the sum of those at the largest scores
template <class T> APART void lane_tops(const T *__restrict g, const T *__restrict x, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) l->some[i] += x[i] != 0 ? 1.0 : 0.0, l->top[i] += g[i] == 0 ? x[i] : (T)0;
}
// The derivative of p times a vector, as product_of has it: what is left of the vector, the means of it and y, ...
template <class T, int M>
APART void lane_means(const T *__restrict g, const T *__restrict p, T *__restrict x, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const Place<T> at = {l->c[i], l->tc[i], l->inverse_t[i], l->cap[i]};
    const Entry<T> a = M == SOFTMAX ? Entry<T>{0, 1, g[i] <= at.cap ? (T)1 : (T)0} : entry_of<T, LINEAR>(g[i], at);
    const T one = a.e > 0 ? x[i] - l->middle[i] : -l->middle[i], inverse = M == SOFTMAX ? (T)1 : 1 / a.w;
    x[i] = one;
    l->v[i] += p[i] * (inverse * one);
    if (M != SOFTMAX) l->size[i] += p[i] * inverse, l->y[i] += p[i] * (a.y * inverse);
  }
}
// ... their covariances, ...
template <class T> APART void lane_covariances(const T *__restrict g, const T *__restrict p, const T *__restrict x,
                                               Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    const Entry<T> a = entry_of<T, LINEAR>(g[i], {l->c[i], l->tc[i], l->inverse_t[i], l->cap[i]});
    const T inverse = 1 / a.w, apart = a.y - l->center[i];
    l->covariance[i] += p[i] * ((a.y * inverse) * (x[i] - l->pull[i]));
    l->variance[i] += p[i] * (apart * inverse) * apart;
  }
}
// ... and the product, in place of the vector
template <class T, int M>
APART void lane_products(const T *__restrict g, const T *__restrict p, T *__restrict x, Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) {
    T one = p[i] * (x[i] - l->pull[i]);
    if (M != SOFTMAX) {
      const Entry<T> a = entry_of<T, LINEAR>(g[i], {l->c[i], l->tc[i], l->inverse_t[i], l->cap[i]});
      one = p[i] * (l->c[i] / a.w) * ((x[i] - l->pull[i]) + l->factor[i] * (a.y - l->center[i]));
    }
    const bool most = p[i] > (T)0.5;
    l->others[i] += most ? (T)0 : one, l->most[i] += most ? 1.0 : 0.0;
    l->along[i] += g[i] < (T)INFINITY ? one * g[i] : (T)0;
    x[i] = one * l->by[i];
  }
}
// what has more than half of p gets what the others lose
template <class T> APART void lane_dominant(const T *__restrict p, T *__restrict x, const Lanes<T> *__restrict l) {
  SIMD
  for (int i = 0; i < LANES; i++) x[i] = p[i] > (T)0.5 ? l->dominant[i] : x[i];
}

template <class T, int M> static void multiply_rows(int n, Workspace<T> &w) {
  Lanes<T> &l = w.lanes;
  for (int i = 0; i < LANES; i++) {
    l.some[i] = l.top[i] = l.size[i] = l.v[i] = l.y[i] = l.covariance[i] = l.variance[i] = l.others[i] = l.along[i] = 0;
    l.most[i] = 0;
  }
  for (int j = 0; j < n; j++) lane_tops(w.g + j * LANES, w.v + j * LANES, &l);
  for (int i = 0; i < LANES; i++) l.middle[i] = (T)(l.top[i] / l.tops[i]), l.by[i] = (T)(1 / l.temperature[i]);
  for (int j = 0; j < n; j++) lane_means<T, M>(w.g + j * LANES, w.e + j * LANES, w.v + j * LANES, &l);
  for (int i = 0; i < LANES; i++) {
    if (M == SOFTMAX) l.size[i] = 1;
    l.center[i] = (T)(l.y[i] / l.size[i]), l.pull[i] = (T)(l.v[i] / l.size[i]);
  }
  if (M != SOFTMAX)
    for (int j = 0; j < n; j++) lane_covariances(w.g + j * LANES, w.e + j * LANES, w.v + j * LANES, &l);
  for (int i = 0; i < LANES; i++) {
    const double x = 1 / l.size[i], curvature = x * x - l.t[i] * l.variance[i] / l.size[i];
    l.factor[i] = (T)(l.alpha[i] * (l.covariance[i] / l.size[i]) * l.t[i] / (curvature != 0 ? curvature : 1));
  }
  for (int j = 0; j < n; j++) lane_products<T, M>(w.g + j * LANES, w.e + j * LANES, w.v + j * LANES, &l);
  bool dominated = false;
  for (int i = 0; i < LANES; i++) {
    l.dominant[i] = (T)-l.others[i] * l.by[i], l.along[i] /= l.temperature[i], dominated |= l.most[i] > 0;
  }
  for (int j = 0; j < n && dominated; j++) lane_dominant(w.e + j * LANES, w.v + j * LANES, &l);
}

// Rows from memory to lanes, `nothing` where they are masked, and back, 0 there.
template <class T> static void take(const Task &q, const void *from, int64_t row, int64_t entry, const uint8_t *mask,
                                    T nothing, int i, T *__restrict to, T *room) {
  const bool plain = q.format < 2 && entry == 1 && !mask;
  const T *z =
      plain ? (const T *)from + row : read_row(q.format, from, row, entry, mask, q.mask_entry, q.n, q.n, nothing, room);
  for (int j = 0; j < (int)q.n; j++) to[j * LANES + i] = z[j];
}
template <class T> static void put(const Task &q, const T *__restrict from, int i, const uint8_t *mask, void *to,
                                   int64_t row, int64_t entry, T *room) {
  const bool plain = q.format < 2 && entry == 1 && !mask;
  T *out = plain ? (T *)to + row : room;
  for (int j = 0; j < (int)q.n; j++) out[j] = from[j * LANES + i];
  if (!plain) write_row(q.format, out, mask, q.mask_entry, q.n, to, row, entry);
}

INLINE const uint8_t *mask_of(const Task &q, int64_t row) { return q.mask ? q.mask + row * q.mask_row : nullptr; }

// the gaps of rows, what is known of them, and where on its curve each is
template <class T, int M>
static void settle(const Task &q, int64_t first, int rows, const int *forms, Workspace<T> &w) {
  Lanes<T> &l = w.lanes;
  const int n = (int)q.n;
  for (int i = 0; i < LANES; i++) {
    l.half[i] = l.peak[i] / 2, l.half_unit[i] = (T)l.temperature[i] / 2, l.point[i] = 1;
    l.cap[i] = (T)(LARGEST<T> / 64 * smaller(l.alpha[i], 1.0) / l.live[i]);
  }
  for (int j = 0; j < n; j++) lane_gaps(w.e + j * LANES, w.g + j * LANES, &l);
  if (M == SOFTMAX || q.given)
    for (int i = 0; i < rows && M != SOFTMAX; i++) l.point[i] = q.c[first + i];
  else if constexpr (M == LINEAR || M == SQUARE) search_parts<T, M>(n, w);
  else if constexpr (M != SOFTMAX)
    for (int i = 0; i < rows; i++)
      if (forms[i] == M && l.sound[i] != 0) l.point[i] = search_row<T, M>(w.g, n, i, w);
}

// rows of one form among those from `first`, whose forms are `forms`
template <class T, int M>
static void choose_rows(const Task &q, int64_t first, int rows, const int *forms, Workspace<T> &w) {
  Lanes<T> &l = w.lanes;
  const int n = (int)q.n, kept = q.given == 2;
  if (first == q.first || q.order_row || q.temperature_row) {
    int known = 0;
    while (forms[known] != M) known++;
    for (int i = 0; i < LANES; i++) {
      const Row<T> r(q, first + (i < rows && forms[i] == M ? i : known));
      l.alpha[i] = r.alpha, l.t[i] = r.t, l.temperature[i] = r.temperature, l.sane[i] = r.sane ? (T)1 : (T)0;
      l.inverse_t[i] = (T)(M == SOFTMAX ? 1 : 1 / r.t);
    }
  }
  for (int i = 0; i < LANES; i++) {
    const int64_t row = first + (i < rows ? i : 0);
    if (kept) take(q, q.p, row * q.p_row, q.p_entry, nullptr, (T)0, i, w.e, w.row);
    else take(q, q.x, row * q.x_row, q.x_entry, mask_of(q, row), -(T)INFINITY, i, w.e, w.row);
  }
  for (int i = 0; i < LANES; i++) {
    l.peak[i] = -(T)INFINITY, l.live[i] = 0;
    l.tops[i] = l.total[i] = l.y[i] = l.w[i] = 0, l.cap[i] = l.c[i] = 1;
  }
  for (int j = 0; j < n; j++) lane_peaks(w.e + j * LANES, &l);
  for (int i = 0; i < LANES; i++) {
    const bool sound = (l.sane[i] != 0) & (l.live[i] > 0) & (l.peak[i] < (T)INFINITY);
    l.sound[i] = sound ? (T)1 : (T)0;
    l.peak[i] = sound ? l.peak[i] : (T)0, l.live[i] = sound ? l.live[i] : (T)1;
  }
  if (kept) {
    for (int j = 0; j < n; j++) lane_kept_gaps(w.e + j * LANES, w.g + j * LANES, &l);
  } else {
    settle<T, M>(q, first, rows, forms, w);
    for (int i = 0; i < rows && q.c && !q.given; i++)
      if (forms[i] == M) q.c[first + i] = l.sound[i] != 0 ? l.point[i] : 0;
    lane_places(&l);
    for (int i = 0; i < LANES; i++) l.total[i] = l.w[i] = 0;
    for (int j = 0; j < n; j++) {
      if (M == SOFTMAX && !q.entropy) lane_weights<T, M, false>(w.g + j * LANES, w.e + j * LANES, &l);
      else lane_weights<T, M, true>(w.g + j * LANES, w.e + j * LANES, &l);
    }
    for (int i = 0; i < LANES; i++) l.total[i] += l.tops[i] - 1;
  }
  if (q.value || q.entropy) lane_values<T, M>(&l);
  if (!kept && (q.p || q.vector)) {
    for (int i = 0; i < LANES; i++) l.over[i] = (T)(1 / (1 + l.total[i]));
    for (int j = 0; j < n; j++) lane_scale(w.e + j * LANES, l.over);
    if (q.scale) {
      for (int i = 0; i < LANES; i++) l.over[i] = ((const T *)q.scale)[(first + (i < rows ? i : 0)) * q.scale_row];
      for (int j = 0; j < n; j++) lane_scale(w.e + j * LANES, l.over);
    }
  }
  if (q.vector) {
    for (int i = 0; i < LANES; i++)
      take(q, q.vector, (first + (i < rows ? i : 0)) * q.vector_row, q.vector_entry, nullptr, (T)0, i, w.v, w.row);
    multiply_rows<T, M>(n, w);
  }
  for (int i = 0; i < rows; i++) {
    if (forms[i] != M) continue;
    const int64_t row = first + i;
    const uint8_t *mask = mask_of(q, row);
    const bool sound = l.sound[i] != 0;
    if (q.value) ((T *)q.value)[row] = sound ? (T)l.value[i] : (T)NAN;
    if (q.entropy) ((T *)q.entropy)[row] = sound ? (T)l.entropy[i] : (T)NAN;
    if (!sound) {
      // NaN, but where the derivative is multiplied by 0; as that of the value it is 0 where it is masked
      const T factor = q.scale && ((const T *)q.scale)[row * q.scale_row] == 0 ? (T)0 : (T)NAN;
      l.along[i] = l.some[i] > 0 ? NAN : 0;
      for (int j = 0; j < n; j++) w.e[j * LANES + i] = factor, w.v[j * LANES + i] = (T)l.along[i];
      if (!q.value && !q.scale) mask = nullptr;
    } else if (q.vector) {
      if (!(l.some[i] > 0))
        for (int j = 0; j < n; j++) w.v[j * LANES + i] = 0;
      l.along[i] = l.some[i] > 0 ? l.along[i] : 0;
      mask = nullptr;
    }
    if (q.p && !kept) put(q, w.e, i, mask, q.p, row * q.p_row, q.p_entry, w.row);
    if (q.by_temperature) ((T *)q.by_temperature)[row] = (T)l.along[i];
    if (q.product) put(q, w.v, i, mask_of(q, row), q.product, row * q.product_row, q.product_entry, w.row);
  }
}

template <class T> static void short_rows(const Task &q, Workspace<T> &w) {
  int forms[LANES], seen = 0;
  for (int64_t first = q.first; first < q.last; first += LANES) {
    const int rows = (int)smaller(q.last - first, (int64_t)LANES);
    if (first == q.first || q.order_row) seen = 0;
    for (int i = 0; i < rows && (first == q.first || q.order_row); i++)
      forms[i] = q.given == 2 ? SOFTMAX : Row<T>(q, first + i).form(), seen |= 1 << forms[i];
#define RENYI_FORM(M) \
  if (seen >> M & 1) choose_rows<T, M>(q, first, rows, forms, w)
    RENYI_FORM(SOFTMAX);
    RENYI_FORM(LINEAR);
    RENYI_FORM(SQUARE);
    RENYI_FORM(INVERSE_SQUARE);
    RENYI_FORM(POWER);
#undef RENYI_FORM
  }
}

template <class T> static int64_t run(Task q) {
  if (!q.alpha) q.alpha = &q.one_alpha, q.t = &q.one_t, q.order_row = 0;
  const int64_t part = whole_of<T>(q.n) + 64 / sizeof(T);
  const int64_t size = q.n <= SHORT ? sizeof(Workspace<T>) : 3 * part * sizeof(T);
  T *room = (T *)aligned_alloc(64, (size + 63) / 64 * 64);
  if (!room) return -1;
  if (q.n <= SHORT) short_rows(q, *(Workspace<T> *)room);
  else
    for (int64_t row = q.first; row < q.last; row++) long_row<T>(q, row, {room, room + part, room + 2 * part});
  free(room);
  return 0;
}

}  // namespace renyi::choice
