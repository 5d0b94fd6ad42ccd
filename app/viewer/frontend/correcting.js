// Drawing on the mask: the tools and what they do to the labels. What becomes of it: see sheet.js.

import { Announcer } from "./announcer.js"
import { FIRST_SIZE_MM, SIZES_MM, TOOLS, labelChoices, makeBar } from "./bar.js"
import { Bordering } from "./bordering.js"
import { sentences } from "./common.js"
import { drawingCommand } from "./keys.js"
import { desk } from "./page.js"
import { Pointer } from "./pointer.js"
import { SaveForm } from "./saveform.js"
import { Volumes } from "./volumes.js"

/** @typedef {import("./pointer.js").At} At */
/** @typedef {import("./sheet.js").Sheet} Sheet */
/** @typedef {import("./types.js").Host} Host */
/** @typedef {import("./types.js").Props} Props */

const SMART_MM = 4 // how far the smart pen reaches from where it is put down
const SMART_SHARE = 0.08 // of the first window: what still counts as alike
const DRAWS = new Set(TOOLS.filter((tool) => tool !== "Look" && tool !== "Border"))
const LIVE_VOXELS = 2e6 // up to here volumes follow the pen; above, the end of a stroke

export class Correcting {
  /** @type {Sheet | null} of the case that is open */
  #sheet = null

  /** @param {Host} host */
  constructor(host) {
    this.host = host
    /** @type {(sheet: Sheet, event: import("./types.js").SheetEvent) => void} */
    this.watch = (sheet, event) => this.heardOf(sheet, event)
    desk.watchers.add(this.watch)
    this.announcer = new Announcer({ tell: (version) => host.trigger("saved", version),
      asked: () => host.asked })
    this.isActive = false
    this.tool = "Look"
    this.sizeMm = FIRST_SIZE_MM
    this.labelValue = 0 // that is drawn
    /** @type {At | null} where the pen was last, while it is down */
    this.pen = null
    this.volumes = new Volumes()
    this.noted = "" // the case that the note is about
    this.borders = new Bordering(host, () => ({ labels: this.labels, tell: () => this.tell(),
      endStep: () => this.endStep() }))
    this.pointer = new Pointer(host, {
      isAtWork: () => this.isActive && host.opened !== null && DRAWS.has(this.tool),
      reachMm: () => ({ Pen: this.sizeMm, Eraser: this.sizeMm, "Smart pen": 2 * SMART_MM }[this.tool] ?? null),
      down: (at) => this.down(at), move: (at) => this.move(at), up: () => this.up(),
    })
    /** @param {() => void} action not while a case is loaded */
    const act = (action) => () => { if (host.opened) action() }
    this.bar = makeBar({
      correct: act(() => this.setActive(!this.isActive)),
      take: (name) => this.take(name), size: (mm) => { this.sizeMm = mm },
      undo: act(() => this.undo()), redo: act(() => this.redo()),
      copy: (step) => act(() => this.copy(step))(),
      cleanUp: act(() => this.cleanUp()), save: act(() => this.askToSave()),
      discard: act(() => this.discard()),
    })
    this.form = new SaveForm(() => host.frame.box.focus({ preventScroll: true }))
  }

  listen() {
    this.pointer.listen()
    this.host.frame.stage.append(this.borders.layer, this.form.panel)
  }

  // The case

  /**
   * Begin with the labels that the viewer shows now, or with what was drawn on them before.
   * @param {Props} props
   * @param {import("./types.js").Opened} opened
   */
  async open({ case: id, files, newest, version }, { about, labels }) {
    const sheet = desk.open({ id, files, grid: about.grid }, labels, { newest, version })
    this.#sheet = sheet
    this.bar.toggle.disabled = Boolean(about.reduced)
    if (this.noted === id) this.noteThat("", id)
    this.tell()
    this.labelValue = about.labels[0].value
    this.bar.targets.replaceChildren(labelChoices(about.labels, (value) => { this.labelValue = value }))
    this.setActive(false)
    this.say("")
    const draft = about.viewing ? null : await sheet.restore()
    if (draft && sheet === this.#sheet) {
      this.setActive(true)
      this.host.repaint()
      this.say(draft.at ? `Your draft of ${draft.at.slice(11, 16)} UTC, not saved yet` : sheet.words)
      this.tell()
    }
  }

  /** Another case takes this one's place: what is drawn goes on by itself. */
  leave() {
    this.rest()
    this.form.close()
    this.#sheet?.flush()
  }

