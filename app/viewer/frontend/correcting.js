// Drawing on the mask: the tools, the pointer and the keys. What becomes of it: see saving.js.

import { choices, element, swatch } from "./common.js"
import { counts, volumeWords } from "./labels.js"
import { SaveForm } from "./saveform.js"
import { Desk } from "./saving.js"
import { storeOf } from "./store.js"
import { Tabs } from "./tabs.js"

const TOOLS = ["Look", "Pen", "Eraser", "Fill", "Smart pen"]
const SIZES_MM = [1, 2, 3, 4, 6, 8, 12]
const FIRST_SIZE_MM = 3
const SMART_MM = 4 // how far the smart pen reaches from where it is put down
const SMART_SHARE = 0.08 // of the first window: what still counts as alike
const LIVE_VOXELS = 2e6 // up to here volumes follow the pen; above, the end of a stroke
const ANNOUNCE_MS = 4000
const ANNOUNCEMENTS = 5 // a trigger may be lost on its way to the page

export const DRAWING_KEYS = [
  ["E", "correct the mask, or stop"],
  ["L B X G W", "look, pen, eraser, fill, smart pen"],
  ["Q", "draw the other label"],
  ["[ ]", "smaller, larger pen"],
  ["Ctrl Z, Ctrl Y", "undo, redo"],
  [", .", "make the slice as the one before, after"],
  ["K", "clean up"],
  ["Ctrl S", "save as a new version"],
]

// One for the page: what is on its way goes on when the viewer is taken away and comes again.
export const desk = new Desk({
  fetch: (...request) => fetch(...request),
  store: storeOf("localStorage"), session: storeOf("sessionStorage"),
  tabs: new Tabs({ locks: globalThis.navigator?.locks, setTimeout: (...later) => setTimeout(...later),
    channel: globalThis.BroadcastChannel && new BroadcastChannel("hippoview-drawings") }),
  setTimeout: (...later) => setTimeout(...later), clearTimeout: (timer) => clearTimeout(timer),
  now: () => new Date().toISOString(),
  name: () => Math.random().toString(36).slice(2, 14),
})
globalThis.addEventListener?.("pagehide", () => desk.leave())
globalThis.addEventListener?.("beforeunload", (event) => {
  if (desk.isAtRisk) event.preventDefault() // the browser asks whether to leave
})
globalThis.document?.addEventListener?.("visibilitychange", () => {
  if (document.visibilityState === "hidden") desk.flush()
})

export class Correcting {
  constructor(viewer) {
    this.viewer = viewer
    this.watch = (sheet, event) => this.heardOf(sheet, event)
    desk.watchers.add(this.watch)
    this.active = false
    this.tool = "Look"
    this.size = FIRST_SIZE_MM
    this.build()
  }

  build() {
    const button = (words, title, action) => {
      const made = element("button", { type: "button", textContent: words, title })
      made.onclick = () => { if (this.viewer.volumes) action() } // not while a case is loaded
      return made
    }
    this.toggle = button("Correct", "Draw on the mask (E)", () => this.setActive(!this.active))
    this.toggle.ariaPressed = "false"
    this.tools = choices("Tool", TOOLS, this.tool, (name) => this.take(name))
    this.targets = element("span", { className: "targets" })
    this.sizes = element("select", { ariaLabel: "Pen" }, ...SIZES_MM.map((mm) =>
      element("option", { value: mm, textContent: `${mm} mm`, selected: mm === FIRST_SIZE_MM })))
    this.sizes.onchange = () => { this.size = Number(this.sizes.value) }
    this.buttons = {
      undo: button("Undo", "Undo (Ctrl Z)", () => this.undo()),
      redo: button("Redo", "Redo (Ctrl Y)", () => this.redo()),
      before: button("Slice before", "Copy the labels of the slice before (,)",
        () => this.copy(-1)),
      after: button("Slice after", "Copy the labels of the slice after (.)",
        () => this.copy(1)),
      clean: button("Clean up", "Drop fragments, fill holes (K)", () => this.cleanUp()),
      save: button("Save version", "Save as a new version (Ctrl S)", () => this.askToSave()),
      discard: button("Discard", "Back to the saved version; Undo brings it back",
        () => this.discard()),
    }
    this.volumes = element("output", { className: "volumes" })
    this.state = element("output", { className: "kept" })
    const { undo, redo, before, after, clean, save, discard } = this.buttons
    this.rows = [
      element("div", { className: "row drawn", hidden: true }, this.tools, this.targets,
        element("label", {}, "Pen ", this.sizes)),
      element("div", { className: "row drawn", hidden: true },
        undo, redo, before, after, clean,
        element("span", { className: "ends" }, discard, save)),
      element("div", { className: "row", hidden: true }, this.volumes,
        element("span", { className: "ends" }, this.state)),
    ]
    this.note = element("p", { className: "note", role: "alert", hidden: true })
    this.form = new SaveForm(this)
    this.ring = element("div", { className: "ring", hidden: true })
  }

