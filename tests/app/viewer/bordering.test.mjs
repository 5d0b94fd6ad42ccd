// The lines of the border: what a drag that is broken off leaves, and which labels they are of.

import assert from "node:assert/strict"
import { after, test } from "node:test"
import { gzipSync } from "node:zlib"

/** As much of the page's elements as the tools take. */
class Part {
  constructor(tag) {
    this.tag = tag
    /** @type {any[]} */
    this.children = []
    Object.assign(this, { dataset: {}, style: {}, classList: { toggle() {} } })
  }

  append(...parts) {
    this.children.push(...parts)
  }

  prepend(...parts) {
    this.children.unshift(...parts)
  }

  replaceChildren(...parts) {
    this.children = parts
  }

  querySelectorAll(tag) {
    const parts = this.children.filter((each) => each instanceof Part)
    return parts.flatMap((each) => [...each.tag === tag ? [each] : [], ...each.querySelectorAll(tag)])
  }

  getElementsByTagName(tag) {
    return this.querySelectorAll(tag)
  }

  click() {
    /** @type {any} */ (this).onchange?.()
  }

  getRootNode() {
    return { activeElement: null }
  }

  setAttribute() {}
  addEventListener() {}
  setPointerCapture() {}
  focus() {}
}
Object.assign(globalThis, { HTMLButtonElement: class {}, BroadcastChannel: undefined,
  document: { createElement: (tag) => new Part(tag) } })
globalThis.window ??= /** @type {any} */ (globalThis) // NiiVue asks it for the screen's resolution
const { Correcting } = await import("../../../app/viewer/frontend/correcting.js")
const { Labels } = await import("../../../app/viewer/frontend/labels.js")
const { desk } = await import("../../../app/viewer/frontend/page.js")
const { SliceViewer } = await import("../../../app/viewer/frontend/slices.js")
after(() => { for (const sheet of desk.sheets.values()) sheet.cancel() })

const DIMS = [12, 10, 6]
const about = { labels: [{ name: "anterior", value: 1, rgb: [1, 1, 1] }, { name: "posterior", value: 2, rgb: [1, 1, 1] }],
  head: { sides: { left: { centre_mm: [2, 5, 2] }, right: { centre_mm: [9, 5, 2] } } },
  centres_mm: { left: [2, 5, 2], right: [9, 5, 2] }, findings: [], windows: [] }
let cases = 0

/** Two hippocampi at a height. */
function drawn(height) {
  const labels = new Labels(new Uint8Array(DIMS[0] * DIMS[1] * DIMS[2]), DIMS, [1, 1, 1])
  for (const from of [1, 8]) for (let y = 1; y <= 8; y++) for (let x = from; x < from + 3; x++) {
    labels.values[labels.index([x, y, height])] = y >= 6 ? 1 : 2
  }
  return labels
}

/** A head that is open with the tool for its border. */
async function opened() {
  const id = `HV-${cases++}`
  globalThis.fetch = /** @type {any} */ (async (url) => (
    String(url).includes("about") ? { ok: true, json: async () => ({ ...about, case: id }) }
      : String(url).includes("mask") ? new Response(gzipSync(drawn(3).values))
        : { ok: false, status: 404, json: async () => ({ error: { message: "", hint: "" } }) }))
  const labels = drawn(1)
  const props = /** @type {any} */ ({ case: id, files: "files", newest: 0, version: 0, author: "A" })
  const screen = { voxel: [2, 5, 1], spacing: [1, 1, 1], voxelAt: (mm) => mm, panes: () => [] }
  const host = /** @type {any} */ ({ props, view: { axis: 2 }, repaint() {}, ask() {}, trigger() {},
    frame: { box: new Part("div"), stage: new Part("div"), canvas: new Part("canvas") },
    opened: { labels, about, screen, findings: [] } })
  const tools = new Correcting(host)
  await tools.open(props, host.opened)
  tools.setActive(true)
  tools.pick("Border")
  const [border] = tools.borders.borders
  const event = { button: 0, isPrimary: true, preventDefault() {}, stopPropagation() {} }
  const grip = () => tools.borders.grip(/** @type {any} */ (new Part("div")), border, /** @type {any} */ (event))
  const differ = (from) => labels.values.filter((value, index) => value !== from[index]).length
  return { tools, host, labels, props, border, grip, differ, before: labels.values.slice() }
}

test("a drag that a key breaks off is a step: kept as a draft, and undone as one", async () => {
  for (const key of ["Escape", "b", "e"]) {
    const { tools, labels, border, grip, differ, before } = await opened()
    grip()
    tools.borders.put(border, border.plane - 2)
    tools.key(/** @type {any} */ ({ key }))
    assert.equal(labels.open, null)
    assert.equal(tools.sheet.isSettled, false)
    assert.ok(differ(before))
    tools.undo()
    assert.equal(differ(before), 0)
  }
})

test("undo while a line is dragged takes the drag back, and not what was drawn before it", async () => {
  const { tools, labels, border, grip, differ } = await opened()
  labels.begin()
  labels.set(labels.index([1, 5, 4]), 2)
  tools.endStep()
  const before = labels.values.slice()
  grip()
  tools.borders.put(border, border.plane - 1)
  tools.key(/** @type {any} */ ({ key: "z", ctrlKey: true }))
  assert.equal(differ(before), 0)
  assert.equal(tools.borders.held, null)
})

test("a line of the case before moves nothing while the next one is loaded", async () => {
  const { tools, host, border, grip, differ, before } = await opened()
  const line = /** @type {any} */ (tools.borders.lineOf(border, 2))
  tools.leave()
  host.opened = null
  line.onkeydown({ key: "ArrowUp", preventDefault() {}, stopPropagation() {} })
  grip()
  assert.equal(tools.borders.held, null)
  assert.equal(differ(before), 0)
})

test("when the page shows another version the lines are of that one", async () => {
  const { tools, host, labels, props } = await opened()
  const viewer = { ...host, correcting: tools, head: { open() {} }, looking: { forgetFinding() {} }, paint() {} }
  await SliceViewer.prototype.switchMask.call(viewer, { ...props, newest: 1, version: 1 })
  const whole = drawn(3).values.map((value) => Number(value > 0))
  tools.moveBorder(1)
  assert.equal(tools.isDrawn, true)
  assert.deepEqual(labels.values.map((value) => Number(value > 0)), whole)
})

test("a step to the back moves nothing to the front where all is anterior already", async () => {
  const { tools, labels } = await opened()
  labels.replace(labels.values.map((value) => Number(value > 0)))
  tools.changed()
  tools.moveBorder(-1)
  assert.equal(labels.count(2), 0)
})
