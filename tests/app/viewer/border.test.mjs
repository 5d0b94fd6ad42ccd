// The border between the two labels, moved from slice to slice: see border.js.

import assert from "node:assert/strict"
import { test } from "node:test"
import { bordersOf, countsOf, putBorder, within } from "../../../app/viewer/frontend/border.js"
import { Labels } from "../../../app/viewer/frontend/labels.js"

const NAMES = { anterior: 1, posterior: 2 }
const DIMS = [12, 10, 6]
const CENTRES = { left: /** @type {any} */ ([2, 5, 2]), right: /** @type {any} */ ([9, 5, 2]) }

/** Two hippocampi of rising thickness, each with a border of its own; the right one is not quite plane. */
function head() {
  const labels = new Labels(new Uint8Array(DIMS[0] * DIMS[1] * DIMS[2]), DIMS, [1, 1.5, 1])
  labels.begin()
  for (const [from, plane] of [[1, 6], [8, 4]]) {
    for (let y = 1; y <= 8; y++) for (let x = from; x < from + 3; x++) for (let z = 1; z <= 1 + y % 3; z++) {
      labels.set(labels.index([x, y, z]), y >= plane ? 1 : 2)
    }
  }
  labels.set(labels.index([8, 4, 1]), 2)
  labels.end()
  labels.forget()
  return labels
}

const sideNamed = (labels, side) => {
  const border = bordersOf(labels, NAMES, CENTRES).find((each) => each.side === side)
  assert.ok(border)
  return border
}

const move = (labels, border, plane) => {
  labels.begin()
  putBorder(labels, NAMES, border, plane)
  return labels.end()
}

test("each side has its own border, where one plane tells the labels best apart", () => {
  const labels = head()
  assert.equal(sideNamed(labels, "left").plane, 6)
  assert.equal(sideNamed(labels, "right").plane, 4)
  const crop = bordersOf(labels, NAMES, {})
  assert.deepEqual(crop.map(({ side }) => side), [""])
})

test("three slices on one side change exactly the labels between, and undo brings all back", () => {
  const labels = head()
  const before = labels.values.slice()
  assert.equal(move(labels, sideNamed(labels, "left"), 3), true)
  for (let index = 0; index < before.length; index++) {
    const [x, y] = labels.voxel(index)
    const isBetween = before[index] && x < 6 && y >= 3 && y < 6
    assert.equal(labels.values[index], isBetween ? 1 : before[index])
  }
  assert.equal(labels.done.length, 1)
  labels.undo()
  assert.deepEqual(labels.values, before)
  labels.redo()
  assert.equal(sideNamed(labels, "left").plane, 3)
})

test("the whole stays, and the volumes are those of the labels", () => {
  const labels = head()
  const whole = labels.values.map((value) => Number(value > 0))
  const border = sideNamed(labels, "right")
  for (const plane of [5, 2, 7]) {
    move(labels, border, plane)
    assert.deepEqual(labels.values.map((value) => Number(value > 0)), whole)
    const { anterior, posterior } = countsOf(labels, NAMES, border)
    assert.equal(anterior + posterior, border.indices.length)
    const front = [...border.indices].filter((index) => labels.voxel(index)[1] >= plane)
    assert.equal(anterior, front.length)
  }
})

test("dragged there and back nothing has changed, not even a border that was not plane", () => {
  const labels = head()
  const border = sideNamed(labels, "right")
  labels.begin()
  for (const plane of [5, 6, 3, border.plane]) putBorder(labels, NAMES, border, plane)
  assert.equal(labels.end(), false)
})

test("a slice of each label is left, and one slice alone is not divided", () => {
  const labels = head()
  const border = sideNamed(labels, "left")
  assert.equal(within(border, -5), 2)
  assert.equal(within(border, 99), 8)
  assert.equal(within({ ...border, low: [1, 4, 1], high: [3, 4, 2] }, 9), 4)
})

/** All 48 orders of a file's axes: which axis comes first, and which are turned round. */
const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].flatMap((axes) =>
  Array.from({ length: 8 }, (_, bits) => ({ axes, flips: [bits & 1, bits & 2, bits & 4].map(Boolean) })))

test("in all 48 axis orders of the file the same voxels of the patient change", () => {
  const labels = head()
  const before = labels.values.slice()
  move(labels, sideNamed(labels, "left"), 3)
  assert.equal(ORDERS.length, 48)
  for (const { axes, flips } of ORDERS) {
    // As the server does it: the file's voxels turned to RAS, drawn on, and turned back.
    const place = (voxel) => axes.map((axis, i) =>
      flips[i] ? DIMS[axis] - 1 - voxel[axis] : voxel[axis])
    const size = axes.map((axis) => DIMS[axis])
    const indexIn = (at) => at[0] + size[0] * (at[1] + size[1] * at[2])
    const file = new Uint8Array(before.length)
    before.forEach((value, index) => { file[indexIn(place(labels.voxel(index)))] = value })
    const turned = new Labels(Uint8Array.from(before, (_, index) => file[indexIn(place(labels.voxel(index)))]),
      DIMS, labels.spacing)
    move(turned, sideNamed(turned, "left"), 3)
    const saved = new Uint8Array(file.length)
    turned.values.forEach((value, index) => { saved[indexIn(place(turned.voxel(index)))] = value })
    const along = axes.indexOf(1) // the axis of the file from back to front, or from front to back
    saved.forEach((value, index) => {
      if (value === file[index]) return
      const at = [index % size[0], Math.floor(index / size[0]) % size[1], Math.floor(index / (size[0] * size[1]))]
      const slice = flips[along] ? DIMS[1] - 1 - at[along] : at[along]
      assert.ok(slice >= 3 && slice < 6)
      assert.deepEqual([file[index], value], [2, 1])
    })
    const changed = saved.filter((value, index) => value !== file[index]).length
    assert.equal(changed, labels.values.filter((value, index) => value !== before[index]).length)
  }
})
