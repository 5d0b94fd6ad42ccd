// NiiVue still has the private parts that are used of it, and one file alone uses them: niivue.js.

import assert from "node:assert/strict"
import { readFileSync, readdirSync } from "node:fs"
import { test } from "node:test"

globalThis.window ??= /** @type {any} */ (globalThis) // NiiVue asks it for the screen's resolution
const { Niivue } = await import("@niivue/niivue")
const { PRIVATE, crosshair, lightenLayers, paneAt, plateLetters, takeOverDrawing } = await import(
  "../../../app/viewer/frontend/niivue.js")

const SOURCES = new URL("../../../app/viewer/frontend/", import.meta.url)
const TYPES = new URL("./index.d.ts", import.meta.resolve("@niivue/niivue"))
const types = readFileSync(TYPES, "utf8")
const text = (name) => readFileSync(new URL(name, SOURCES), "utf8")
const others = readdirSync(SOURCES).filter((name) => name.endsWith(".js") && name !== "niivue.js")

/** What NiiVue's own types call internal or private, of the class that is used. */
function internals() {
  const from = types.indexOf("declare class Niivue extends")
  const body = types.slice(from, types.indexOf("\n}", from))
  const marked = /\/\*\*(?:(?!\*\/)[\s\S])*@internal(?:(?!\*\/)[\s\S])*\*\/\s*(?:get |set )?(\w+)/g
  return new Set([...body.matchAll(marked), ...body.matchAll(/^ {4}private (\w+)/gm)].map(([, name]) => name))
}

test("NiiVue has every private part that is used", () => {
  const nv = new Niivue()
  for (const name of Object.keys(PRIVATE.methods)) assert.equal(typeof nv[name], "function", name)
  for (const name of Object.keys(PRIVATE.fields)) {
    const has = name === "gl" ? Object.getOwnPropertyDescriptor(Niivue.prototype, "gl") : name in nv
    assert.ok(has, name)
  }
  for (const name of ["crosshairPos", "pan2Dxyzmm", "renderAzimuth", "renderElevation", "clipPlanes"]) {
    assert.ok(name in nv.scene, name)
  }
})

test("each is used, with its reason", () => {
  for (const [name, reason] of Object.entries({ ...PRIVATE.methods, ...PRIVATE.fields })) {
    const uses = text("niivue.js").match(new RegExp(`\\.${name}\\b|\\b${name} \\} = nv|"${name}"`, "g"))
    assert.ok(uses, name)
    assert.ok(reason.length > 10, name)
  }
})

