// The partial state of a set of entries, how it grows, merges and finishes, and an entry of the gradient.
//
// The mathematics is that of renyi_core/_kernels/state.py. Nothing here knows of threads or memory. With
// tau = |alpha - 1|, e = exp(d), w = exp(alpha d), b = e where alpha > 1 and w where alpha < 1:
//
//     s = sum (w - e)/t = sum b expm1(tau d)/tau          dH/dz = -alpha (b/B) expm1(tau (d - c))/tau,   B = sum b
//
// KIND is the class of the order and GAP says that s is summed, and not w alone: for a gradient, and near alpha = 1.

enum { SHANNON, SQUARE, CUBE, FOURTH, ROOT, ABOVE, BELOW, INFINITE };

[[maybe_unused]] constexpr bool POWERED = KIND == SQUARE || KIND == CUBE || KIND == FOURTH || KIND == ROOT;
constexpr bool OVER_ONE = KIND == SQUARE || KIND == CUBE || KIND == FOURTH || KIND == ABOVE;
constexpr bool WITH_S = KIND == SHANNON || (GAP && KIND != INFINITE);
constexpr bool WITH_W = KIND != SHANNON && KIND != INFINITE && (!GAP || OVER_ONE);
// what is rounded to half precision in the end needs neither
constexpr bool REFINED = ELEMENT == 4;
constexpr bool COMPENSATED = ELEMENT != 2;

// in place of d = -inf, so that no product is 0 * inf and tau * d stays finite: e is 0 all the same
constexpr A DEAD = ELEMENT == 8 ? A(-1e300) : KIND == ABOVE ? A(-1e18) : A(-2e38);

#define INF A(__int_as_float(0x7f800000))
#define NOT_A_NUMBER A(__int_as_float(0x7fc00000))

// The order in the precision of the sums; over_t = 1/t and over_tau = 1/|t|, 0 at t = 0.
struct Order {
    A alpha, t, tau, over_t, over_tau;
};

// Entries with d < 0 are summed in below (e), below_w (w) and s; those with d = 0 are counted.
struct State {
    A peak, count, below, below_w, s;
};

// A state under way, with what the long sums have lost to rounding so far.
struct Running {
    State state;
    A lost, lost_w, lost_s;
};

struct Rows {
    A total, h_inf, c, h, total_w;
};

// What the gradient needs of a row; peaked = exp(-tau c). At infinity c is the derivative of each largest entry.
struct Line {
    A peak, c, factor, peaked;
};

// e = exp(d), w = exp(alpha d), and where alpha > 1, q = w/e = exp(tau d).
struct Powers {
    A e, w, q;
};

__device__ __forceinline__ A as_sum(T x) {
#if ELEMENT == 2
    return half_to_float(x);
#else
    return x;
#endif
}

__device__ __forceinline__ T as_element(A x) {
#if ELEMENT == 2
    return float_to_half(x);
#else
    return x;
#endif
}

// of a number and a NaN, the number
__device__ __forceinline__ float larger(float a, float b) {
    return fmaxf(a, b);
}

__device__ __forceinline__ double larger(double a, double b) {
    return fmax(a, b);
}

__device__ __forceinline__ double exponential(double x) {
    return exp(x);
}

// exp for x <= 88 or so. The product with log2(e) is rounded by up to |x|/2 eps of the result: put back to first order
__device__ __forceinline__ float exponential(float x) {
    const float y = x * 1.44269504f;
    const float z = exp2_fast(y);
    return REFINED ? fmaf(z, fmaf(-y, 0.693147181f, x), z) : z;
}

// expm1(u)/u for |u| <= 1/2
__device__ __forceinline__ float expm1_ratio(float u) {
    float p;
    if (REFINED) {
        p = fmaf(u, 2.48015873e-5f, 1.98412698e-4f);
        p = fmaf(u, p, 1.38888889e-3f);
        p = fmaf(u, p, 8.33333333e-3f);
    } else {
        p = fmaf(u, 1.38888889e-3f, 8.33333333e-3f);
    }
    p = fmaf(u, p, 4.16666667e-2f);
    p = fmaf(u, p, 1.66666667e-1f);
    p = fmaf(u, p, 0.5f);
    return fmaf(u, p, 1.0f);
}

