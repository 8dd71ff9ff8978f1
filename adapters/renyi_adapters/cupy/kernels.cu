// The kernels: which thread takes which entries, and how the threads' states meet. Sums have one order: no atomics.
//
// Rows are numbered outer * inner; strides are in elements (short_rows takes rows one after another, aligned). partial,
// fields, lines and values are planes of one number for each row (of partial: for each row and split) and may be null
// where they are not wanted.

constexpr int THREADS = 256;
// at least so many at a time on a multiprocessor: 64 registers a thread, 128 for double, and no spills
constexpr int BLOCKS = ELEMENT == 8 ? 2 : 4;
constexpr int WARPS = THREADS / 32;
constexpr int PARTS = 16 / sizeof(T);
// vectors, and entries one by one, that a thread has under way
constexpr int UNROLL = ELEMENT == 8 ? 2 : 4;
constexpr int SCALARS = 4;
// the longest row of short_rows
constexpr int SHORT_BYTES = 128;
constexpr unsigned ALL = 0xffffffffu;

#define ORDER_PARAMETERS A alpha, A t, A tau, A over_t, A over_tau
#define ORDER {alpha, t, tau, over_t, over_tau}
#define ROW_PARAMETERS                                                                                              \
    const T *__restrict__ x, const bool *__restrict__ mask, i64 rows, i64 n, i64 inner, i64 x_outer, i64 x_inner,   \
        i64 x_entry, i64 mask_outer, i64 mask_inner, i64 mask_entry
#define RESULT_PARAMETERS                                                                                           \
    A *__restrict__ partial, A *__restrict__ values, A *__restrict__ fields, A *__restrict__ lines
#define RESULTS {partial, values, fields, lines}

struct Results {
    A *partial, *values, *fields, *lines;
};

__device__ __forceinline__ i64 offset_of(i64 row, i64 inner, i64 outer_stride, i64 inner_stride) {
    if (row < inner) return row * inner_stride;
    const i64 outer = row < 0x100000000LL ? (i64)((unsigned)row / (unsigned)inner) : row / inner;
    return outer * outer_stride + (row - outer * inner) * inner_stride;
}

// The state of what this thread's group of lanes, a power of two within a warp, holds; the same in each of them.
__device__ __forceinline__ void reduce_lanes(State& state, const Order& order, int lanes) {
    A peak = state.peak;
    for (int step = lanes >> 1; step > 0; step >>= 1) peak = larger(peak, __shfl_xor_sync(ALL, peak, step));
    recenter(state, peak, order);
    for (int step = lanes >> 1; step > 0; step >>= 1) {
        State other = empty_state();
        other.count = __shfl_xor_sync(ALL, state.count, step);
        other.below = __shfl_xor_sync(ALL, state.below, step);
        if (WITH_W) other.below_w = __shfl_xor_sync(ALL, state.below_w, step);
        if (WITH_S) other.s = __shfl_xor_sync(ALL, state.s, step);
        add_sums(state, other);
    }
}

// The state of the block, in its first warp.
__device__ __forceinline__ void reduce_block(State& state, const Order& order) {
    __shared__ State warps[WARPS];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    reduce_lanes(state, order, 32);
    if (lane == 0) warps[warp] = state;
    __syncthreads();
    if (warp == 0) {
        state = lane < WARPS ? warps[lane] : empty_state();
        reduce_lanes(state, order, 32);
    }
}

__device__ __forceinline__ void write_partial(const State& state, A* partial, i64 index, i64 count) {
    partial[index] = state.peak;
    partial[index + count] = state.count;
    partial[index + 2 * count] = state.below;
    if (WITH_W) partial[index + 3 * count] = state.below_w;
    if (WITH_S) partial[index + 4 * count] = state.s;
}

__device__ __forceinline__ State read_partial(const A* partial, i64 index, i64 count) {
    State state = {partial[index], partial[index + count], partial[index + 2 * count], 0, 0};
    if (WITH_W) state.below_w = partial[index + 3 * count];
    if (WITH_S) state.s = partial[index + 4 * count];
    return state;
}

__device__ __forceinline__ void write_row(const State& state, const Order& order, i64 row, i64 rows, Results out) {
    const Rows result = finish(state, order);
    if (out.values) out.values[row] = result.h;
    if (out.fields) {
        out.fields[row] = result.total;
        out.fields[row + rows] = result.h_inf;
        out.fields[row + 2 * rows] = result.c;
        out.fields[row + 3 * rows] = result.h;
        out.fields[row + 4 * rows] = result.total_w;
    }
    if (out.lines) {
        const Line line = line_of(state, result, order);
        out.lines[row] = line.peak;
        out.lines[row + rows] = line.c;
        out.lines[row + 2 * rows] = line.factor;
        out.lines[row + 3 * rows] = line.peaked;
    }
}