test("what NiiVue calls internal is named here or not used", () => {
  const used = new Set([...text("niivue.js").matchAll(/\bnv(?:\.|\[")(\w+)/g)].map(([, name]) => name))
  const named = new Set([...Object.keys(PRIVATE.methods), ...Object.keys(PRIVATE.fields)])
  const all = internals()
  assert.ok(all.size > 100)
  for (const name of used) if (all.has(name)) assert.ok(named.has(name), name)
})

test("no other file touches a private part", () => {
  const all = new Set([...internals(), ...Object.keys(PRIVATE.methods), ...Object.keys(PRIVATE.fields)])
  for (const file of others) {
    const uses = [...text(file).matchAll(/\bnv(?:\.|\[")(\w+)/g)].map(([, name]) => name)
    for (const name of uses) assert.ok(!all.has(name), `${file}: ${name}`)
  }
})

test("only the files about the canvas know NiiVue at all", () => {
  const users = others.filter((file) => /from "@niivue\/niivue"/.test(text(file)))
  assert.deepEqual(users, ["painter.js", "screen.js"])
})

test("drawing is taken over, and NiiVue's own is still there", () => {
  const log = []
  const nv = /** @type {any} */ ({ drawScene: () => log.push("scene"), drawImage3D: (...pose) => log.push(pose) })
  const own = takeOverDrawing(nv, { scene: () => log.push("asked"), space: (pose) => own.cast(pose) })
  nv.drawScene()
  own.draw()
  nv.drawImage3D("m", 1, 2)
  assert.deepEqual(log, ["asked", "scene", ["m", 1, 2]])
})

test("one letter gets a plate, more are left as they are", () => {
  const log = []
  Object.assign(globalThis, { devicePixelRatio: 1 })
  const draw = (name) => (...more) => log.push([name, ...more])
  const nv = /** @type {any} */ ({ fontPx: 20, textWidth: () => 12, drawRect: draw("rect"), drawText: draw("text"),
    ...Object.fromEntries(["Right", "Left", "Below", "Above"].map((side) => [`drawText${side}`, draw(side)])) })
  plateLetters(nv)
  nv.drawTextRight([0, 100], "R")
  assert.deepEqual(log.map(([name]) => name), ["rect", "text"])
  nv.drawTextBelow([0, 100], "12 mm", 1)
  assert.deepEqual(log.at(-1), ["Below", [0, 100], "12 mm", 1])
})

test("a pane's axis, its scale and the point in it; nothing between panes and in space", () => {
  const panes = [{ axCorSag: 1, leftTopWidthHeight: [0, 0, -300, 200], fovMM: [150, 100] }, { axCorSag: 4 }]
  const nv = /** @type {any} */ ({ screenSlices: panes, tileIndex: (x) => x, screenXY2TextureFrac: () => [0.5, 0.5, 0.5] })
  assert.deepEqual(paneAt(nv, 0, 0), { axis: 1, share: [0.5, 0.5, 0.5], pixelsPerMm: 2 })
  assert.equal(paneAt(nv, 1, 0), null)
  assert.equal(paneAt(nv, -1, 0), null)
})

test("the crosshair is a whole voxel and a place in mm", () => {
  const nv = /** @type {any} */ ({ scene: { crosshairPos: [0.5, 0.5, 0.5] }, frac2vox: () => [1.2, 2.9, 3],
    frac2mm: () => [-1, 2, 3, 1] })
  assert.deepEqual(crosshair(nv), { voxel: [1, 3, 3], mm: [-1, 2, 3] })
})

test("a scan goes to the graphics card without its gradient, and labels as the box that holds them", () => {
  const log = []
  const dims = [3, 188, 256, 190]
  const nv = /** @type {any} */ ({
    gl: { TEXTURE2: 2 }, volumes: [{ dimsRAS: [3, 188, 256, 190] }], overlayTexture: "old",
    rgbaTex: (texture, unit, size) => { log.push(["made", unit, ...size.slice(1, 4)]); return "new" },
    updateInterpolation: (layer) => log.push(["plain", layer]),
    refreshLayers: (image, layer) => {
      nv.rgbaTex(null, 0, image.dimsRAS) // the scan
      nv.rgbaTex(null, 8, image.hdr.dims, true) // its gradient
      log.push(["slices", image.hdr.dims[3], layer])
    },
  })
  lightenLayers(nv, () => log.push(["labels"]))
  nv.refreshLayers({ hdr: { dims }, dimsRAS: [3, 188, 256, 190] }, 0)
  assert.deepEqual(log, [["made", 0, 188, 256, 190], ["made", 8, 1, 1, 1], ["slices", 1, 0]])
  assert.deepEqual(dims, [3, 188, 256, 190]) // as the file has it
  log.length = 0
  nv.refreshLayers({ hdr: { dims } }, 1)
  assert.deepEqual(log, [["made", 2, 188, 256, 190], ["plain", 1], ["labels"]])
  assert.deepEqual([nv.overlayTexture, nv.overlayTextureID], ["new", "new"])
})

test("NiiVue makes its gradient as large as the header says, and nothing of the scan itself", () => {
  const body = String(Niivue.prototype.refreshLayers)
  assert.equal(body.match(/gradientTexture\b/g)?.length >= 1, true)
  assert.equal(new Niivue().opts.gradientAmount, 0) // nothing that is shown asks for it
  assert.equal(new Niivue().opts.gradientOpacity, 0)
})
