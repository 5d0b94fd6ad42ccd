// Drawing on a grid of labels: pen, fill, growing, cleaning, undo and redo: see labels.js.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Labels } from "../../../app/viewer/frontend/labels.js"

const any = () => true
const grid = (dims = [7, 6, 5], spacing = [1, 1, 1]) =>
  new Labels(new Uint8Array(dims[0] * dims[1] * dims[2]), dims, spacing)

/** Voxels that have a label, as text, so that sets of them compare. */
const having = (labels, label) => [...labels.values.keys()]
  .filter((index) => labels.values[index] === label).map((index) => labels.voxel(index).join())

function step(labels, act) {
  labels.begin()
  act(labels)
  return labels.end()
}

/** A box of one label, from the first to the last voxel. */
function box(labels, first, last, label) {
  step(labels, () => {
    for (let z = first[2]; z <= last[2]; z++) for (let y = first[1]; y <= last[1]; y++) {
      for (let x = first[0]; x <= last[0]; x++) labels.set(labels.index([x, y, z]), label)
    }
  })
}

test("voxels are numbered with the first axis fastest, there and back", () => {
  const labels = grid()
  assert.equal(labels.index([1, 0, 0]), 1)
  assert.equal(labels.index([0, 1, 0]), 7)
  assert.equal(labels.index([0, 0, 1]), 42)
  for (let index = 0; index < labels.values.length; index++) {
    assert.equal(labels.index(labels.voxel(index)), index)
  }
})

test("a disc lies in its plane, is round in mm and never goes over an edge", () => {
  const labels = grid([9, 9, 9], [1, 2, 1])
  step(labels, () => labels.disc([4, 4, 4], 2, 4, 1, any)) // 2 mm around: 2 voxels along R, 1 along A
  assert.deepEqual(having(labels, 1), ["4,3,4", "2,4,4", "3,4,4", "4,4,4", "5,4,4", "6,4,4", "4,5,4"])
  const corner = grid()
  step(corner, () => corner.disc([0, 0, 0], 1, 40, 2, any))
  assert.equal(corner.count(2), 7 * 5) // the whole slice that cuts A
})

test("the smallest pen draws the voxel that it is over, whatever the spacing", () => {
  const labels = grid([5, 5, 5], [3, 3, 3])
  step(labels, () => labels.disc([2.4, 1.6, 3], 2, 1, 1, any))
  assert.deepEqual(having(labels, 1), ["2,2,3"])
})

test("a pen leaves alone what it does not admit", () => {
  const labels = grid()
  box(labels, [0, 0, 0], [6, 5, 0], 2)
  step(labels, () => labels.disc([3, 3, 0], 2, 6, 0, (label) => label === 1))
  assert.equal(labels.count(2), 42)
})

test("a stroke has no gaps, however fast the pointer was", () => {
  const labels = grid([40, 5, 3])
  step(labels, () => labels.stroke([1, 2, 1], [38, 2, 1], 2, 1, 1, any))
  assert.equal(labels.count(1), 38)
})

test("filling takes what is enclosed in the slice, and refuses what is open", () => {
  const labels = grid()
  box(labels, [1, 1, 2], [5, 4, 2], 1)
  box(labels, [2, 2, 2], [4, 3, 2], 0)
  assert.equal(step(labels, () => assert.equal(labels.fill([3, 2, 2], 2, 2), true)), true)
  assert.equal(labels.count(2), 6)
  assert.equal(step(labels, () => assert.equal(labels.fill([0, 0, 2], 2, 2), false)), false)
  assert.equal(labels.count(2), 6)
  step(labels, () => assert.equal(labels.fill([1, 1, 2], 2, 2), true)) // the ring itself takes the label
  assert.equal(labels.count(1), 0)
})

test("growing goes over faces only, and stays in its slice if it is told to", () => {
  const labels = grid()
  box(labels, [1, 1, 1], [2, 2, 3], 1)
  box(labels, [3, 3, 1], [3, 3, 1], 1) // touches over an edge
  const belongs = (index) => labels.values[index] === 1
  assert.equal(labels.grow(labels.index([1, 1, 1]), belongs).length, 12)
  assert.equal(labels.grow(labels.index([1, 1, 1]), belongs, 2).length, 4)
})

test("the smart pen takes voxels that are alike, connected and near in mm", () => {
  const labels = grid([7, 1, 1], [2, 1, 1])
  const intensities = [100, 100, 104, 100, 200, 100, 100]
  const taken = (radius, tolerance = 10) => labels.alike([1, 0, 0], intensities, tolerance, radius).sort()
  assert.deepEqual(taken(20), [0, 1, 2, 3]) // not beyond what is brighter
  assert.deepEqual(taken(2), [0, 1, 2])
  assert.deepEqual(taken(20, 1), [0, 1])
})