  // The case

  /** Begin with the labels that the viewer shows now, or with what was drawn on them before. */
  async open() {
    const { viewer } = this
    const { case: id, files, newest, version } = viewer.props
    const sheet = desk.open({ id, files, grid: viewer.about.grid }, viewer.labels,
      { newest, version })
    this.sheet = sheet
    if (this.noted === id) this.noteThat("")
    this.tell()
    this.labelValue = viewer.about.labels[0].value
    this.targets.replaceChildren(...choicesOf(viewer.about.labels, (value) => {
      this.labelValue = value
    }))
    this.setActive(false)
    this.say("")
    const draft = await sheet.restore()
    if (draft && sheet === this.sheet) {
      this.setActive(true)
      viewer.repaint()
      this.say(draft.at ? `Your draft of ${draft.at.slice(11, 16)} UTC, not saved yet` : sheet.words)
      this.tell()
    }
  }

  /** Another case takes this one's place: what is drawn goes on by itself. */
  leave() {
    this.up()
    this.form.close()
    this.sheet?.flush()
  }

  close() {
    this.leave()
    clearTimeout(this.announcing)
    desk.watchers.delete(this.watch)
  }

  /** From the labels that are shown on, nothing is drawn. */
  start() {
    this.sheet.start(this.viewer.props)
    this.tell()
  }

  get labels() {
    return this.sheet.labels
  }

  get base() {
    return this.sheet.base
  }

  get shown() {
    return this.sheet.shown
  }

  get isDrawn() {
    return Boolean(this.sheet?.isDrawn)
  }

  /** Whether the labels may not be changed from outside: drawn on, or just being drawn on. */
  get isBusy() {
    return Boolean(this.sheet?.labels.open) || this.isDrawn || Boolean(this.sheet?.isSaving)
  }

  setActive(wanted) {
    const active = wanted && !this.viewer.about.reduced // what is drawn has the scan's own grid
    this.active = active
    this.toggle.ariaPressed = String(active)
    for (const row of this.rows) row.hidden = !active
    this.pick(active ? "Pen" : "Look")
    if (!active) this.form.close()
    this.viewer.box.dataset.correcting = active
  }

  take(name) {
    this.tool = name
    this.viewer.stage.classList.toggle("drawing", name !== "Look")
    this.ring.hidden = true
  }

  pick(name) {
    const input = this.tools.querySelectorAll("input")[TOOLS.indexOf(name)]
    if (!input.checked) input.click()
    this.take(name)
  }

  // The pointer

  listen(stage) {
    stage.append(this.ring, this.form.panel)
    const draws = (event) => this.active && this.viewer.volumes && this.tool !== "Look" && !event.shiftKey
      && (event.touches || (event.button === 0 && (event.buttons ?? 0) < 2))
      && event.composedPath().includes(this.viewer.canvas)
    for (const kind of ["mousedown", "mousemove", "mouseup", "touchstart", "touchmove", "touchend"]) {
      stage.addEventListener(kind, (event) => {
        if (draws(event)) event.stopPropagation() // NiiVue would move the crosshair
      }, { capture: true })
    }
    stage.addEventListener("pointerdown", (event) => {
      if (!draws(event) || !event.isPrimary) return
      this.viewer.box.focus({ preventScroll: true })
      this.viewer.canvas.setPointerCapture(event.pointerId)
      this.down(this.place(event))
    })
    stage.addEventListener("pointermove", (event) => {
      this.showRing(event)
      if (!this.pen || !event.isPrimary) return
      for (const each of event.getCoalescedEvents?.() ?? [event]) this.move(this.place(each))
      if (!event.getCoalescedEvents?.().length) this.move(this.place(event))
    })
    for (const kind of ["pointerup", "pointercancel"]) {
      stage.addEventListener(kind, () => this.up())
    }
    stage.addEventListener("pointerleave", () => { this.ring.hidden = true })
  }

