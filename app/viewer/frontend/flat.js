// The same slices drawn by the server, for browsers without WebGL 2.

import { FAR_SLICES, OPACITY_PERCENT, PLANES, aboutOf, choices, element, slicePlace } from "./common.js"

const WORDS = "This browser has no WebGL 2: the server draws the slices, without 3-D, ruler and "
  + "zoom. Another browser, or hardware acceleration in its settings, brings them back."

export class FlatViewer {
  constructor(root, style) {
    this.axis = 1
    this.picture = element("img", { draggable: false })
    this.slider = element("input", { type: "range", min: 0, step: 1, ariaLabel: "Slice" })
    this.slider.oninput = () => this.goTo(Number(this.slider.value))
    this.where = element("output", { className: "where" })
    this.opacity = element("input", { type: "range", min: 0, max: 100, step: 5,
      value: OPACITY_PERCENT, ariaLabel: "Opacity" })
    this.opacity.onchange = () => { if (this.about) this.draw() }
    this.reduced = element("div", { className: "reduced" })
    this.stage = element("div", { className: "stage flat" }, this.picture)
    this.stage.onwheel = (event) => {
      event.preventDefault()
      if (this.about) this.goTo(this.at[this.axis] + Math.sign(event.deltaY))
    }
    const planes = choices("View", [...PLANES].reverse(), PLANES[this.axis], (name) => {
      this.axis = PLANES.indexOf(name)
      if (this.about) this.draw()
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

  async ask(props) {
    const isNew = this.props?.case !== props.case || this.props.version !== props.version
    this.props = props
    this.stage.style.height = `${props.height}px`
    if (isNew) {
      this.about = null
      this.box.dataset.state = "loading"
      const isStale = () => this.props.case !== props.case || this.props.version !== props.version
      let about
      try {
        about = await aboutOf(props)
      } catch (error) {
        console.error(error)
        if (isStale()) return
        this.where.textContent = "The slices could not be loaded. Reload the page."
        return
      }
      if (isStale()) return
      this.about = about
      this.reduced.textContent = this.about.reduced
      const first = this.about.findings[0]?.voxel
      this.at = first ?? this.about.shape.map((count) => Math.floor(count / 2))
    }
    if (this.about) this.draw()
  }

  close() {
    this.box.remove()
  }

  goTo(index) {
    if (!this.about) return // of a case that is being opened
    this.at[this.axis] = Math.min(this.about.shape[this.axis] - 1, Math.max(0, index))
    this.draw()
  }

  draw() {
    const { axis, at, about, props } = this
    const asked = new URLSearchParams({ convention: props.convention, opacity: this.opacity.value })
    this.picture.onload = () => {
      this.box.dataset.case = props.case
      this.box.dataset.state = "ready"
    }
    this.picture.src = `${props.files}/slices/${this.props.version}/${axis}/${at[axis]}.png?${asked}`
    const row = about.affine[axis]
    const mm = row[3] + at.reduce((sum, voxel, i) => sum + row[i] * voxel, 0)
    this.where.textContent = slicePlace(about, axis, at, mm)
    this.picture.alt = `${this.where.textContent}. ${about.conventions[props.convention]}`
    this.slider.max = about.shape[axis] - 1
    this.slider.value = at[axis]
    this.slider.ariaValueText = this.where.textContent
  }

  key(event) {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1,
      PageUp: FAR_SLICES, PageDown: -FAR_SLICES }
    const step = steps[event.key]
    if (!step || !this.about || event.composedPath()[0] instanceof HTMLInputElement) return
    event.preventDefault()
    this.goTo(this.at[this.axis] + step)
  }
}