__device__ __forceinline__ void write_state(
    const State& state, const Order& order, i64 row, i64 rows, i64 split, i64 splits, Results out) {
    if (out.partial) {
        write_partial(state, out.partial, row * splits + split, rows * splits);
    } else {
        write_row(state, order, row, rows, out);
    }
}

// Entries first, first + step, ... below end, one by one.
template <int N>
__device__ __forceinline__ void add_scalars(
    Running& running, const T* x, const bool* mask, i64 first, i64 step, i64 end, i64 x_entry, i64 mask_entry,
    const Order& order) {
    for (i64 i = first; i < end; i += N * step) {
        A z[N];
#pragma unroll
        for (int k = 0; k < N; k++) {
            const i64 at = i + k * step;
            const bool live = at < end && (!mask || mask[at * mask_entry]);
            z[k] = live ? as_sum(x[at * x_entry]) : -INF;
        }
        add_entries(running, z, order);
    }
}

template <int N>
__device__ __forceinline__ void add_vectors(Running& running, const Vector* from, const Order& order) {
    Vector loaded[N];
    A z[N * PARTS];
#pragma unroll
    for (int j = 0; j < N; j++) loaded[j] = from[j * THREADS];
#pragma unroll
    for (int j = 0; j < N; j++) {
#pragma unroll
        for (int k = 0; k < PARTS; k++) z[j * PARTS + k] = as_sum(loaded[j].part[k]);
    }
    add_entries(running, z, order);
}

// What is left before the first and after the last whole vector of a piece of memory.
struct Peeled {
    i64 head, vectors, end;

    __device__ __forceinline__ Peeled(const T* start, i64 length) {
        const i64 unaligned = (i64)((16 - ((size_t)start & 15)) & 15) / (i64)sizeof(T);
        head = unaligned < length ? unaligned : length;
        vectors = (length - head) / PARTS;
        end = head + vectors * PARTS;
    }

    // the index of the peeled entry of this thread, -1 for none: there are fewer than a warp of them
    __device__ __forceinline__ i64 index(i64 length) const {
        const i64 i = threadIdx.x;
        if (i < head) return i;
        return end + i - head < length ? end + i - head : -1;
    }
};

// A group of lanes, 1 to 32, for each row: many short rows, and rows that lie side by side. blockIdx.y is the split.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    lanes_state(ROW_PARAMETERS, ORDER_PARAMETERS, i64 lanes, i64 chunk, RESULT_PARAMETERS) {
    const Order order = ORDER;
    const i64 thread = (i64)blockIdx.x * THREADS + threadIdx.x;
    const int shift = __ffs((int)lanes) - 1;
    const i64 row = thread >> shift, lane = thread & (lanes - 1);
    Running running = empty_running();
    if (row < rows) {
        const T* from = x + offset_of(row, inner, x_outer, x_inner);
        const bool* live = mask ? mask + offset_of(row, inner, mask_outer, mask_inner) : mask;
        const i64 start = blockIdx.y * chunk;
        const i64 end = start + chunk < n ? start + chunk : n;
        add_scalars<SCALARS>(running, from, live, start + lane, lanes, end, x_entry, mask_entry, order);
    }
    reduce_lanes(running.state, order, (int)lanes);
    if (row < rows && lane == 0) {
        write_state(running.state, order, row, rows, blockIdx.y, gridDim.y, RESULTS);
    }
}

// A block for each row and split, whose entries lie one after another: 16 bytes at a time.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    vector_state(ROW_PARAMETERS, ORDER_PARAMETERS, i64 splits, i64 chunk, RESULT_PARAMETERS) {
    const Order order = ORDER;
    const i64 row = blockIdx.x / (unsigned)splits, split = blockIdx.x - row * splits;
    const i64 start = split * chunk;
    const i64 length = start + chunk < n ? chunk : n - start;
    const T* from = x + offset_of(row, inner, x_outer, x_inner) + start;
    const Peeled peeled(from, length);
    const Vector* vectors = reinterpret_cast<const Vector*>(from + peeled.head) + threadIdx.x;
    const i64 count = peeled.vectors - threadIdx.x;
    Running running = empty_running();
    i64 i = 0;
#pragma unroll 1
    for (; i + (UNROLL - 1) * THREADS < count; i += UNROLL * THREADS) {
        add_vectors<UNROLL>(running, vectors + i, order);
    }
