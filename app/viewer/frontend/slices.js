// Slices of one scan with its labels over them, drawn by NiiVue. What is asked for here (scrolling,
// windows, rulers, pictures) happens in the browser alone; what comes from the page is compared with
// what came before, so that nothing is loaded or moved that stayed the same.
//
// `opened` is what is loaded: a value that is replaced, here and only here. The viewer's parts read it
// and ask (`Host` in types.d.ts).

import { Beside } from "./beside.js"
import { OPACITY_PERCENT, aboutOf, element, tellPage } from "./common.js"
import { Correcting } from "./correcting.js"
import { labelSwitches, legendOf, makeFrame } from "./frame.js"
import { HeadTools } from "./head.js"
import { Labels } from "./labels.js"
import { Looking } from "./looking.js"
import { maskOf } from "./requests.js"
import { Screen, fetchVolumes } from "./screen.js"
import { coloursOf, differencesOf } from "./shown.js"

/** @typedef {import("./types.js").About} About */
/** @typedef {import("./types.js").Host} Host */
/** @typedef {import("./types.js").Opened} Opened */
/** @typedef {import("./types.js").Props} Props */
/** @typedef {import("./types.js").Triple} Triple */

const DOUBTFUL_PERCENT = 20 // masks that are called unreliable are dimmed

/** @implements {Host} */
export class SliceViewer {
  /** @type {Props | null} what is shown */
  #props = null
  /** @type {Props | null} what is waited for */
  #asked = null
  /** @type {Screen | null} */
  #screen = null

  /**
   * @param {HTMLElement} root
   * @param {string} style
   */
  constructor(root, style) {
    /** @type {Promise<void>} */
    this.work = Promise.resolve()
    /** @type {Opened | null} */
    this.opened = null
    /** @type {string | null} the case that is shown whole */
    this.loaded = null
    /** @type {Beside | null} */
    this.beside = null
    /** @type {ResizeObserver | null} */
    this.watcher = null
    this.isClosed = false
    /** @type {(name: string, value: unknown) => void} */
    this.trigger = () => {}
    this.correcting = new Correcting(this)
    this.head = new HeadTools(this, this.correcting)
    this.looking = new Looking(this, (picture) => this.head.paint(picture))
    this.frame = makeFrame(this.looking.actions, this.view.name,
      { bar: this.correcting.bar, head: this.head.row })
    this.correcting.listen()
    root.append(element("style", { textContent: style }), this.frame.box)
  }

  // What the parts read and ask for