// exp(tau d) of the one-exponential orders, given b
__device__ __forceinline__ A small_power(A b) {
    return KIND == CUBE ? b * b : KIND == FOURTH ? b * b * b : b;
}

__device__ __forceinline__ Powers powers(A d, const Order& order) {
    if (KIND == ROOT) {
        const A w = exponential(A(0.5) * d);
        return {w * w, w, 0};
    }
    const A e = exponential(d);
    if (KIND == BELOW) return {e, exponential(order.alpha * d), 0};
    if (!OVER_ONE) return {e, e, 1};
    const A q = KIND == ABOVE ? exponential(order.tau * d) : small_power(e);
    return {e, e * q, q};
}

// (w - e)/t <= 0, exact near d = 0
__device__ __forceinline__ A gap(A d, Powers p, const Order& order) {
    if (KIND == SHANNON) return p.e * d;
    const A u = order.tau * d;
    const A b = OVER_ONE ? p.e : p.w;
#if ELEMENT == 8
    return b * (expm1(u) * order.over_tau);
#else
    const A near = d * expm1_ratio(u);
    if (OVER_ONE) return b * (u > A(-0.5) ? near : p.q * order.over_tau - order.over_tau);
    return u > A(-0.5) ? b * near : (p.w - p.e) * order.over_t;
#endif
}

__device__ __forceinline__ State empty_state() {
    return {-INF, 0, 0, 0, 0};
}

__device__ __forceinline__ Running empty_running() {
    return {empty_state(), 0, 0, 0};
}

// The same set of entries, centered on a peak that is not below its own.
__device__ __forceinline__ void recenter(State& state, A peak, const Order& order) {
    if (state.peak == peak) return;
    const A d = at_least(state.peak - peak, DEAD);
    const Powers p = powers(d, order);
    const A total = state.below + state.count;
    if (WITH_S) state.s = state.s * p.w + total * gap(d, p, order);
    if (WITH_W) state.below_w = (state.below_w + state.count) * p.w;
    state.below = total * p.e;
    state.count = 0;
    state.peak = peak;
}

// Add sums that are centered on the same peak.
__device__ __forceinline__ void add_sums(State& state, const State& other) {
    state.count += other.count;
    state.below += other.below;
    if (WITH_W) state.below_w += other.below_w;
    if (WITH_S) state.s += other.s;
}

__device__ __forceinline__ void merge(State& state, State other, const Order& order) {
    const A peak = larger(state.peak, other.peak);
    recenter(state, peak, order);
    recenter(other, peak, order);
    add_sums(state, other);
}

__device__ __forceinline__ void add_compensated(A& sum, A& lost, A term) {
    if (!COMPENSATED) {
        sum += term;
        return;
    }
    const A y = term - lost;
    const A next = sum + y;
    lost = (next - sum) - y;
    sum = next;
}

// Add N entries, -inf for none. A NaN is no maximum, but it stays in the sums.
template <int N>
__device__ __forceinline__ void add_entries(Running& running, const A (&z)[N], const Order& order) {
    State& state = running.state;
    A peak = z[0];
#pragma unroll
    for (int i = 1; i < N; i++) peak = larger(z[i], peak);
    if (peak > state.peak) {
        recenter(state, peak, order);
        running.lost = running.lost_w = running.lost_s = 0;
    }
    const A base = state.peak == -INF ? A(0) : state.peak;
    State tile = empty_state();
#pragma unroll
    for (int i = 0; i < N; i++) {
        const A d = at_least(z[i] - base, DEAD);
        const Powers p = powers(d, order);
        // of a NaN, too, 1
        const A low = d != 0 ? A(1) : A(0);
        tile.count += low;
        if (KIND == ROOT && WITH_W) {
            tile.below_w += low * p.w;
            tile.below += low * p.w * p.w;
        } else {
            tile.below += low * p.e;
            if (WITH_W) tile.below_w += OVER_ONE ? low * p.e * p.q : low * p.w;
        }
        if (WITH_S) tile.s += gap(d, p, order);
    }
    state.count += N - tile.count;
    add_compensated(state.below, running.lost, tile.below);
    if (WITH_W) add_compensated(state.below_w, running.lost_w, tile.below_w);
    if (WITH_S) add_compensated(state.s, running.lost_s, tile.s);
}