test("a slice is made as its neighbour is, but for the ends of the grid", () => {
  const labels = grid()
  box(labels, [1, 1, 1], [2, 2, 1], 1)
  step(labels, () => assert.equal(labels.copySlice(2, 2, -1), true))
  assert.deepEqual(having(labels, 1).filter((voxel) => voxel.endsWith(",2")).length, 4)
  step(labels, () => assert.equal(labels.copySlice(2, 2, 1), true)) // the next one is empty
  assert.equal(labels.count(1), 4)
  assert.equal(labels.copySlice(2, 0, -1), false)
  assert.equal(labels.copySlice(0, 6, 1), false)
})

test("cleaning up keeps the largest piece of each label and fills what it encloses", () => {
  const labels = grid()
  box(labels, [0, 0, 0], [2, 2, 2], 1)
  box(labels, [1, 1, 1], [1, 1, 1], 0) // a hole
  box(labels, [5, 5, 4], [5, 5, 4], 1) // a fragment
  box(labels, [4, 0, 0], [5, 1, 0], 2)
  assert.equal(step(labels, () => labels.cleanUp([1, 2])), true)
  assert.equal(labels.count(1), 27)
  assert.equal(labels.count(2), 4)
  assert.equal(step(labels, () => labels.cleanUp([1, 2])), false) // nothing is left to do
})

test("a hole between two labels goes to the one that it touches more", () => {
  const labels = grid()
  box(labels, [1, 1, 1], [3, 3, 3], 1)
  box(labels, [1, 1, 3], [3, 3, 3], 2)
  box(labels, [2, 2, 2], [2, 2, 2], 0)
  step(labels, () => labels.cleanUp([1, 2]))
  assert.equal(labels.values[labels.index([2, 2, 2])], 1)
})

test("an empty grid is clean", () => {
  const labels = grid()
  assert.equal(labels.box(), null)
  assert.equal(step(labels, () => labels.cleanUp([1, 2])), false)
})

test("undo and redo give back each step exactly; a new one ends what was undone", () => {
  const labels = grid()
  const states = [labels.values.slice()]
  for (const [x, label] of [[1, 1], [3, 2], [4, 1]]) {
    step(labels, () => labels.disc([x, 3, 2], 2, 3, label, any))
    states.push(labels.values.slice())
  }
  for (const state of states.slice(0, -1).reverse()) {
    assert.equal(labels.undo(), true)
    assert.deepEqual(labels.values, state)
  }
  assert.equal(labels.undo(), false)
  for (const state of states.slice(1)) {
    assert.equal(labels.redo(), true)
    assert.deepEqual(labels.values, state)
  }
  assert.equal(labels.redo(), false)
  labels.undo()
  step(labels, () => labels.set(0, 2))
  assert.equal(labels.redo(), false)
})

test("a step that ends where it began is none", () => {
  const labels = grid()
  assert.equal(step(labels, () => {
    labels.set(3, 1)
    labels.set(3, 0)
  }), false)
  assert.equal(labels.done.length, 0)
})

test("the history is bounded, and the oldest step goes first", () => {
  const labels = grid([7, 6, 10])
  for (let index = 0; index < 250; index++) step(labels, () => labels.set(index, 1))
  assert.equal(labels.done.length, 200)
  while (labels.undo());
  assert.equal(labels.count(1), 50)
})

test("other labels are taken over as one step; another grid with its history", () => {
  const labels = grid()
  const drawn = Uint8Array.from(labels.values, (_, index) => index % 3)
  assert.equal(labels.replace(drawn), true)
  const again = grid()
  again.takeOver(labels)
  assert.deepEqual(again.values, drawn)
  assert.equal(again.undo(), true)
  assert.deepEqual(again.values, grid().values)
})

test("nothing is set outside a step: it could not be undone", () => {
  assert.throws(() => grid().set(0, 1), /step/)
})

test("any drawing is undone to the beginning", () => {
  let seed = 11
  const random = (n) => { seed = (seed * 48271) % 2147483647; return seed % n }
  for (let round = 0; round < 30; round++) {
    const labels = grid()
    for (let index = 0; index < labels.values.length; index++) labels.values[index] = random(3)
    const first = labels.values.slice()
    const acts = [
      () => labels.disc([random(7), random(6), random(5)], random(3), 1 + random(5), random(3), any),
      () => labels.fill([random(7), random(6), random(5)], random(3), random(3)),
      () => labels.copySlice(random(3), random(5), random(2) ? 1 : -1),
      () => labels.cleanUp([1, 2]),
    ]
    for (let n = 0; n < 12; n++) step(labels, acts[random(acts.length)])
    const last = labels.values.slice()
    while (labels.undo());
    assert.deepEqual(labels.values, first)
    while (labels.redo());
    assert.deepEqual(labels.values, last)
  }
})
