// What is said of volumes while a person draws.

import assert from "node:assert/strict"
import { test } from "node:test"
import { counts, volumeWords } from "../../../app/viewer/frontend/volumes.js"

/** @type {import("../../../app/viewer/frontend/types.js").Label[]} */
const labels = [{ name: "anterior", value: 1, rgb: [230, 159, 0] },
  { name: "posterior", value: 2, rgb: [86, 180, 233] }]
const before = counts(Uint8Array.of(0, 1, 1, 2, 2, 2))
const now = counts(Uint8Array.of(1, 1, 1, 2, 2, 0))

test("volumes follow the pen", () => {
  assert.equal(volumeWords({ labels, too_small: "" }, now, before, 1000),
    "anterior 3,000 mm³ (+1,000)   posterior 2,000 mm³ (−1,000)")
})

test("those of a cut or coarse scan say that they are too small", () => {
  const about = { labels, too_small: "the image ends within it (below)" }
  assert.match(volumeWords(about, now, before, 2), /posterior 4 mm³ \(−2\) {3}too small$/)
})