  /** Where an event is: the plane that its pane cuts, and the point in voxels. */
  place(event) {
    const { labels, viewer: { nv, canvas } } = this
    const box = canvas.getBoundingClientRect()
    const scale = canvas.width / canvas.clientWidth
    const x = (event.clientX - box.left) * scale
    const y = (event.clientY - box.top) * scale
    const tile = nv.tileIndex(x, y)
    const axis = [2, 1, 0][nv.screenSlices[tile]?.axCorSag]
    if (axis === undefined) return null
    const share = nv.screenXY2TextureFrac(x, y, tile)
    if (share[0] < 0) return null
    const point = labels.dims.map((n, w) => share[w] * n - 0.5)
    point[axis] = this.viewer.voxel[axis]
    return { axis, point, tile }
  }

  showRing(event) {
    const size = { Pen: this.size, Eraser: this.size, "Smart pen": 2 * SMART_MM }[this.tool]
    const at = this.active && size ? this.place(event) : null
    this.ring.hidden = !at
    if (!at) return
    const { leftTopWidthHeight, fovMM } = this.viewer.nv.screenSlices[at.tile]
    const scale = this.viewer.canvas.width / this.viewer.canvas.clientWidth
    const px = size * Math.abs(leftTopWidthHeight[2] / fovMM[0]) / scale
    const box = this.viewer.stage.getBoundingClientRect()
    Object.assign(this.ring.style, { width: `${px}px`, height: `${px}px`,
      left: `${event.clientX - box.left}px`, top: `${event.clientY - box.top}px` })
  }

  down(at) {
    if (!at) return
    const { labels } = this
    labels.begin()
    if (this.tool === "Fill" || this.tool === "Smart pen") {
      const voxel = at.point.map(Math.round)
      const done = this.tool === "Fill"
        ? labels.fill(voxel, at.axis, this.labelValue) : this.growFrom(voxel)
      if (!done) this.say("Nothing was filled: the area is open. Draw its outline first")
      this.endStep()
      return
    }
    this.pen = at
    this.move(at)
  }

  growFrom(voxel) {
    const { labels, viewer: { volumes, about } } = this
    const tolerance = SMART_SHARE * (about.windows[0].high - about.windows[0].low)
    for (const index of labels.alike(voxel, volumes[0].img, tolerance, SMART_MM)) {
      labels.set(index, this.labelValue)
    }
    return true
  }

  move(at) {
    if (!at || at.axis !== this.pen.axis) return
    const erases = this.tool === "Eraser"
    const admits = erases ? (label) => label === this.labelValue : () => true
    const label = erases ? 0 : this.labelValue
    const { labels } = this
    labels.stroke(this.pen.point, at.point, at.axis, this.size, label, admits)
    this.pen = at
    this.viewer.repaint()
    if (labels.values.length <= LIVE_VOXELS) this.tell()
  }

  up() {
    if (!this.pen) return
    this.pen = null
    this.endStep()
  }

  /** End what `labels.begin` began. */
  endStep() {
    if (this.labels.end()) this.changed()
  }

  // Commands

  undo() {
    if (this.labels.undo()) this.changed()
  }

  redo() {
    if (this.labels.redo()) this.changed()
  }

  copy(step) {
    const { labels, viewer: { axis, voxel } } = this
    labels.begin()
    labels.copySlice(axis, voxel[axis], step)
    this.endStep()
  }

  cleanUp() {
    const { labels, viewer: { about } } = this
    labels.begin()
    labels.cleanUp(about.labels.map(({ value }) => value))
    if (labels.end()) this.changed()
    else this.say("Nothing to clean: one piece of each label, no holes")
  }

  discard() {
    if (this.labels.replace(this.sheet.saved)) this.changed()
  }

  changed() {
    this.viewer.repaint()
    this.sheet.changed()
    this.tell()
    // Taken back, the mask that the page asked for meanwhile can be shown.
    const { props } = this.viewer
    if (this.shown !== props.version && !this.isBusy) this.viewer.ask({ ...props })
  }

  tell() {
    const { labels, saved } = this.sheet
    const { about } = this.viewer
    const voxel = labels.spacing.reduce((product, mm) => product * mm, 1)
    const now = counts(labels.values)
    if (this.counted !== saved) [this.counted, this.before] = [saved, counts(saved)]
    this.volumes.textContent = volumeWords(about, now, this.before, voxel)
    this.volumes.title = about.too_small ? `Too small: ${about.too_small}` : ""
    this.buttons.undo.disabled = !labels.done.length
    this.buttons.redo.disabled = !labels.undone.length
    const { isDrawn } = this
    this.viewer.box.dataset.drawn = isDrawn
    this.buttons.save.disabled = this.buttons.discard.disabled = !isDrawn
    // A dimmed button hears no keys: after a click on Discard, Ctrl+Z is for the viewer.
    const { box } = this.viewer
    if (box.getRootNode().activeElement?.disabled) box.focus({ preventScroll: true })
  }

