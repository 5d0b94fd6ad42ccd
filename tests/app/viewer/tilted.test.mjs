// A tilted head: the crosshair and places are the scanner's mm, pan and zoom those along the scan's axes.

import assert from "node:assert/strict"
import { test } from "node:test"

globalThis.window ??= /** @type {any} */ (globalThis) // NiiVue asks it for the screen's resolution
const { NVImage, Niivue } = await import("@niivue/niivue")
const { crosshair, placeOf, setCrosshair, shareOf } = await import("../../../app/viewer/frontend/niivue.js")

const DIMS = [12, 16, 10]
const SPACING = [1, 1.5, 2]
const ORIGIN = [-20, 7, -11]
const FLOAT_MM = 1e-3 // NiiVue counts in 32 bits

/** The affine of a scan turned by degrees about the patient's axis from foot to head, then right to left. */
function affineOf(yaw, pitch) {
  const [c, s, e, f] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)]
  const turn = [[c, -s * e, s * f], [s, c * e, -c * f], [0, f, e]]
  return turn.map((row, i) => [...row.map((x, j) => x * SPACING[j]), ORIGIN[i]])
}

/** A NIfTI file of zeros with that affine. */
function fileOf(affine) {
  const bytes = new ArrayBuffer(352 + DIMS.reduce((a, b) => a * b))
  const view = new DataView(bytes)
  view.setInt32(0, 348, true)
  for (const [i, n] of [3, ...DIMS, 1, 1, 1, 1].entries()) view.setInt16(40 + 2 * i, n, true)
  view.setInt16(70, 2, true) // uint8
  view.setInt16(72, 8, true)
  for (const [i, n] of [1, ...SPACING].entries()) view.setFloat32(76 + 4 * i, n, true)
  view.setFloat32(108, 352, true)
  view.setUint8(123, 2) // mm
  view.setInt16(254, 1, true) // the sform counts
  for (const [i, row] of affine.entries()) for (const [j, x] of row.entries()) {
    view.setFloat32(280 + 16 * i + 4 * j, x, true)
  }
  for (const [i, letter] of [..."n+1"].entries()) view.setUint8(344 + i, letter.charCodeAt(0))
  return bytes
}

async function viewerOf(affine) {
  const nv = new Niivue()
  const image = await (/** @type {any} */ (NVImage)).new(fileOf(affine), "scan.nii")
  image.dims = image.dimsRAS // as on its way to the graphics card
  nv.volumes = [image]
  return /** @type {any} */ (nv)
}

/** @type {(affine: number[][], voxel: number[]) => any} */
const mmOf = (affine, voxel) => affine.map((row) => row[3] + voxel.reduce((sum, n, i) => sum + n * row[i], 0))
const near = (found, expected, words) => {
  for (const [i, n] of expected.entries()) assert.ok(Math.abs(found[i] - n) < FLOAT_MM, `${words}: ${found} ${expected}`)
}

const TURNS = [[0, 0], [0.2, 0], [0, -0.35], [0.25, 0.3], [-0.3, 0.15]]

for (const [yaw, pitch] of TURNS) {
  test(`turned by ${yaw} and ${pitch}: a place in mm is the voxel of the affine, there and back`, async () => {
    const affine = affineOf(yaw, pitch)
    const nv = await viewerOf(affine)
    for (const voxel of [[0, 0, 0], [11, 15, 9], [3, 8, 7]]) {
      const mm = mmOf(affine, voxel)
      setCrosshair(nv, mm)
      const at = crosshair(nv)
      near(at.voxel, voxel, "voxel")
      near(at.mm, mm, "crosshair")
      near(shareOf(nv, mm), voxel.map((n, i) => (n + 0.5) / DIMS[i]), "share")
    }
  })
}

test("pan and zoom count along the scan's own axes, where a step is a voxel's edge", async () => {
  const nv = await viewerOf(affineOf(0.3, 0.2))
  /** @type {(voxel: number[]) => any} */
  const share = (voxel) => voxel.map((n, i) => (n + 0.5) / DIMS[i])
  const from = placeOf(nv, share([4, 5, 6]))
  for (const axis of [0, 1, 2]) {
    const next = [4, 5, 6]
    next[axis]++
    const step = placeOf(nv, share(next)).map((mm, i) => mm - from[i])
    near(step, [0, 1, 2].map((i) => (i === axis ? SPACING[axis] : 0)), "step")
  }
})
