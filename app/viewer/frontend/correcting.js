// Drawing on the mask: tools, the draft that is kept meanwhile, and saving it as a new version.

import { choices, element, swatch } from "./common.js"
import { fromRuns, pack, toRuns, unpack } from "./labels.js"

const TOOLS = ["Look", "Pen", "Eraser", "Fill", "Smart pen"]
const SIZES_MM = [1, 2, 3, 4, 6, 8, 12]
const FIRST_SIZE_MM = 3
const SMART_MM = 4 // how far the smart pen reaches from where it is put down
const SMART_SHARE = 0.08 // of the first window: what still counts as alike
const KEEP_MS = 600
const RETRY_MS = 3000
const LIVE_VOXELS = 2e6 // up to here volumes follow the pen; above, the end of a stroke
const AUTHOR_KEY = "hippoview-author"
const DRAFT_KEY = "hippoview-draft-" // what the server has not got yet, by case

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

export class Correcting {
  constructor(viewer) {
    this.viewer = viewer
    this.active = false
    this.tool = "Look"
    this.size = FIRST_SIZE_MM
    this.build()
  }

  build() {
    const button = (words, title, action) => {
      const made = element("button", { type: "button", textContent: words, title })
      made.onclick = action
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
    this.author = element("input", { type: "text", required: true, maxLength: 120,
      autocomplete: "name" })
    this.comment = element("input", { type: "text", maxLength: 1000 })
    this.problem = element("p", { className: "problem", role: "alert", hidden: true })
    this.sum = element("p", {})
    this.confirm = element("button", { type: "submit", textContent: "Save" })
    const cancel = button("Cancel", "Go on drawing (Esc)", () => this.closeForm())
    this.form = element("form", { className: "panel", hidden: true },
      element("strong", { textContent: "Save as a new version" }), this.sum,
      element("label", {}, "Your name", this.author),
      element("label", {}, "Comment", this.comment),
      this.problem, element("span", { className: "ends" }, cancel, this.confirm))
    this.form.onsubmit = (event) => {
      event.preventDefault()
      this.save()
    }
    this.form.onkeydown = (event) => {
      event.stopPropagation()
      if (event.key === "Escape") this.closeForm()
    }
    this.ring = element("div", { className: "ring", hidden: true })
  }

  // The case

  /** Begin with the labels that the viewer shows now, or with what was drawn on them before. */
  async open() {
    const { viewer } = this
    const { case: id, files } = viewer.props
    this.of = { id, files }
    this.start()
    this.labelValue = viewer.about.labels[0].value
    this.targets.replaceChildren(...choicesOf(viewer.about.labels, (value) => {
      this.labelValue = value
    }))
    this.setActive(false)
    this.closeForm()
    this.say("")
    const draft = await this.draft()
    if (draft && draft.labels.length === viewer.labels.values.length) {
      this.base = draft.base
      viewer.labels.replace(draft.labels)
      this.setActive(true)
      viewer.repaint()
      this.say(`Your draft of ${draft.at.slice(11, 16)} UTC, not saved yet`)
      if (draft.isLocal) this.keep()
      this.tell()
    }
  }

  /** From the labels that are shown on, nothing is drawn. */
  start() {
    this.base = this.viewer.props.newest
    this.shown = this.viewer.props.version
    this.saved = this.viewer.labels.values.slice()
    this.tell()
  }

  /** What this browser drew last time and did not save: the newest of here and the server. */
  async draft() {
    const kept = localStorage.getItem(DRAFT_KEY + this.of.id)
    if (kept) {
      const { base, at, runs } = JSON.parse(kept)
      return { base, at, labels: fromRuns(runs), isLocal: true }
    }
    const answer = await fetch(this.address("draft"), { cache: "no-store" })
    if (answer.status !== 200) return null
    return {
      base: Number(answer.headers.get("X-Base")), at: answer.headers.get("X-At"),
      labels: await unpack(new Uint8Array(await answer.arrayBuffer())),
    }
  }

  address(what) {
    return `${this.of.files}/${what}`
  }

  get isDrawn() {
    const { values } = this.viewer.labels
    let i = 0
    while (i < values.length && values[i] === this.saved[i]) i++ // a head has millions
    return i < values.length
  }

  setActive(active) {
    this.active = active
    this.toggle.ariaPressed = String(active)
    for (const row of this.rows) row.hidden = !active
    this.pick(active ? "Pen" : "Look")
    if (!active) this.closeForm()
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
    stage.append(this.ring, this.form)
    const draws = (event) => this.active && this.tool !== "Look" && !event.shiftKey
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
    const { nv, canvas, labels } = this.viewer
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
    const { labels } = this.viewer
    labels.begin()
    if (this.tool === "Fill" || this.tool === "Smart pen") {
      const voxel = at.point.map(Math.round)
      const done = this.tool === "Fill"
        ? labels.fill(voxel, at.axis, this.labelValue) : this.growFrom(voxel)
      if (!done) this.say("Nothing was filled: the area is open. Draw its outline first")
      this.close()
      return
    }
    this.pen = at
    this.move(at)
  }

  growFrom(voxel) {
    const { labels, volumes, about } = this.viewer
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
    this.viewer.labels.stroke(this.pen.point, at.point, at.axis, this.size, label, admits)
    this.pen = at
    this.viewer.repaint()
    if (this.saved.length <= LIVE_VOXELS) this.tell()
  }

  up() {
    if (!this.pen) return
    this.pen = null
    this.close()
  }

  /** End what `labels.begin` began. */
  close() {
    if (this.viewer.labels.end()) this.changed()
  }

  // Commands

  undo() {
    if (this.viewer.labels.undo()) this.changed()
  }

  redo() {
    if (this.viewer.labels.redo()) this.changed()
  }

  copy(step) {
    const { labels, axis, voxel } = this.viewer
    labels.begin()
    labels.copySlice(axis, voxel[axis], step)
    this.close()
  }

  cleanUp() {
    const { labels, about } = this.viewer
    labels.begin()
    labels.cleanUp(about.labels.map(({ value }) => value))
    if (labels.end()) this.changed()
    else this.say("Nothing to clean: one piece of each label, no holes")
  }

  discard() {
    if (this.viewer.labels.replace(this.saved)) this.changed()
  }

  changed() {
    this.viewer.repaint()
    this.tell()
    this.say("Keeping a draft")
    // At once and without waiting: whatever happens to this page, it is in the browser.
    const draft = { base: this.base, at: new Date().toISOString(),
      runs: toRuns(this.viewer.labels.values) }
    localStorage.setItem(DRAFT_KEY + this.of.id, JSON.stringify(draft))
    this.keepIn(KEEP_MS)
  }

  tell() {
    const { labels, about } = this.viewer
    const voxel = labels.spacing.reduce((product, mm) => product * mm, 1)
    const now = counts(labels.values)
    const before = counts(this.saved)
    this.volumes.textContent = about.labels.map(({ name, value }) => {
      const mm3 = now[value] * voxel
      const change = Math.round(mm3 - before[value] * voxel)
      const sign = change > 0 ? "+" : "−"
      return `${name} ${Math.round(mm3).toLocaleString("en")} mm³`
        + (change ? ` (${sign}${Math.abs(change).toLocaleString("en")})` : "")
    }).join("   ")
    this.buttons.undo.disabled = !labels.done.length
    this.buttons.redo.disabled = !labels.undone.length
    this.viewer.box.dataset.drawn = this.isDrawn
    this.buttons.save.disabled = this.buttons.discard.disabled = !this.isDrawn
  }

  say(words) {
    this.state.textContent = words
  }

  // The draft

  keepIn(ms) {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.keep(), ms)
  }