  get props() {
    if (!this.#props) throw new Error("nothing was asked for yet")
    return this.#props
  }

  get asked() {
    return this.#asked ?? this.props
  }

  get view() {
    return this.looking.view
  }

  get isRadiological() {
    return this.props.convention === "radiological"
  }

  get opacity() {
    return Number(this.frame.opacity.value) / 100
  }

  paint() {
    this.looking.paint()
  }

  repaint() {
    this.looking.repaint()
  }

  /** @param {Triple} voxel */
  jump(voxel) {
    this.looking.jump(voxel)
  }

  /** Show the list of keys, or hide it. */
  help() {
    const { help } = this.frame
    help.hidden = !help.hidden
  }

  /** @param {KeyboardEvent} event */
  drawingKey(event) {
    return this.correcting.key(event)
  }

  // Loading, and what the page asks for

  /**
   * One change after the other: the newest wins when several wait.
   * @param {Props} props
   */
  ask(props) {
    this.#asked = props
    this.work = this.work.then(async () => {
      if (this.#asked !== props || this.isClosed) return
      const before = this.#props
      this.#props = props
      try {
        if (this.loaded !== props.case) await this.load(props)
        else {
          if (this.frame.box.dataset.version !== String(props.version)) await this.switchMask(props)
          await this.apply(props, before)
        }
      } catch (error) {
        console.error(error)
        this.loaded = null
        if (this.isClosed) return
        this.say("The scan could not be loaded. If it fails again, allow cookies for this address "
          + "and reload the page, or tell the administrator the time. ", "failed")
        this.frame.message.append(element("button", {
          textContent: "Try again", onclick: () => this.ask({ ...props }) }))
      }
    })
  }

  /** @param {Props} props */
  async load(props) {
    const { frame } = this
    frame.stages.style.height = props.height
    const begun = performance.now()
    this.correcting.leave()
    this.loaded = null
    this.opened = null
    this.say("Loading the scan", "loading")
    const fetched = fetchVolumes(props.files, props.version) // while the graphics are set up
    fetched.catch(() => {}) // it is waited for below
    const about = await aboutOf(props)
    const screen = this.#screen ?? await this.attach(about)
    screen.hold()
    this.looking.stop()
    frame.windows.replaceChildren(...about.windows.map(({ name }, i) =>
      element("option", { value: i, textContent: `Window: ${name}` })))
    const volumes = await fetched
    if (this.isClosed || this.asked.case !== props.case) return // another is waited for
    const isDoubtful = about.head?.confidence === "unreliable"
    frame.opacity.value = String(isDoubtful ? DOUBTFUL_PERCENT : OPACITY_PERCENT)
    frame.percent.textContent = `${frame.opacity.value} %`
    screen.put(volumes, about.windows[0], {
      isRadiological: this.isRadiological, colours: coloursOf(about), opacity: this.opacity })
    frame.reduced.textContent = about.reduced
    frame.reduced.hidden = !about.reduced
    frame.shows.replaceChildren(...labelSwitches(about.labels, () => this.paint()))
    const labels = new Labels(screen.picture.slice(), screen.dims, screen.spacing)
    this.opened = { screen, about, labels, findings: about.findings }
    this.looking.begin(this.opened)
    this.head.open(about)
    await this.correcting.open(props, this.opened)
    await this.apply(props, null)
    if (this.isClosed) return
    this.looking.setView(this.view.name)
    this.looking.nextFinding()
    screen.letGo()
    this.beside?.screen?.painter.now()
    Object.assign(frame.box.dataset, { case: props.case, version: props.version })
    this.loaded = props.case
    frame.box.dataset.loadMs = String(Math.round(performance.now() - begun))
    this.say("", "ready")
  }

  /**
   * Set up the graphics, once the canvas has a size.
   * @param {About} about
   */
  async attach(about) {
    const { frame, looking } = this
    await new Promise((sized) => {
      this.watcher = new ResizeObserver(() => {
        if (!frame.stage.clientWidth) return
        if (this.#screen) {
          this.#screen.resize()
          looking.thin()
          this.#screen.painter.now()
        }
        sized(true)
      })
      this.watcher.observe(frame.stage)
    })
    const screen = await Screen.open(frame.canvas, about.letters)
    screen.onDraw(() => this.correcting.borders.place())
    screen.onMove(({ mm, value }) => looking.moved(mm, value))
    frame.canvas.addEventListener("pointermove", (event) => looking.hover(event))
    screen.setMouse(this.view.isMeasuring)
    this.#screen = screen
    return screen
  }

  /**
   * @param {Props} props
   * @param {Props | null} before
   */
  async apply(props, before) {
    if (!this.opened) return
    const { frame, opened: { about, screen } } = this
    const isOther = (/** @type {keyof Props} */ name) =>
      JSON.stringify(before?.[name]) !== JSON.stringify(props[name])
    if (isOther("height")) frame.stages.style.height = props.height
    if (isOther("convention")) {
      frame.canvas.ariaLabel = about.conventions[props.convention]
      screen.setConvention(this.isRadiological)
    }
    if (before) this.correcting.heard(props)
    if (isOther("beside") || isOther("version")) await this.compare(props)
    else this.beside?.follow()
  }

  /**
   * Another version of the mask: the scan, the place and the view stay.
   * @param {Props} props
   */
  async switchMask(props) {
    const { correcting, opened } = this
    if (!opened) return
    const { labels } = opened
    const isSavedHere = correcting.shown === props.version
    if (!isSavedHere && correcting.isBusy) return // what is drawn stays, whatever the page shows
    const about = await aboutOf(props)
    if (!isSavedHere) {
      const mask = await maskOf((url) => fetch(url), props.files, props.version, labels.values.length)
      if (this.isClosed || correcting.isBusy) return
      labels.values.set(mask)
      labels.forget()
      correcting.start(props)
    }
    this.opened = { ...opened, about, findings: about.findings }
    correcting.borders.find() // of these labels, not of those before
    this.head.open(about)
    this.looking.forgetFinding()
    this.frame.box.dataset.version = String(props.version)
    this.paint()
  }

  /**
   * Show what the page wants beside the first, or nothing.
   * @param {Props} props
   */
  async compare({ beside, case: own, version }) {
    const { opened, frame } = this
    if (!opened) return
    this.beside?.close()
    this.beside = null
    this.opened = { ...opened, findings: opened.about.findings }
    frame.caption.hidden = !beside
    const moved = beside?.moved ?? null
    frame.caption.replaceChildren(
      moved?.first ?? (version ? `Version ${version}` : "The model's mask"), frame.legend)
    frame.legend.replaceChildren(...legendOf(moved?.differences))
    if (beside) {
      const other = new Beside(this, beside)
      this.beside = other
      frame.stages.append(other.pane)
      await other.load(await aboutOf(beside))
      if (this.isClosed) return other.close()
    }
    const mask = moved || beside?.case === own ? this.beside?.labels : null
    frame.buttons.differ.hidden = !mask
    if (mask) {
      const differences = differencesOf(opened.labels, mask, Boolean(moved))
      this.opened = { ...opened, findings: [...differences, ...opened.about.findings] }
    }
    if (this.view.isDiffering !== Boolean(mask && (moved || this.view.isDiffering))) {
      this.looking.toggleDifferences()
    }
    this.looking.forgetFinding()
    frame.box.dataset.beside = beside ? `${beside.case} ${beside.version}` : ""
  }

  /**
   * @param {string} words
   * @param {string} state
   */
  say(words, state) {
    const { message, box } = this.frame
    message.textContent = words
    message.hidden = !words
    box.dataset.state = state
    const { case: id } = this.props
    tellPage(box, state === "ready" ? id : "", state === "failed" ? id : "")
  }

  close() {
    this.correcting.close()
    this.isClosed = true
    this.looking.close()
    this.beside?.close()
    this.watcher?.disconnect()
    this.#screen?.close()
    this.frame.box.remove()
  }
}
