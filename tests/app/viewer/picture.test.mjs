// What the picture shows of the labels, and how it goes to the graphics card: shown.js, overlay.js.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Labels } from "../../../app/viewer/frontend/labels.js"
import { boxOf, coloured, union } from "../../../app/viewer/frontend/overlay.js"
import { BOX, DIFFERENCES, coloursOf, differencesOf, paintLabels } from "../../../app/viewer/frontend/shown.js"

const DIMS = [6, 5, 4]
const COUNT = 120

/** A block of label 1 with one voxel of label 2 beside it. */
function block() {
  const labels = new Labels(new Uint8Array(COUNT), DIMS, [1, 1, 1])
  for (const z of [0, 1, 2]) for (const y of [1, 2, 3]) for (const x of [1, 2, 3]) {
    labels.values[labels.index([x, y, z])] = 1
  }
  labels.values[labels.index([5, 4, 3])] = 2
  return labels
}

function painted(labels, how) {
  const picture = new Uint8Array(COUNT).fill(99)
  paintLabels(picture, labels, { visible: new Set([1, 2]), isOutlined: false, cut: -1, other: null, ...how })
  return picture
}

test("labels are shown as they are, but for those that are hidden", () => {
  const labels = block()
  assert.deepEqual(painted(labels, {}), labels.values)
  const without = painted(labels, { visible: new Set([2]) })
  assert.deepEqual([...without].filter(Boolean), [2])
})

test("an outline is the border in the one plane that is cut, or in space", () => {
  const labels = block()
  const middle = labels.index([2, 2, 1])
  assert.equal(painted(labels, { isOutlined: true })[middle], 0)
  assert.equal(painted(labels, { isOutlined: true })[labels.index([2, 2, 0])], 1) // the grid's edge
  assert.equal(painted(labels, { isOutlined: true, cut: 2 })[labels.index([2, 2, 0])], 0)
  assert.equal(painted(labels, { isOutlined: true, cut: 2 })[labels.index([1, 2, 0])], 1)
})

test("where two masks differ is said, whether labels are hidden or not", () => {
  const labels = block()
  const other = labels.values.slice()
  other[labels.index([2, 2, 1])] = 0
  other[labels.index([0, 0, 0])] = 2
  const picture = painted(labels, { other, visible: new Set() })
  assert.equal(picture[labels.index([2, 2, 1])], DIFFERENCES[0].value)
  assert.equal(picture[0], DIFFERENCES[1].value)
  assert.equal([...picture].filter(Boolean).length, 2)
})

test("the largest differences come first, each once, at a voxel of theirs", () => {
  const labels = block()
  const other = labels.values.slice()
  for (const voxel of [[1, 1, 0], [2, 1, 0], [3, 3, 2]]) other[labels.index(voxel)] = 0
  const places = differencesOf(labels, other)
  assert.deepEqual(places.map(({ words }) => words),
    ["The masks differ in 2 voxels", "The masks differ in 1 voxel"])
  for (const { voxel } of places) assert.equal(other[labels.index(voxel)], 0)
  assert.deepEqual(differencesOf(labels, labels.values), [])
})

test("values of the picture alone are never labels", () => {
  const labels = [{ name: "a", value: 1, rgb: [1, 2, 3] }, { name: "b", value: 2, rgb: [4, 5, 6] }]
  const colours = coloursOf({ labels: /** @type {any} */ (labels) })
  assert.equal(colours.size, 5)
  assert.deepEqual(colours.get(2), [4, 5, 6])
  assert.deepEqual(colours.get(BOX.value), BOX.rgb)
})

test("the box is as small as what it holds; of nothing it is empty", () => {
  const labels = block()
  assert.deepEqual(boxOf(labels.values, DIMS), [[1, 1, 0], [5, 4, 3]])
  const [low, high] = boxOf(new Uint8Array(COUNT), DIMS)
  assert.ok(low[0] > high[0])
  assert.deepEqual(union([low, high], [[1, 1, 1], [2, 2, 2]]), [[1, 1, 1], [2, 2, 2]])
  assert.deepEqual(union([[0, 3, 1], [2, 4, 1]], [[1, 1, 1], [2, 2, 2]]), [[0, 1, 1], [2, 4, 2]])
})

test("a box's colours are those of its voxels, with the opacity, and nothing where there is none", () => {
  const values = new Uint8Array(COUNT)
  values[1 + 6 * (1 + 5 * 1)] = 1
  values[2 + 6 * (1 + 5 * 1)] = 2
  const colours = new Map(/** @type {[number, any][]} */ ([[1, [10, 20, 30]], [2, [40, 50, 60]]]))
  const { size, rgba } = coloured(values, DIMS, [[0, 1, 1], [2, 1, 1]], colours, 0.5)
  assert.deepEqual(size, [3, 1, 1])
  assert.deepEqual([...rgba], [0, 0, 0, 0, 10, 20, 30, 128, 40, 50, 60, 128])
})

test("between two scans one label in place of another is no change", () => {
  const labels = block()
  const other = labels.values.slice()
  other[labels.index([3, 3, 2])] = 2 // was 1
  other[labels.index([1, 1, 0])] = 0
  other[labels.index([5, 0, 0])] = 1
  const picture = painted(labels, { other, isOfWhole: true })
  assert.equal(picture[labels.index([3, 3, 2])], 1)
  assert.equal(picture[labels.index([1, 1, 0])], DIFFERENCES[0].value)
  assert.equal(picture[labels.index([5, 0, 0])], DIFFERENCES[1].value)
  assert.equal(differencesOf(labels, other, true).length, 2)
  assert.equal(differencesOf(labels, other).length, 3)
})
