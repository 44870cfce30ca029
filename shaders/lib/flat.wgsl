// Numbers the invocations of a grid made by `flatGrid` (src/engine/ops/rows.ts): x first, then y.
fn flat_index(id: vec3u, groups: vec3u, workgroup: u32) -> u32 {
  return id.y * groups.x * workgroup + id.x;
}
