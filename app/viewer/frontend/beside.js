// Another mask or another case beside the first, linked: the same place in mm, zoom and view.

import { element } from "./common.js"
import { paneOf } from "./frame.js"
import { Screen, fetchVolumes } from "./screen.js"
import { coloursOf } from "./shown.js"

/** @typedef {import("./types.js").About} About */
/** @typedef {import("./types.js").Another} Another */
/** @typedef {import("./types.js").Host} Host */

export class Beside {
  /**
   * @param {Host} host
   * @param {Another} spec
   */
  constructor(host, spec) {
    this.host = host
    this.spec = spec
    this.canvas = element("canvas", { role: "img", tabIndex: -1, ariaLabel: spec.words })
    this.stage = element("div", { className: "stage" }, this.canvas)
    this.pane = paneOf(element("div", { className: "caption", title: spec.words, textContent: spec.words }),
      this.stage)
    /** @type {Screen | null} */
    this.screen = null
    /** @type {ArrayLike<number> | null} those of its mask */
    this.labels = null
    this.watcher = new ResizeObserver(() => {
      if (!this.stage.clientWidth || !this.screen) return
      this.screen.resize()
      this.screen.painter.now()
    })
    this.leads = false
    this.isClosed = false
  }

  /** @param {About} about */
  async load(about) {
    const { host, spec } = this
    const screen = await Screen.open(this.canvas, about.letters)
    this.screen = screen
    if (this.isClosed) return screen.close()
    this.watcher.observe(this.stage)
    const volumes = await fetchVolumes(spec.files, spec.version)
    if (this.isClosed) return
    const { isRadiological, opacity } = host
    screen.put(volumes, about.windows[0], { isRadiological, colours: coloursOf(about), opacity })
    this.labels = screen.picture
    screen.onMove(() => this.lead(screen))
    this.follow()
  }

  /** Show what the first one shows. */
  follow() {
    const { host: { opened, isRadiological }, screen } = this
    if (!opened || !screen?.isFilled || this.leads) return
    screen.follow(opened.screen, isRadiological)
    this.stage.dataset.voxel = screen.voxel.join(",")
  }

  fade() {
    const { opened, opacity } = this.host
    if (opened && this.screen?.isFilled) this.screen.show(coloursOf(opened.about), opacity)
  }

  /**
   * Its own pointer moves both.
   * @param {Screen} screen
   */
  lead(screen) {
    const { opened } = this.host
    if (this.leads || !opened) return
    this.leads = true
    opened.screen.goToMm(screen.mm)
    this.leads = false
    this.follow()
  }

  close() {
    if (this.isClosed) return
    this.isClosed = true
    this.watcher.disconnect()
    this.screen?.close()
    this.pane.remove()
  }
}