  close() {
    this.leave()
    this.announcer.close()
    desk.watchers.delete(this.watch)
  }

  /**
   * From the labels that are shown on, nothing is drawn.
   * @param {Props} props
   */
  start(props) {
    this.sheet.start(props)
    this.tell()
  }

  get sheet() {
    if (!this.#sheet) throw new Error("no case is open")
    return this.#sheet
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
    return Boolean(this.#sheet?.isDrawn)
  }

  /** Whether the labels may not be changed from outside: drawn on, or just being drawn on. */
  get isBusy() {
    const sheet = this.#sheet
    return Boolean(sheet && (sheet.labels.open || sheet.isDrawn || sheet.isSaving))
  }

  /** @param {boolean} wanted */
  setActive(wanted) {
    const isActive = wanted && !this.host.opened?.about.reduced // what is drawn has the scan's own grid
    this.isActive = isActive
    this.bar.toggle.ariaPressed = String(isActive)
    for (const row of this.bar.rows) row.hidden = !isActive
    this.pick(isActive ? "Pen" : "Look")
    if (!isActive) this.form.close()
    this.host.frame.box.dataset.correcting = String(isActive)
  }

  /** @param {string} name of the tool */
  take(name) {
    this.tool = name
    this.host.frame.stage.classList.toggle("drawing", DRAWS.has(name))
    this.borders.show(this.isActive && name === "Border")
    this.pointer.ring.hidden = true
  }

  /** @param {string} name of the tool */
  pick(name) {
    const input = this.bar.tools.querySelectorAll("input")[TOOLS.indexOf(name)]
    if (!input.checked) input.click()
    this.take(name)
  }

  // The tool at work

  /** @param {At} at */
  down(at) {
    const { labels, tool } = this
    labels.begin()
    if (tool === "Fill" || tool === "Smart pen") {
      const voxel = at.point.map(Math.round)
      if (tool === "Smart pen") this.growFrom(voxel)
      else if (!labels.fill(voxel, at.axis, this.labelValue)) {
        this.say("Nothing was filled: the area is open. Draw its outline first")
      }
      this.endStep()
      return
    }
    this.pen = at
    this.move(at)
  }

  /** @param {number[]} voxel */
  growFrom(voxel) {
    const { labels, host: { opened } } = this
    if (!opened) return
    const [{ low, high }] = opened.about.windows
    const tolerance = SMART_SHARE * (high - low)
    for (const index of labels.alike(voxel, opened.screen.intensities, tolerance, SMART_MM)) {
      labels.set(index, this.labelValue)
    }
  }

  /** @param {At} at */
  move(at) {
    const { labels, labelValue, pen, sizeMm } = this
    if (!pen || at.axis !== pen.axis) return
    const erases = this.tool === "Eraser"
    const admits = (/** @type {number} */ label) => !erases || label === labelValue
    labels.stroke(pen.point, at.point, at.axis, sizeMm, erases ? 0 : labelValue, admits)
    this.pen = at
    this.host.repaint()
    if (labels.values.length <= LIVE_VOXELS) this.tell()
  }

  up() {
    if (!this.pen) return
    this.pen = null
    this.endStep()
  }

  /** End the step that a pen or a line is within: what comes now is another one. */
  rest() {
    this.up()
    this.borders.letGo()
  }

  /** End what `labels.begin` began. */
  endStep() {
    if (this.labels.end()) this.changed()
  }

  // Commands

  undo() {
    this.rest()
    if (this.labels.undo()) this.changed()
  }

  redo() {
    this.rest()
    if (this.labels.redo()) this.changed()
  }

  /** @param {number} step to the slice that is copied: 1 or -1 */
  copy(step) {
    const { labels, host: { opened, view: { axis } } } = this
    if (!opened) return
    this.rest()
    labels.begin()
    labels.copySlice(axis, opened.screen.voxel[axis], step)
    this.endStep()
  }

  /** @param {number} count of slices to the front, of the hippocampus that the crosshair is nearest to */
  moveBorder(count) {
    if (this.tool !== "Border") this.pick("Border")
    this.borders.step(null, count)
  }

  cleanUp() {
    const { labels, host: { opened } } = this
    if (!opened) return
    this.rest()
    labels.begin()
    labels.cleanUp(opened.about.labels.map(({ value }) => value))
    if (labels.end()) this.changed()
    else this.say("Nothing to clean: one piece of each label, no holes")
  }

  discard() {
    this.rest()
    if (this.labels.replace(this.sheet.saved)) this.changed()
  }

  changed() {
    const { host } = this
    host.repaint()
    this.borders.find()
    this.sheet.changed()
    this.tell()
    // Taken back, the mask that the page asked for meanwhile can be shown.
    const { props } = host
    if (this.shown !== props.version && !this.isBusy) host.ask({ ...props })
  }

  /** Volumes, and what can be done now. */
  tell() {
    const { host: { opened, frame: { box } }, isDrawn, bar } = this
    if (!opened) return
    const { labels, saved } = this.sheet
    bar.volumes.textContent = this.volumes.words(opened.about, labels, saved, this.borders.centres)
    bar.volumes.title = opened.about.too_small ? `Too small: ${opened.about.too_small}` : ""
    bar.buttons.undo.disabled = !labels.done.length
    bar.buttons.redo.disabled = !labels.undone.length
    box.dataset.drawn = String(isDrawn)
    bar.buttons.save.disabled = bar.buttons.discard.disabled = !isDrawn
    // A dimmed button hears no keys: after a click on Discard, Ctrl+Z is for the viewer.
    const { activeElement } = /** @type {Document | ShadowRoot} */ (box.getRootNode())
    if (activeElement instanceof HTMLButtonElement && activeElement.disabled) {
      box.focus({ preventScroll: true })
    }
  }

  /** @param {string} words */
  say(words) {
    this.bar.state.textContent = words
  }

  // What becomes of it

  askToSave() {
    this.rest()
    const { author, signedIn } = this.host.props
    if (this.isDrawn) this.form.ask(this.sheet, author, Boolean(signedIn), this.bar.volumes.textContent ?? "")
    else this.say("Nothing is drawn that is not saved")
  }

  /**
   * Of any case that was drawn on here, whatever is shown now.
   * @param {Sheet} sheet
   * @param {import("./types.js").SheetEvent} event
   */
  heardOf(sheet, { words, version, error, newest }) {
    const { id } = sheet.of
    const isOpen = sheet === this.#sheet
    if (words !== undefined && isOpen) this.say(words)
    if (isOpen) this.form.answered(sheet, { version, error, newest })
    if (version) {
      if (!isOpen) this.noteThat(`${id} was saved as version ${version}.`, id)
      this.announce(id, version)
    } else if (error) {
      if (isOpen) this.say(`Not saved. ${sentences(error)}`)
      else this.noteThat(`${id} was not saved. ${sentences(error)} Open it again to go on.`, id)
      if (error.code === "newer_version") this.announce(id, 0) // the page shows what is there now
    }
    if (isOpen && (version || error)) this.tell()
  }

  /**
   * @param {string} words
   * @param {string} id the case that they are about
   */
  noteThat(words, id) {
    this.noted = id
    this.bar.note.textContent = words
    this.bar.note.hidden = !words
  }

  /**
   * Have the page show a new version.
   * @param {string} id the case
   * @param {number} version
   */
  announce(id, version) {
    this.announcer.announce(id, version)
  }

  /**
   * The page says that there are newer versions; what is drawn here stays.
   * @param {Props} props
   */
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

  /**
   * True if the key was one of these.
   * @param {KeyboardEvent} event
   */
  key(event) {
    const command = drawingCommand(event, this)
    if (!command) return false
    const resize = (/** @type {number} */ step) => {
      const at = SIZES_MM.indexOf(this.sizeMm) + step
      this.sizeMm = SIZES_MM[Math.min(SIZES_MM.length - 1, Math.max(0, at))]
      this.bar.sizes.value = String(this.sizeMm)
    }
    const otherLabel = () => {
      const inputs = [...this.bar.targets.querySelectorAll("input")]
      inputs[(inputs.findIndex((input) => input.checked) + 1) % inputs.length].click()
    }
    /** @type {Record<string, () => void>} */
    const acts = {
      "correct": () => this.setActive(!this.isActive),
      "undo": () => this.undo(), "redo": () => this.redo(), "save": () => this.askToSave(),
      "look": () => this.pick("Look"), "pen": () => this.pick("Pen"), "eraser": () => this.pick("Eraser"),
      "fill": () => this.pick("Fill"), "smart pen": () => this.pick("Smart pen"), "border": () => this.pick("Border"),
      "border forward": () => this.moveBorder(1), "border back": () => this.moveBorder(-1),
      "other label": otherLabel, "smaller": () => resize(-1), "larger": () => resize(1),
      "clean up": () => this.cleanUp(), "copy before": () => this.copy(-1), "copy after": () => this.copy(1),
    }
    acts[command]()
    return true
  }
}
