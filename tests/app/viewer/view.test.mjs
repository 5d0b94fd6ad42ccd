// How a case is looked at, as a value, and the keys that change it: view.js, keys.js, common.js.

import assert from "node:assert/strict"
import { test } from "node:test"
import { inScan, place, sentences, slicePlace } from "../../../app/viewer/frontend/common.js"
import {
  DRAWING_KEYS, KEYS, drawingCommand, lookingCommand, onlyFresh,
} from "../../../app/viewer/frontend/keys.js"
import {
  NAMES, changed, closeUp, cutOpen, firstView, mmPerPixel, nameAfter, named, nextFinding, zoomed,
} from "../../../app/viewer/frontend/view.js"

test("the view that the browser remembers is taken if there is such a one", () => {
  assert.equal(firstView("Coronal").name, "Coronal")
  for (const kept of [null, "", "4-D"]) assert.equal(firstView(kept).name, "All")
})

test("a change gives another view and leaves the one before alone", () => {
  const view = firstView(null)
  assert.equal(changed(view, { isOutlined: true }).isOutlined, true)
  assert.equal(view.isOutlined, false)
  assert.throws(() => { Object.assign(view, { axis: 1 }) }, TypeError)
})

test("a plane is also what keys and slider move through; all planes and 3-D leave that as it was", () => {
  const coronal = named(firstView(null), "Coronal")
  assert.equal(coronal.axis, 1)
  assert.equal(named(coronal, "3-D").axis, 1)
  assert.equal(named(coronal, "All").axis, 1)
})

test("every view comes after another", () => {
  let view = firstView(null)
  const names = NAMES.map(() => {
    view = named(view, nameAfter(view))
    return view.name
  })
  assert.deepEqual([...names].sort(), [...NAMES].sort())
})

test("a cut stays within the scan, and findings come round", () => {
  const view = firstView(null)
  assert.equal(cutOpen(view, 130).cutPercent, 100)
  assert.equal(cutOpen(view, -5).cutPercent, 0)
  assert.deepEqual([nextFinding(view, 2), nextFinding(nextFinding(view, 2), 2)].map((v) => v.finding), [0, 1])
  assert.equal(nextFinding(changed(view, { finding: 1 }), 2).finding, 0)
})

test("zoom has ends, and what is not enlarged is where it was", () => {
  assert.deepEqual(zoomed([3, 4, 5, 1.25], 1 / 1.25, [9, 9, 9]), [0, 0, 0, 1])
  assert.deepEqual(zoomed([3, 4, 5, 2], 1.25, [0, 0, 0]), [3, 4, 5, 2.5])
  assert.equal(zoomed([0, 0, 0, 8], 1.25, [0, 0, 0])[3], 8)
})

/** Where a place is shown, in mm of the screen from its middle: what NiiVue makes of pan and zoom. */
const shown = ([x, y, z, zoom], at, middle) =>
  at.map((mm, axis) => zoom * mm - (middle[axis] - [x, y, z][axis]))

test("what is zoomed at stays where it is", () => {
  const [at, middle] = [[10, -20, 30], [4, 5, 6]]
  /** @type {[number, number, number, number]} */
  const before = [1, 2, 3, 2]
  assert.deepEqual(shown(zoomed(before, 1.5, at), at, middle), shown(before, at, middle))
})

test("a close-up has its box in the middle, and whole in the tightest pane", () => {
  const scan = { extent: [180, 240, 256], middle: [0, 10, 20] }
  const box = { extent: [100, 70, 60], middle: [1, -22, -14] }
  const view = closeUp(scan, box, { width: 400, height: 200 })
  assert.deepEqual(shown(view, box.middle, scan.middle), [0, 0, 0])
  const px = (u, v) => view[3] * Math.min(400 / scan.extent[u], 200 / scan.extent[v])
  const fits = [[0, 1], [0, 2], [1, 2]].map(([u, v]) =>
    Math.max(px(u, v) * box.extent[u] / 400, px(u, v) * box.extent[v] / 200))
  assert.ok(Math.max(...fits) <= 1 + 1e-9)
  assert.ok(Math.max(...fits) > 0.99)
  assert.equal(closeUp(scan, scan, { width: 400, height: 200 })[3], 1) // nothing to enlarge
})

test("a pixel shows as much of the scan as the view and the zoom say", () => {
  const canvas = { width: 400, height: 200 }
  assert.equal(mmPerPixel("Axial", [200, 100, 50], canvas, 1), 0.5)
  assert.equal(mmPerPixel("Sagittal", [200, 100, 50], canvas, 1), 0.25)
  assert.equal(mmPerPixel("All", [200, 100, 50], canvas, 2), 0.5)
})

