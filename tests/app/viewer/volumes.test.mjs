// What is said of volumes while a person draws.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Labels } from "../../../app/viewer/frontend/labels.js"
import { Volumes, counts, volumeWords } from "../../../app/viewer/frontend/volumes.js"

/** @returns {import("../../../app/viewer/frontend/types.js").Label} */
const labelOf = (/** @type {string} */ name, /** @type {number} */ value) =>
  ({ name, value, rgb: [230, 159, 0] })
const labels = [labelOf("anterior", 1), labelOf("posterior", 2)]
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

test("of a head each side has its own volumes, and a change stands on the side that was drawn on", () => {
  const saved = new Uint8Array(10 * 2 * 2)
  saved.set([1, 2, 0, 0, 0, 0, 0, 0, 1, 2])
  const drawn = new Labels(saved.slice(), [10, 2, 2], [1, 1, 2])
  drawn.begin()
  drawn.set(7, 2)
  drawn.end()
  const centres = { left: /** @type {any} */ ([1, 0, 0]), right: /** @type {any} */ ([8, 0, 0]) }
  const volumes = new Volumes()
  const about = { labels: [labelOf("anterior", 1), labelOf("posterior", 2)], too_small: "" }
  assert.equal(volumes.words(about, drawn, saved, centres),
    "Left: anterior 2 mm³, posterior 2 mm³; Right: anterior 2 mm³, posterior 4 mm³ (+2)")
  assert.equal(volumes.words(about, drawn, saved, {}), "anterior 4 mm³   posterior 6 mm³ (+2)")
})