  say(words) {
    this.state.textContent = words
  }

  // What becomes of it

  askToSave() {
    if (this.pen) this.up()
    if (this.isDrawn) this.form.ask()
    else this.say("Nothing is drawn that is not saved")
  }

  /** Who signs: the field in which the name is typed. */
  get author() {
    return this.form.author
  }

  save() {
    return this.form.send()
  }

  /** Of any case that was drawn on here, whatever is shown now. */
  heardOf(sheet, { words, version, error, newest }) {
    const { id } = sheet.of
    const isOpen = sheet === this.sheet
    if (words !== undefined && isOpen) this.say(words)
    if (isOpen) this.form.answered(sheet, { version, error, newest })
    if (version) {
      if (!isOpen) this.noteThat(`${id} was saved as version ${version}.`, id)
      this.announce(id, version)
    } else if (error) {
      const told = `${error.message}. ${error.hint}`
      if (isOpen) this.say(`Not saved. ${told}`)
      else this.noteThat(`${id} was not saved. ${told} Open it again to go on.`, id)
      if (error.code === "newer_version") this.announce(id, 0) // the page shows what is there now
    }
    if (isOpen && (version || error)) this.tell()
  }

  noteThat(words, id) {
    this.noted = id
    this.note.textContent = words
    this.note.hidden = !words
  }

  /** Have the page show a new version; again, if it did not hear of it. */
  announce(id, version, time = 1) {
    clearTimeout(this.announcing)
    if (this.viewer.closed) return
    this.viewer.trigger("saved", { case: id, version, time })
    if (time === ANNOUNCEMENTS) return
    this.announcing = setTimeout(() => {
      const { case: shown, newest } = this.viewer.asked ?? {}
      if (shown === id && newest < version) this.announce(id, version, time + 1)
    }, ANNOUNCE_MS)
  }

  /** The page says that there are newer versions; what is drawn here stays. */
  heard({ newest, files }) {
    const { sheet } = this
    if (sheet.of.files !== files) { // its links are new, after a restart of the server
      sheet.of.files = files
      sheet.flush()
    }
    if (newest > sheet.base && !sheet.isSaving && sheet.isDrawn) {
      this.say(`Version ${newest} was saved meanwhile. You draw on version ${sheet.base}`)
    }
  }

  /** True if the key was one of these. */
  key(event) {
    const { key } = event
    if (event.ctrlKey || event.metaKey) {
      const command = {
        z: () => (event.shiftKey ? this.redo() : this.undo()), y: () => this.redo(),
        s: () => this.askToSave(),
      }[key.toLowerCase()]
      const isMeant = this.active || (this.isDrawn && key.toLowerCase() === "s")
      if (!isMeant || !command) return false
      command()
      return true
    }
    if (key.toLowerCase() === "e") {
      this.setActive(!this.active)
      return true
    }
    if (!this.active) return false
    const size = (step) => {
      const at = SIZES_MM.indexOf(this.size) + step
      this.size = SIZES_MM[Math.min(SIZES_MM.length - 1, Math.max(0, at))]
      this.sizes.value = this.size
    }
    const other = () => {
      const inputs = [...this.targets.querySelectorAll("input")]
      inputs[(inputs.findIndex((input) => input.checked) + 1) % inputs.length].click()
    }
    const command = {
      l: () => this.pick("Look"), Escape: () => this.pick("Look"), b: () => this.pick("Pen"),
      x: () => this.pick("Eraser"), g: () => this.pick("Fill"), w: () => this.pick("Smart pen"),
      q: other, "[": () => size(-1), "]": () => size(1), k: () => this.cleanUp(),
      ",": () => this.copy(-1), ".": () => this.copy(1),
    }
    const chosen = command[key] ?? command[key.toLowerCase()]
    if (!chosen) return false
    chosen()
    return true
  }
}

function choicesOf(labels, onChange) {
  const name = (label) => label.name[0].toUpperCase() + label.name.slice(1)
  const group = choices("Label to draw", labels.map(name), name(labels[0]), (words) =>
    onChange(labels.find((label) => name(label) === words).value))
  group.querySelectorAll("span").forEach((span, i) => span.prepend(swatch(labels[i].rgb), " "))
  return [group]
}
