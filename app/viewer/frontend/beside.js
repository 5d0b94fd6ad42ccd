// Another mask or another case beside the first, linked: the same place in mm, zoom and view.

import { element } from "./common.js"

export class Beside {
  constructor(viewer) {
    this.viewer = viewer
    this.canvas = element("canvas", { role: "img", tabIndex: -1 })
    this.words = element("div", { className: "caption" })
    this.stage = element("div", { className: "stage" }, this.canvas, this.words)
    this.labels = null
  }

  async load(spec, about, makeViewer) {
    this.spec = spec
    this.words.textContent = spec.words
    this.canvas.ariaLabel = spec.words
    this.painter = await makeViewer(this.canvas)
    this.nv = this.painter.nv
    this.watcher = new ResizeObserver(() => {
      if (!this.stage.clientWidth) return
      this.nv.resizeListener()
      this.painter.now()
    })
    this.watcher.observe(this.stage)
    const { viewer } = this
    const volumes = await viewer.fetchVolumes(spec.files, spec.version)
    this.overlay = viewer.put(this.painter, volumes, about.windows[0])
    this.labels = this.nv.volumes[1].img
    this.nv.onLocationChange = () => this.lead()
    this.follow()
  }

  /** Show what the first one shows. */
  follow() {
    const { nv } = this
    const first = this.viewer.nv
    if (!nv?.volumes.length || this.leads) return
    nv.opts.isRadiologicalConvention = this.viewer.isRadiological
    if (nv.opts.sliceType !== first.opts.sliceType) nv.setSliceType(first.opts.sliceType)
    nv.scene.crosshairPos = nv.mm2frac(first.frac2mm(first.scene.crosshairPos))
    nv.scene.pan2Dxyzmm = [...first.scene.pan2Dxyzmm]
    nv.scene.renderAzimuth = first.scene.renderAzimuth
    nv.scene.renderElevation = first.scene.renderElevation
    nv.setCrosshairWidth(first.opts.crosshairWidth)
    nv.drawScene()
    const voxel = Array.from(nv.frac2vox(nv.scene.crosshairPos), Math.round)
    this.stage.dataset.voxel = voxel.join(",")
  }

  setOpacity() {
    this.overlay?.show(this.viewer.colours, this.viewer.opacity.value / 100)
  }

  /** Its own pointer moves both. */
  lead() {
    if (this.leads || !this.viewer.volumes) return
    this.leads = true
    const first = this.viewer.nv
    first.scene.crosshairPos = first.mm2frac(this.nv.frac2mm(this.nv.scene.crosshairPos))
    first.drawScene()
    first.createOnLocationChange()
    this.leads = false
    this.follow()
  }

  close() {
    this.watcher?.disconnect()
    this.painter?.stop()
    this.nv?.cleanup()
    this.nv?.gl?.getExtension("WEBGL_lose_context")?.loseContext()
    this.stage.remove()
  }
}