#pragma unroll 1
    for (; i < count; i += THREADS) add_vectors<1>(running, vectors + i, order);
    const i64 rest = peeled.index(length);
    if (rest >= 0) {
        const A z[1] = {as_sum(from[rest])};
        add_entries(running, z, order);
    }
    reduce_block(running.state, order);
    if (threadIdx.x == 0) write_state(running.state, order, row, rows, split, splits, RESULTS);
}

// The same for entries that a mask or a stride keeps apart.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    scalar_state(ROW_PARAMETERS, ORDER_PARAMETERS, i64 splits, i64 chunk, RESULT_PARAMETERS) {
    const Order order = ORDER;
    const i64 row = blockIdx.x / (unsigned)splits, split = blockIdx.x - row * splits;
    const i64 start = split * chunk;
    const i64 end = start + chunk < n ? start + chunk : n;
    const T* from = x + offset_of(row, inner, x_outer, x_inner);
    const bool* live = mask ? mask + offset_of(row, inner, mask_outer, mask_inner) : mask;
    Running running = empty_running();
    add_scalars<UNROLL * 2>(running, from, live, start + threadIdx.x, THREADS, end, x_entry, mask_entry, order);
    reduce_block(running.state, order);
    if (threadIdx.x == 0) write_state(running.state, order, row, rows, split, splits, RESULTS);
}

// A warp for each row merges the states of its splits.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    merge_states(const A* __restrict__ parts, i64 rows, i64 splits, ORDER_PARAMETERS, RESULT_PARAMETERS) {
    const Order order = ORDER;
    const i64 row = ((i64)blockIdx.x * THREADS + threadIdx.x) >> 5;
    const int lane = threadIdx.x & 31;
    State state = empty_state();
    if (row < rows) {
        for (i64 split = lane; split < splits; split += 32) {
            merge(state, read_partial(parts, row * splits + split, rows * splits), order);
        }
    }
    reduce_lanes(state, order, 32);
    if (row < rows && lane == 0) write_row(state, order, row, rows, RESULTS);
}

__device__ __forceinline__ Line read_line(
    const A* lines, const A* scale, i64 scale_stride, A factor, i64 row, i64 rows) {
    const Line line = {lines[row], lines[row + rows], lines[row + 2 * rows], lines[row + 3 * rows]};
    if (scale) factor *= scale[row * scale_stride];
    return scaled(line, factor);
}

// Rows whose entries lie one after another, in x and out alike: a block for UNROLL * THREADS vectors of a row.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    vector_gradient(
        ROW_PARAMETERS, ORDER_PARAMETERS, const A* __restrict__ lines, const A* __restrict__ scale, i64 scale_stride,
        A factor, T* __restrict__ out, i64 out_outer, i64 out_inner, i64 out_entry, i64 pieces) {
    const Order order = ORDER;
    const i64 row = blockIdx.x / (unsigned)pieces, piece = blockIdx.x - row * pieces;
    const T* from = x + offset_of(row, inner, x_outer, x_inner);
    T* to = out + offset_of(row, inner, out_outer, out_inner);
    const Line line = read_line(lines, scale, scale_stride, factor, row, rows);
    const Peeled peeled(from, n);
    const Vector* vectors = reinterpret_cast<const Vector*>(from + peeled.head);
    Vector* results = reinterpret_cast<Vector*>(to + peeled.head);
    const i64 first = piece * (UNROLL * THREADS) + threadIdx.x;
    const i64 rest = piece == 0 ? peeled.index(n) : -1;
    if (line.factor == 0) {
        // a row that does not count is not read
        const Vector zeros = {};
#pragma unroll
        for (int j = 0; j < UNROLL; j++) {
            if (first + j * THREADS < peeled.vectors) results[first + j * THREADS] = zeros;
        }
        if (rest >= 0) to[rest] = as_element(A(0));
        return;
    }
    Vector loaded[UNROLL];
#pragma unroll
    for (int j = 0; j < UNROLL; j++) {
        if (first + j * THREADS < peeled.vectors) loaded[j] = vectors[first + j * THREADS];
    }
#pragma unroll
    for (int j = 0; j < UNROLL; j++) {
        if (first + j * THREADS >= peeled.vectors) continue;
        Vector result;
#pragma unroll
        for (int k = 0; k < PARTS; k++) {
            result.part[k] = as_element(gradient_entry(as_sum(loaded[j].part[k]), line, order));
        }
        results[first + j * THREADS] = result;
    }
    if (rest >= 0) to[rest] = as_element(gradient_entry(as_sum(from[rest]), line, order));
}