  /** What waits to be kept is kept now: another case takes this one's place. */
  flush() {
    if (this.timer) this.keep()
  }

  /** Keep the drawing on the server; it stays in this browser until the server has it. */
  async keep() {
    clearTimeout(this.timer)
    this.timer = null
    const { base, of, isDrawn } = this
    const name = DRAFT_KEY + of.id
    const sent = localStorage.getItem(name)
    const packed = pack(this.viewer.labels.values.slice())
    const tell = (words) => { if (of === this.of) this.say(words) }
    try {
      const answer = await (isDrawn
        ? fetch(this.address(`draft?base=${base}`), { method: "PUT", body: await packed,
          headers: { "Content-Type": "application/gzip" } })
        : fetch(this.address("draft"), { method: "DELETE" }))
      if (!answer.ok) throw new Error(`draft: ${answer.status}`)
    } catch (error) {
      console.warn(error)
      tell("The server does not answer. The draft is kept in this browser; it is tried again")
      if (of === this.of && !this.viewer.closed && !this.timer) this.keepIn(RETRY_MS)
      return
    }
    if (localStorage.getItem(name) === sent) localStorage.removeItem(name)
    tell(isDrawn ? "Draft kept" : "")
  }

  // Saving

  askToSave() {
    if (!this.active || !this.isDrawn) return
    this.author.value = this.viewer.props.author || this.author.value
      || localStorage.getItem(AUTHOR_KEY) || ""
    this.sum.textContent = `${this.volumes.textContent}. Nothing that was saved before is changed.`
    this.problem.hidden = true
    this.confirm.textContent = "Save"
    this.form.hidden = false;
    (this.author.value ? this.comment : this.author).focus()
  }

