// Places in a scan: the flat viewer's slices, a head's boxes, voxels of mm, the letters of the sides.

import assert from "node:assert/strict"
import { test } from "node:test"
import { firstVoxel, inSlice, mmAlong, pictureLink } from "../../../app/viewer/frontend/flat.js"
import { facesOf } from "../../../app/viewer/frontend/head.js"
import { plateOf } from "../../../app/viewer/frontend/plates.js"

const AFFINE = [[2, 0, 0, -10], [0, 3, 0, -20], [0, 0, 4, 5], [0, 0, 0, 1]]

test("the flat viewer begins at the first finding, else in the middle", () => {
  const shape = /** @type {[number, number, number]} */ ([9, 8, 7])
  assert.deepEqual(firstVoxel({ shape, findings: [] }), [4, 4, 3])
  assert.deepEqual(firstVoxel({ shape, findings: [{ words: "", axis: 1, voxel: [1, 2, 3] }] }), [1, 2, 3])
})

test("a slice is one of the scan's, and the voxel before is left alone", () => {
  const before = /** @type {[number, number, number]} */ ([1, 2, 3])
  assert.deepEqual(inSlice(before, 1, 5, [9, 8, 7]), [1, 5, 3])
  assert.deepEqual(inSlice(before, 1, 50, [9, 8, 7]), [1, 7, 3])
  assert.deepEqual(inSlice(before, 2, -1, [9, 8, 7]), [1, 2, 0])
  assert.deepEqual(before, [1, 2, 3])
})

test("a voxel's place in mm follows the affine, oblique ones too", () => {
  assert.deepEqual([0, 1, 2].map((axis) => mmAlong(AFFINE, axis, [1, 2, 3])), [-8, -14, 17])
  assert.equal(mmAlong([[1, 0.5, 0.25, 0]], 0, [4, 2, 4]), 6)
})

test("a slice's link names the version, the plane and how it is looked at", () => {
  const props = { files: "/files", version: 3, convention: "radiological" }
  assert.equal(pictureLink(props, 1, [5, 6, 7], "40"),
    "/files/slices/3/1/6.png?convention=radiological&opacity=40")
})

test("a box's faces are its outer voxels, without gaps and without what is inside", () => {
  const dims = [12, 12, 12]
  const indexAt = (mm) => {
    const [x, y, z] = mm.map((n) => Math.min(11, Math.max(0, Math.round(n))))
    return x + dims[0] * (y + dims[1] * z)
  }
  const shift = [[1, 0, 0, 3], [0, 1, 0, 3], [0, 0, 1, 3], [0, 0, 0, 1]]
  const faces = facesOf({ shape: [5, 5, 5], affine: shift }, 0.5, indexAt)
  const voxels = [...faces].map((i) => [i % 12, Math.floor(i / 12) % 12, Math.floor(i / 144)])
  assert.ok(voxels.every((voxel) => voxel.some((n) => n <= 3 || n >= 7)))
  assert.ok(voxels.every((voxel) => voxel.every((n) => n >= 2 && n <= 8)))
  for (let y = 3; y <= 7; y++) for (let z = 3; z <= 7; z++) { // a whole side of it
    assert.ok([2, 3].some((x) => faces.has(x + 12 * (y + 12 * z))), `${y} ${z}`)
  }
})

test("the letters stand on plates within the picture, at its four edges, and grow with it", () => {
  const sizes = { scale: 1, fontPx: 20, letterPx: 12 }
  const places = {
    drawTextRight: [[0, 100], [4, 87]], drawTextLeft: [[200, 100], [170, 87]],
    drawTextBelow: [[100, 0], [87, 4]], drawTextAbove: [[100, 200], [87, 170]],
  }
  for (const [side, [point, corner]] of Object.entries(places)) {
    const { plate, letter } = plateOf(side, /** @type {[number, number]} */ (point), sizes)
    assert.deepEqual(plate, [...corner, 26, 26], side)
    assert.equal(letter[0], corner[0] + 7) // in the middle
    assert.ok(letter[1] > plate[1] && letter[1] < plate[1] + 26)
  }
  assert.equal(plateOf("drawTextRight", [0, 0], { ...sizes, fontPx: 40 }).plate[2], 52)
  assert.equal(plateOf("drawTextRight", [0, 0], { ...sizes, scale: 2 }).plate[2], 52)
})
