// The loops of kernels.h over lanes V (limbeck/core/lanes). Included by the sources of the kernels alone.
//
// A head's keys and values are copied to float32, transposed where a product runs over them, with rows padded to whole
// vectors by zeros. Then blocks of queries go through it: their products with all keys fit the second cache.
#pragma once

#include <cstdint>

#include "limbeck/core/lanes/functions.h"
#include "limbeck/graph/fused/attention/kernels.h"

namespace limbeck::fused {
namespace {

/// Queries of a block; rows and vectors of a product's tile: as many sums as registers hold beside their factors.
inline constexpr int64_t kBlockQueries = 48;
inline constexpr int64_t kTileRows = 6;
template <class V>
inline constexpr int kTileVectors = V::kWidth == 16 ? 4 : 2;

/// No tier has wider vectors: rows padded to this are whole vectors of each.
inline constexpr int64_t kPadding = 16;

constexpr int64_t padded(int64_t count) { return (count + kPadding - 1) / kPadding * kPadding; }

/// The left factor of a product, by the distance from row to row and from column to column.
struct Strided {
  const float* data;
  int64_t row, column;
};

/// Row-major, rows `pitch` apart.
struct Rows {
  float* data;
  int64_t pitch;
  float* row(int64_t index) const { return data + index * pitch; }
};

template <class V, int kRows, int kVectors, bool kAdds>
inline void multiply_tile(Strided a, const float* b, int64_t b_pitch, float* c, int64_t c_pitch, int64_t depth) {
  V sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[r][v] = kAdds ? V::load(c + r * c_pitch + v * V::kWidth) : V::all(0.0F);
  for (int64_t k = 0; k < depth; ++k) {
    V factors[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) factors[v] = V::load(b + k * b_pitch + v * V::kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V left = V::all(a.data[r * a.row + k * a.column]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = V::multiply_add(left, factors[v], sums[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) V::store(c + r * c_pitch + v * V::kWidth, sums[r][v]);
}

/// All rows of a strip of kVectors vectors of columns.
template <class V, int kVectors, bool kAdds>
inline void multiply_strip(Strided a, const float* b, int64_t b_pitch, Rows c, int64_t rows, int64_t depth) {
  int64_t row = 0;
  const auto run = [&]<int kRows>() {
    multiply_tile<V, kRows, kVectors, kAdds>({a.data + row * a.row, a.row, a.column}, b, b_pitch, c.row(row), c.pitch,
                                             depth);
    row += kRows;
  };
  while (row + kTileRows <= rows) run.template operator()<kTileRows>();
  if (row + 3 <= rows) run.template operator()<3>();
  if (row + 2 <= rows) run.template operator()<2>();
  if (row < rows) run.template operator()<1>();
}

/// c = a b, or c += a b; a is [rows, depth], b [depth, columns] and c [rows, columns], columns padded.
template <class V, bool kAdds>
inline void multiply(Strided a, Rows b, Rows c, int64_t rows, int64_t columns, int64_t depth) {
  constexpr int kVectors = kTileVectors<V>;
  int64_t column = 0;
  const auto run = [&]<int kCount>(int64_t at) {
    multiply_strip<V, kCount, kAdds>(a, b.data + at, b.pitch, {c.data + at, c.pitch}, rows, depth);
    return at + kCount * V::kWidth;
  };
  while (column + kVectors * V::kWidth <= columns) column = run.template operator()<kVectors>(column);
  while (column < columns) column = run.template operator()<1>(column);
}

inline Strided as_left(Rows rows) { return {rows.data, rows.pitch, 1}; }
inline Strided transposed(Rows rows) { return {rows.data, 1, rows.pitch}; }

/// Takes parts of the scratch memory one after another.
class Scratch {
 public:
  explicit Scratch(float* memory) : next_(memory) {}
  Rows take(int64_t rows, int64_t columns) {
    const Rows taken{next_, padded(columns)};
    next_ += rows * taken.pitch;
    return taken;
  }

 private:
  float* next_;
};

template <class V, class Element>
inline void copy_rows(HeadRows<const Element> from, int64_t first, int64_t rows, int64_t width, float factor, Rows to) {
  const V scale = V::all(factor);
  for (int64_t row = 0; row < rows; ++row) {
    const Element* const source = from.data + (first + row) * from.pitch;
    for (int64_t at = 0; at < to.pitch; at += V::kWidth)
      V::store(to.row(row) + at, V::load(source + (at < width ? at : 0), V::mask(width - at)) * scale);
  }
}

/// Rows of `from` [rows, width] as columns; columns from `rows` on are zero.
inline void transpose(Rows from, int64_t rows, int64_t width, Rows to) {
  for (int64_t column = 0; column < width; ++column) {
    float* const line = to.row(column);
    for (int64_t row = 0; row < rows; ++row) line[row] = from.row(row)[column];
    for (int64_t row = rows; row < to.pitch; ++row) line[row] = 0;
  }
}

template <class V, class Element>
inline void write_rows(Rows from, int64_t rows, int64_t width, float factor, HeadRows<Element> to, int64_t first) {
  const V scale = V::all(factor);
  for (int64_t row = 0; row < rows; ++row) {
    Element* const line = to.data + (first + row) * to.pitch;
    for (int64_t at = 0; at < width; at += V::kWidth)
      V::store(line + at, V::load(from.row(row) + at) * scale, V::mask(width - at));
  }
}

inline void clear(Rows rows, int64_t count) {
  for (int64_t i = 0; i < count * rows.pitch; ++i) rows.data[i] = 0;
}

/// numbers[i] = e^(numbers[i] - shift) for i < count, 0 up to the padding.
template <class V>
inline void exponentials(float* numbers, int64_t count, int64_t padded_count, float shift) {
  for (int64_t at = 0; at < padded_count; at += V::kWidth) {
    V::store(numbers + at, lanes::exponential(V::load(numbers + at) - V::all(shift)));
    V::store(numbers + at, V::load(numbers + at, V::mask(count - at)));
  }
}

/// Element i goes to sum i % 16 whatever the vectors are, so that all tiers have the same bits.
template <class V>
inline float dot(const float* a, const float* b, int64_t padded_count) {
  constexpr int kVectors = kPadding / V::kWidth;
  V sums[kVectors];
  for (V& sum : sums) sum = V::all(0.0F);
  for (int64_t at = 0; at < padded_count; at += kPadding) {
    for (int v = 0; v < kVectors; ++v) {
      const int64_t first = at + v * V::kWidth;
      sums[v] = V::multiply_add(V::load(a + first), V::load(b + first), sums[v]);
    }
  }
  float parts[kPadding];
  for (int v = 0; v < kVectors; ++v) V::store(parts + v * V::kWidth, sums[v]);
  float total = 0;
  for (const float part : parts) total += part;
  return total;
}

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// What a head's backward pass keeps in scratch memory.
struct BackwardRows {
  Rows keys, key_columns, value_columns, key_gradient, value_gradient;             // of all keys
  Rows query, output, output_gradient, query_gradient, weights, product_gradient;  // of a block of queries

  BackwardRows(const AttentionSize& size, Scratch scratch)
      : keys(scratch.take(size.keys, size.width)),
        key_columns(scratch.take(size.width, size.keys)),
        value_columns(scratch.take(size.width, size.keys)),
        key_gradient(scratch.take(size.keys, size.width)),
        value_gradient(scratch.take(size.keys, size.width)),
        query(scratch.take(kBlockQueries, size.width)),
        output(scratch.take(kBlockQueries, size.width)),
        output_gradient(scratch.take(kBlockQueries, size.width)),
        query_gradient(scratch.take(kBlockQueries, size.width)),
        weights(scratch.take(kBlockQueries, size.keys)),
        product_gradient(scratch.take(kBlockQueries, size.keys)) {}
};

/// product_gradient = weights * (product_gradient - <output, output_gradient>), the slope of the softmax.
template <class V>
inline void through_softmax(const BackwardRows& block, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row) {
    const V mean = V::all(dot<V>(block.output.row(row), block.output_gradient.row(row), block.output.pitch));
    float* const line = block.product_gradient.row(row);
    for (int64_t at = 0; at < block.weights.pitch; at += V::kWidth)
      V::store(line + at, V::load(block.weights.row(row) + at) * (V::load(line + at) - mean));
  }
}

template <class V, class Element>
void run_attention_backward(const AttentionSize& size, const AttentionBackward<Element>& head, float* memory) {
  const BackwardRows b(size, Scratch(memory));
  const int64_t width = b.keys.pitch, keys = b.key_columns.pitch;
  copy_rows<V>(head.value, 0, size.keys, size.width, 1, b.keys);
  transpose(b.keys, size.keys, size.width, b.value_columns);
  copy_rows<V>(head.key, 0, size.keys, size.width, 1, b.keys);
  transpose(b.keys, size.keys, size.width, b.key_columns);
  clear(b.key_gradient, size.keys);
  clear(b.value_gradient, size.keys);
  for (int64_t first = 0; first < size.queries; first += kBlockQueries) {
    const int64_t rows = smaller(kBlockQueries, size.queries - first);
    copy_rows<V>(head.query, first, rows, size.width, size.scale, b.query);
    copy_rows<V>(head.output, first, rows, size.width, 1, b.output);
    copy_rows<V>(head.output_gradient, first, rows, size.width, 1, b.output_gradient);
    multiply<V, false>(as_left(b.query), b.key_columns, b.weights, rows, keys, size.width);
    for (int64_t row = 0; row < rows; ++row)
      exponentials<V>(b.weights.row(row), size.keys, keys, head.log_sums[first + row]);
    multiply<V, true>(transposed(b.weights), b.output_gradient, b.value_gradient, size.keys, width, rows);
    multiply<V, false>(as_left(b.output_gradient), b.value_columns, b.product_gradient, rows, keys, size.width);
    through_softmax<V>(b, rows);
    multiply<V, false>(as_left(b.product_gradient), b.keys, b.query_gradient, rows, width, size.keys);
    write_rows<V>(b.query_gradient, rows, size.width, size.scale, head.query_gradient, first);
    multiply<V, true>(transposed(b.product_gradient), b.query, b.key_gradient, size.keys, width, rows);
  }
  write_rows<V>(b.key_gradient, size.keys, size.width, 1, head.key_gradient, 0);
  write_rows<V>(b.value_gradient, size.keys, size.width, 1, head.value_gradient, 0);
}

}  // namespace
}  // namespace limbeck::fused