test("places are said in the patient's directions", () => {
  assert.deepEqual([place(0, -12.34), place(0, 12.34), place(1, -14), place(2, 0)],
    ["L 12.3", "R 12.3", "P 14.0", "S 0.0"])
  const about = { factors: /** @type {any} */ ([2, 1, 1]), scan_shape: /** @type {any} */ ([60, 50, 40]),
    head: /** @type {any} */ ({}) }
  assert.deepEqual(inScan(about, [3, 4, 5]), [7, 4, 5])
  assert.equal(slicePlace(about, 0, [3, 4, 5], -14), "Sagittal slice 8 of 60, L 14.0 mm")
  assert.equal(slicePlace(about, 1, [3, 4, 5], 2), "Coronal slice 5 of 50, A 2.0 mm")
  // Of a crop nobody knows the side: its place along left and right is the file's alone.
  const crop = { ...about, head: null }
  assert.equal(slicePlace(crop, 0, [3, 4, 5], -14), "Sagittal slice 8 of 60, x −14.0 mm")
  assert.equal(slicePlace(crop, 0, [3, 4, 5], 14), "Sagittal slice 8 of 60, x 14.0 mm")
  assert.equal(slicePlace(crop, 1, [3, 4, 5], 2), "Coronal slice 5 of 50, A 2.0 mm")
})

test("an error is what happened, then what to do", () => {
  assert.equal(sentences({ code: "x", message: "It is full", hint: "Try again." }), "It is full. Try again.")
})

test("every key in the list asks for something", () => {
  const keysOf = (words) => ({ "↑ ↓ or ← →": ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"],
    "Page Up, Page Down": ["PageUp", "PageDown"], "+ −": ["+", "-"], ", .": [",", "."] }[words]
    ?? words.split(" "))
  for (const [words] of KEYS) for (const key of keysOf(words)) {
    assert.ok(lookingCommand(key), key)
    if (key.length === 1) assert.equal(lookingCommand(key.toLowerCase()), lookingCommand(key))
  }
  for (const [words] of DRAWING_KEYS) {
    const isCtrl = words.startsWith("Ctrl")
    for (const key of isCtrl ? words.match(/Ctrl (\w)/g).map((each) => each.at(-1)) : keysOf(words)) {
      assert.ok(drawingCommand({ key, ctrlKey: isCtrl }, { isActive: true, isDrawn: true }), key)
    }
  }
  for (const key of ["z", "Enter", "Tab", " "]) assert.equal(lookingCommand(key), null)
})

test("no key draws while nothing can be drawn, but what is drawn can always be saved", () => {
  const idle = { isActive: false, isDrawn: false }
  assert.equal(drawingCommand({ key: "b" }, idle), null)
  assert.equal(drawingCommand({ key: "E" }, idle), "correct")
  assert.equal(drawingCommand({ key: "z", ctrlKey: true }, idle), null)
  assert.equal(drawingCommand({ key: "s", metaKey: true }, { ...idle, isDrawn: true }), "save")
  assert.equal(drawingCommand({ key: "z", ctrlKey: true }, { ...idle, isDrawn: true }), null)
})

test("shift and an arrow move the border while a mask is corrected, an arrow alone does not", () => {
  const active = { isActive: true, isDrawn: false }
  assert.equal(drawingCommand({ key: "ArrowUp", shiftKey: true }, active), "border forward")
  assert.equal(drawingCommand({ key: "ArrowLeft", shiftKey: true }, active), "border back")
  assert.equal(drawingCommand({ key: "ArrowUp" }, active), null)
  assert.equal(drawingCommand({ key: "ArrowUp", shiftKey: true }, { ...active, isActive: false }), null)
})

test("undo with shift is redo; S alone is no save", () => {
  const active = { isActive: true, isDrawn: true }
  assert.equal(drawingCommand({ key: "Z", ctrlKey: true, shiftKey: true }, active), "redo")
  assert.equal(drawingCommand({ key: "z", metaKey: true }, active), "undo")
  assert.equal(drawingCommand({ key: "s" }, active), null)
})

test("a key of the page's buttons that is held down is heard once, unless it is typed", () => {
  const pressed = (key, repeat, typed = false) => {
    let stopped = 0
    onlyFresh(/** @type {any} */ ({ key, repeat, composedPath: () => [{ matches: () => typed }],
      stopImmediatePropagation: () => stopped++, preventDefault: () => stopped++ }))
    return stopped === 2
  }
  assert.equal(pressed("y", true), true)
  assert.equal(pressed("Y", true), true)
  assert.equal(pressed("Enter", true), true)
  assert.equal(pressed("y", false), false)
  assert.equal(pressed("y", true, true), false)
  assert.equal(pressed("ArrowUp", true), false)
})
