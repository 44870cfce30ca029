// Rows that the invocations of a subgroup load for each other. Of 16 rows, invocation l holds rows l, l + LANES, ...
// in the columns of `own`; kernels that include this declare `override LANES` (4 or 8) and enable subgroups.

// Which of 16 rows from `first` on this invocation loads; of 8 invocations each loads only the first two.
fn own_rows(first: u32, lane: u32) -> vec4u {
  return vec4u(first + lane % LANES) + LANES * vec4u(0u, 1u, 2u, 3u);
}

fn row_of(own: mat4x4f, row: u32) -> vec4f {
  return subgroupShuffle(own[row / LANES], row % LANES);
}

fn rows_of(own: mat4x4f, first: u32) -> mat4x4f {
  return mat4x4f(row_of(own, first), row_of(own, first + 1u), row_of(own, first + 2u), row_of(own, first + 3u));
}

// All 16 rows, four to a matrix.
struct Rows { a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f }

fn all_rows(own: mat4x4f) -> Rows {
  return Rows(rows_of(own, 0u), rows_of(own, 4u), rows_of(own, 8u), rows_of(own, 12u));
}

fn turned_rows(own: mat4x4f) -> Rows {
  let rows = all_rows(own);
  return Rows(transpose(rows.a), transpose(rows.b), transpose(rows.c), transpose(rows.d));
}