// NaN where nothing has any weight, or something is NaN or +inf.
__device__ __forceinline__ Rows finish(const State& state, const Order& order) {
    A r0 = state.below + (state.count - 1);
    if (!(state.count > 0 && r0 >= 0)) r0 = NOT_A_NUMBER;
    const A total = 1 + r0;
    const A h_inf = log1p(r0);
    if (KIND == INFINITE) return {total, h_inf, 0 * h_inf, h_inf, 0 * h_inf};
    if (KIND == SHANNON) {
        const A c = state.s / total;
        return {total, h_inf, c, h_inf - c, total};
    }
    const A rw = state.below_w + (state.count - 1) + 0 * r0;
    if (!WITH_S) {
        const A c = (log1p(rw) - h_inf) * order.over_t;
        return {total, h_inf, c, h_inf - c, 1 + rw};
    }
    const A mean = state.s / total;
    const A x = order.t * mean;
    // below, log1p(x)/x is 1 to the last digit, and t * mean may be nothing at all
    A c = (x < 0 ? -x : x) < A(1e-20) ? mean : log1p(x) * order.over_t;
    A total_w = total * (1 + x);
    if (OVER_ONE && x < A(-0.5)) {
        // most of the sum of e is lost in that of w = e + t s: that sum serves by itself
        c = (log1p(rw) - h_inf) * order.over_t;
        total_w = 1 + rw;
    }
    return {total, h_inf, c, h_inf - c, total_w};
}

__device__ __forceinline__ Line line_of(const State& state, const Rows& rows, const Order& order) {
    if (KIND == INFINITE) return {state.peak, -state.below / (state.count * rows.total), 1 / rows.total, 0};
    if (KIND == SHANNON) return {state.peak, rows.c, -1 / rows.total, 0};
    const A b = OVER_ONE ? rows.total : rows.total_w;
    return {state.peak, rows.c, -order.alpha / b, A(exp(-order.tau * rows.c))};
}

__device__ __forceinline__ Line scaled(Line line, A factor) {
    // of a row that does not count, whatever it holds
    line.factor = factor == 0 ? A(0) : line.factor * factor;
    if (KIND == INFINITE) line.c = factor == 0 ? A(0) : line.c * factor;
    return line;
}

// The derivative with respect to a logit, times what the row's factor was multiplied by.
__device__ __forceinline__ A gradient_entry(A z, const Line& line, const Order& order) {
    if (line.factor == 0) return line.factor;
    const A d = at_least(z - line.peak, DEAD);
    if (KIND == INFINITE) return d == 0 ? line.c : line.factor * exponential(d);
    const A v = d - line.c;
    if (KIND == SHANNON) return line.factor * (exponential(d) * v);
    const A u = order.tau * v;
    const A b = exponential(KIND == ROOT ? A(0.5) * d : KIND == BELOW ? order.alpha * d : d);
#if ELEMENT == 8
    return line.factor * (b * (expm1(u) * order.over_tau));
#else
    // exp(u), without another exponential where b's serves
    const A moved = POWERED ? small_power(b) * line.peaked : exponential(u);
    const A near = v * expm1_ratio(u);
    const A far = moved * order.over_tau - order.over_tau;
    return line.factor * (b * (u > A(-0.5) && u < A(0.5) ? near : far));
#endif
}
