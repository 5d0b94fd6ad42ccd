// The same slices drawn by the server, for browsers without WebGL 2.

import { FAR_SLICES, OPACITY_PERCENT, PLANES, aboutOf, choices, element, slicePlace, tellPage } from "./common.js"

/** @typedef {import("./types.js").About} About */
/** @typedef {import("./types.js").Props} Props */
/** @typedef {import("./types.js").Triple} Triple */
/** @typedef {{ props: Props, about: About, at: Triple }} Opened what is loaded, and the voxel that is shown */

const WORDS = "This browser has no WebGL 2: the server draws the slices, without 3-D, ruler and "
  + "zoom. Another browser, or hardware acceleration in its settings, brings them back."
/** @type {Record<string, number>} */
const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1,
  PageUp: FAR_SLICES, PageDown: -FAR_SLICES }

/**
 * The voxel that is shown first: the first finding, else the middle.
 * @param {Pick<About, "findings" | "shape">} about
 * @returns {Triple}
 */
export function firstVoxel({ findings, shape }) {
  const [x, y, z] = findings[0]?.voxel ?? shape.map((count) => Math.floor(count / 2))
  return [x, y, z]
}

/**
 * A voxel in another slice, within the scan.
 * @param {Triple} voxel
 * @param {number} axis
 * @param {number} index
 * @param {Triple} shape
 * @returns {Triple}
 */
export function inSlice(voxel, axis, index, shape) {
  const [x, y, z] = voxel
  /** @type {Triple} */
  const moved = [x, y, z]
  moved[axis] = Math.min(shape[axis] - 1, Math.max(0, index))
  return moved
}

/**
 * Where a voxel is along an axis, in mm.
 * @param {number[][]} affine 4 x 4
 * @param {number} axis
 * @param {Triple} voxel
 */
export function mmAlong(affine, axis, voxel) {
  const row = affine[axis]
  return row[3] + voxel.reduce((sum, n, i) => sum + row[i] * n, 0)
}

/**
 * The link to the picture of a slice.
 * @param {Pick<Props, "files" | "version" | "convention">} props
 * @param {number} axis
 * @param {Triple} voxel
 * @param {string} opacity in percent
 */
export function pictureLink({ files, version, convention }, axis, voxel, opacity) {
  const query = new URLSearchParams({ convention, opacity })
  return `${files}/slices/${version}/${axis}/${voxel[axis]}.png?${query}`
}

export class FlatViewer {
  /**
   * @param {HTMLElement} root
   * @param {string} style
   */
  constructor(root, style) {
    this.axis = 1
    /** @type {Props | null} */
    this.props = null
    /** @type {Opened | null} null while a case is opened */
    this.opened = null
    /** @type {(name: string, value: unknown) => void} */
    this.trigger = () => {}
    this.picture = element("img", { draggable: false })
    this.slider = element("input", { type: "range", min: 0, step: 1, ariaLabel: "Slice" })
    this.slider.oninput = () => this.goTo(Number(this.slider.value))
    this.where = element("output", { className: "where" })
    this.opacity = element("input", { type: "range", min: 0, max: 100, step: 5,
      value: OPACITY_PERCENT, ariaLabel: "Opacity" })
    this.opacity.onchange = () => this.draw()
    this.reduced = element("div", { className: "reduced" })
    this.stage = element("div", { className: "stage flat" }, this.picture)
    this.stage.onwheel = (event) => {
      event.preventDefault()
      this.step(Math.sign(event.deltaY))
    }
    const planes = choices("View", [...PLANES].reverse(), PLANES[this.axis], (name) => {
      this.axis = PLANES.indexOf(name)
      this.draw()
    })
    this.box = element("div", { className: "viewer", tabIndex: 0, role: "group",
      ariaLabel: "Slices. Arrow keys scroll." },
      element("div", { className: "row" }, planes,
        element("span", { className: "opacity" }, "Opacity ", this.opacity)),
      this.stage,
      element("div", { className: "row" }, this.slider, this.where),
      element("div", { className: "reading", textContent: WORDS }), this.reduced)
    this.box.onkeydown = (event) => this.key(event)
    root.append(element("style", { textContent: style }), this.box)
  }

  /** @param {Props} props */
  async ask(props) {
    const before = this.props
    this.props = props
    this.stage.style.height = props.height
    if (before?.case !== props.case || before.version !== props.version) {
      this.opened = null
      this.box.dataset.state = "loading"
      this.where.textContent = "Loading the scan"
      tellPage(this.box, "")
      const isStale = () => this.props?.case !== props.case || this.props.version !== props.version
      let about
      try {
        about = await aboutOf(props)
      } catch (error) {
        console.error(error)
        if (!isStale()) this.fail()
        return
      }
      if (isStale()) return
      this.reduced.textContent = about.reduced
      this.opened = { props: this.props, about, at: firstVoxel(about) }
    } else if (this.opened) this.opened = { ...this.opened, props }
    this.draw()
  }

  fail() {
    this.where.textContent = "The scan could not be loaded. Reload the page."
    tellPage(this.box, "", this.props?.case)
  }

  close() {
    this.box.remove()
  }

  /** @param {number} index */
  goTo(index) {
    const { opened, axis } = this
    if (!opened) return // of a case that is being opened
    this.opened = { ...opened, at: inSlice(opened.at, axis, index, opened.about.shape) }
    this.draw()
  }

  /** @param {number} count */
  step(count) {
    if (this.opened) this.goTo(this.opened.at[this.axis] + count)
  }

  draw() {
    const { axis, opened } = this
    if (!opened) return
    const { props, about, at } = opened
    this.picture.onerror = () => this.fail()
    this.picture.onload = () => {
      Object.assign(this.box.dataset, { case: props.case, state: "ready" })
      tellPage(this.box, props.case)
    }
    this.picture.src = pictureLink(props, axis, at, this.opacity.value)
    const words = slicePlace(about, axis, at, mmAlong(about.affine, axis, at))
    this.where.textContent = words
    this.picture.alt = `${words}. ${about.conventions[props.convention]}`
    this.slider.max = String(about.shape[axis] - 1)
    this.slider.value = String(at[axis])
    this.slider.setAttribute("aria-valuetext", words)
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = STEPS[event.key]
    if (!step || !this.opened || event.composedPath()[0] instanceof HTMLInputElement) return
    event.preventDefault()
    this.step(step)
  }
}
