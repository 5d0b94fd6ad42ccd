// Labels as runs, as bytes and as gzip: see packing.js.

import assert from "node:assert/strict"
import { test } from "node:test"
import { fromRuns, pack, packRuns, same, toRuns, unpack } from "../../../app/viewer/frontend/packing.js"
import { unpackRuns } from "./desks.mjs"

test("runs give back any labels, as numbers and as bytes", () => {
  let seed = 3
  const random = (n) => { seed = (seed * 48271) % 2147483647; return seed % n }
  for (let round = 0; round < 200; round++) {
    const values = new Uint8Array(1 + random(600))
    for (let i = 0; i < values.length; i++) values[i] = i && random(9) ? values[i - 1] : random(3)
    assert.deepEqual(fromRuns(toRuns(values)), values)
    assert.deepEqual(unpackRuns(packRuns(toRuns(values))), values)
    const other = values.slice()
    assert.equal(same(values, other), true)
    other[random(values.length)] ^= 1
    assert.equal(same(values, other), false)
  }
})

test("gzip gives back any labels", async () => {
  for (const values of [new Uint8Array(0), Uint8Array.of(0, 1, 2, 255), new Uint8Array(100000)]) {
    assert.deepEqual(await unpack(await pack(values)), values)
  }
})

test("grids are the same wherever they lie in memory, and never of two sizes", () => {
  const whole = Uint8Array.of(7, 1, 2, 3, 4, 5, 6, 8)
  assert.equal(same(whole.subarray(1, 7), Uint8Array.of(1, 2, 3, 4, 5, 6)), true)
  assert.equal(same(whole.subarray(1, 7), Uint8Array.of(1, 2, 3, 4, 5, 9)), false)
  assert.equal(same(whole, whole.subarray(0, 7)), false)
  assert.equal(same(new Uint8Array(0), new Uint8Array(0)), true)
})