// Entries in the order of the memory: short rows, masks, strides, and rows side by side (tall).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    scalar_gradient(
        ROW_PARAMETERS, ORDER_PARAMETERS, const A* __restrict__ lines, const A* __restrict__ scale, i64 scale_stride,
        A factor, T* __restrict__ out, i64 out_outer, i64 out_inner, i64 out_entry, i64 tall) {
    const Order order = ORDER;
    const i64 first = (i64)blockIdx.x * (SCALARS * THREADS) + threadIdx.x;
    const i64 fast = tall ? rows : n;
    const bool small = rows * n < 0x100000000LL;
    i64 row[SCALARS], entry[SCALARS];
    bool lives[SCALARS];
    A z[SCALARS];
#pragma unroll
    for (int k = 0; k < SCALARS; k++) {
        const i64 index = first + k * THREADS;
        const i64 outside = small ? (i64)((unsigned)index / (unsigned)fast) : index / fast;
        row[k] = tall ? index - outside * fast : outside;
        entry[k] = tall ? outside : index - outside * fast;
        z[k] = -INF;
        lives[k] = false;
        if (index >= rows * n) continue;
        lives[k] = !mask || mask[offset_of(row[k], inner, mask_outer, mask_inner) + entry[k] * mask_entry];
        if (lives[k]) z[k] = as_sum(x[offset_of(row[k], inner, x_outer, x_inner) + entry[k] * x_entry]);
    }
#pragma unroll
    for (int k = 0; k < SCALARS; k++) {
        if (first + k * THREADS >= rows * n) continue;
        const Line line = read_line(lines, scale, scale_stride, factor, row[k], rows);
        const i64 at = offset_of(row[k], inner, out_outer, out_inner) + entry[k] * out_entry;
        out[at] = as_element(lives[k] ? gradient_entry(z[k], line, order) : A(0));
    }
}

// Very short rows, one after another in memory: a thread for each. A block's rows pass through shared memory, so that
// the device's is read and written in order, once; the gradient as well, if out is given.
// It does all at once, for which sm_80 has too few registers with four blocks.
extern "C" __global__ void __launch_bounds__(THREADS, ELEMENT == 8 ? 2 : 3)
    short_rows(
        const T* __restrict__ x, i64 rows, i64 n, i64 inverse, ORDER_PARAMETERS, const A* __restrict__ scale,
        i64 scale_stride, A factor, T* __restrict__ out, RESULT_PARAMETERS) {
    constexpr int LONGEST = SHORT_BYTES / sizeof(T);
    // an odd number of entries apart: the threads of a warp then meet few of each other's banks
    __shared__ T tile[THREADS * (LONGEST + 1)];
    const Order order = ORDER;
    const int length = (int)n, apart = length | 1;
    const i64 first = (i64)blockIdx.x * THREADS;
    const int count = (int)(rows - first < THREADS ? rows - first : THREADS) * length;
    const int whole = count / PARTS;
    // i / n, as the high word of i times 2**32 / n
    const auto place = [=](int i) {
        const int row = (int)__umulhi((unsigned)i, (unsigned)inverse);
        return i + row * (apart - length);
    };
    const T* from = x + first * n;
    for (int v = threadIdx.x; v < whole; v += THREADS) {
        const Vector loaded = reinterpret_cast<const Vector*>(from)[v];
#pragma unroll
        for (int k = 0; k < PARTS; k++) tile[place(v * PARTS + k)] = loaded.part[k];
    }
    for (int i = whole * PARTS + threadIdx.x; i < count; i += THREADS) tile[place(i)] = from[i];
    __syncthreads();
    const i64 row = first + threadIdx.x;
    if (row < rows) {
        T* mine = tile + threadIdx.x * apart;
        Running running = empty_running();
        add_scalars<2>(running, mine, nullptr, 0, 1, length, 1, 0, order);
        write_row(running.state, order, row, rows, RESULTS);
        if (out) {
            if (scale) factor *= scale[row * scale_stride];
            const Line line = scaled(line_of(running.state, finish(running.state, order), order), factor);
            for (int i = 0; i < length; i++) mine[i] = as_element(gradient_entry(as_sum(mine[i]), line, order));
        }
    }
    if (!out) return;
    __syncthreads();
    T* to = out + first * n;
    for (int v = threadIdx.x; v < whole; v += THREADS) {
        Vector result;
#pragma unroll
        for (int k = 0; k < PARTS; k++) result.part[k] = tile[place(v * PARTS + k)];
        reinterpret_cast<Vector*>(to)[v] = result;
    }
    for (int i = whole * PARTS + threadIdx.x; i < count; i += THREADS) to[i] = tile[place(i)];
}
