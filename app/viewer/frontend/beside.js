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
    this.nv = await makeViewer(this.canvas)
    this.watcher = new ResizeObserver(() => {
      if (this.stage.clientWidth) this.nv.resizeListener()
    })
    this.watcher.observe(this.stage)
    const { low, high } = about.windows[0]
    await this.nv.loadVolumes([
      { url: `${spec.files}/scan.nii.gz`, name: "scan.nii.gz", colormap: "gray",
        trustCalMinMax: false, cal_min: low, cal_max: high },
      { url: `${spec.files}/masks/${spec.version}.nii.gz`, name: "mask.nii.gz" },
    ])
    this.labels = Uint8Array.from(this.nv.volumes[1].img)
    this.nv.volumes[1].setColormapLabel(this.viewer.labelColours())
    this.nv.updateGLVolume()
    this.nv.onLocationChange = () => this.lead()
    this.follow()
  }

  /** Show what the first one shows. */
  follow() {
    const { nv } = this
    const first = this.viewer.nv
    if (!nv?.volumes.length || this.leads) return
    const isRadiological = this.viewer.props.convention === "radiological"
    if (nv.opts.isRadiologicalConvention !== isRadiological) {
      nv.setRadiologicalConvention(isRadiological)
    }
    if (nv.opts.sliceType !== first.opts.sliceType) nv.setSliceType(first.opts.sliceType)
    nv.setOpacity(1, this.viewer.opacity.value / 100)
    nv.scene.crosshairPos = nv.mm2frac(first.frac2mm(first.scene.crosshairPos))
    nv.scene.pan2Dxyzmm = [...first.scene.pan2Dxyzmm]
    nv.scene.renderAzimuth = first.scene.renderAzimuth
    nv.scene.renderElevation = first.scene.renderElevation
    nv.setCrosshairWidth(first.opts.crosshairWidth)
    nv.drawScene()
    const voxel = Array.from(nv.frac2vox(nv.scene.crosshairPos), Math.round)
    this.stage.dataset.voxel = voxel.join(",")
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
    this.nv?.cleanup()
    this.nv?.gl?.getExtension("WEBGL_lose_context")?.loseContext()
    this.stage.remove()
  }
}