  closeForm() {
    this.form.hidden = true
    this.viewer.box.focus?.({ preventScroll: true })
  }

  async save() {
    clearTimeout(this.timer)
    this.timer = null
    this.confirm.disabled = true
    const form = new FormData()
    form.append("labels", new Blob([await pack(this.viewer.labels.values)]), "labels.gz")
    form.append("base", this.base)
    form.append("author", this.author.value)
    form.append("comment", this.comment.value)
    const values = this.viewer.labels.values.slice()
    let answer
    let told
    try {
      answer = await fetch(this.address("masks"), { method: "POST", body: form })
      told = await answer.json()
    } catch {
      told = { error: { message: "The server does not answer", hint: "Try again." } }
    }
    this.confirm.disabled = false
    if (!answer?.ok) {
      this.problem.textContent = `${told.error.message}. ${told.error.hint}`
      this.problem.hidden = false
      if (told.error.code === "newer_version") {
        this.confirm.textContent = "Save mine after it"
        this.base = Number(/version (\d+)/.exec(told.error.message)[1]) // now it is known
        this.viewer.trigger("saved", 0) // the page shows what is there now
      }
      return
    }
    this.base = this.shown = told.version
    this.saved = values
    localStorage.setItem(AUTHOR_KEY, this.author.value)
    localStorage.removeItem(DRAFT_KEY + this.of.id)
    this.comment.value = ""
    this.closeForm()
    this.say(`Saved as version ${told.version}`)
    this.tell()
    this.viewer.trigger("saved", told.version)
  }

  /** The page says that there are newer versions; what is drawn here stays. */
  heard({ newest, files }) {
    this.of.files = files // its links may be new, after a restart of the server
    if (newest > this.base && this.isDrawn) {
      this.say(`Version ${newest} was saved meanwhile. You draw on version ${this.base}`)
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
      if (!this.active || !command) return false
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

/** How many voxels of each value. */
function counts(values) {
  const found = new Uint32Array(256)
  for (const value of values) found[value]++
  return found
}

function choicesOf(labels, onChange) {
  const name = (label) => label.name[0].toUpperCase() + label.name.slice(1)
  const group = choices("Label to draw", labels.map(name), name(labels[0]), (words) =>
    onChange(labels.find((label) => name(label) === words).value))
  group.querySelectorAll("span").forEach((span, i) => span.prepend(swatch(labels[i].rgb), " "))
  return [group]
}
