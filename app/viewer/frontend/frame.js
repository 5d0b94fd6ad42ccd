// The viewer's elements: what stands around the picture. They know nothing; what is done with them is
// given as actions.

import { OPACITY_PERCENT, button, capital, choices, element, swatch } from "./common.js"
import { DRAWING_KEYS, KEYS, MOUSE, PAGE } from "./keys.js"
import { DIFFERENCES } from "./shown.js"
import { NAMES } from "./view.js"

/** @typedef {ReturnType<typeof makeFrame>} Frame */
/**
 * @typedef {object} Actions
 * @property {(value: number) => void} slide
 * @property {(index: number) => void} pickWindow
 * @property {(name: string) => void} pickView
 * @property {() => void} fade
 * @property {() => void} play
 * @property {() => void} outline
 * @property {() => void} ruler
 * @property {() => void} nextFinding
 * @property {() => void} zoomOut
 * @property {() => void} zoomIn
 * @property {() => void} reset
 * @property {() => void} closeUp
 * @property {() => void} picture
 * @property {() => void} differences
 * @property {() => void} fullScreen
 * @property {(event: KeyboardEvent) => void} key
 */

/**
 * @param {Actions} actions
 * @param {string} view the name of the first one
 * @param {{ bar: import("./bar.js").Bar, head: HTMLElement }} parts what belongs to drawing and to heads
 */
export function makeFrame(actions, view, { bar, head }) {
  const canvas = element("canvas", { role: "img", tabIndex: -1, ariaLabel: "Slices" })
  const slider = element("input", { type: "range", min: 0, step: 1, ariaLabel: "Slice" })
  slider.oninput = () => actions.slide(Number(slider.value))
  const where = element("output", { className: "where" })
  const reading = element("output", { className: "reading" })
  const message = element("div", { className: "message", role: "status" })
  const reduced = element("div", { className: "reduced", hidden: true })
  const windows = element("select", { ariaLabel: "Window" })
  windows.onchange = () => actions.pickWindow(Number(windows.value))
  const help = helpTable()
  const buttons = {
    play: button("Play", "Play the slices (P)", actions.play),
    outline: button("Outline", "Labels as outline or filled (O)", actions.outline),
    ruler: button("Ruler", "Measure in mm: drag (M)", actions.ruler),
    next: button("Next finding", "Largest sections, fragments (N)", actions.nextFinding),
    out: button("−", "Zoom out (−)", actions.zoomOut),
    in: button("+", "Zoom in (+)", actions.zoomIn),
    reset: button("Reset", "The whole scan, and the first window (R)", actions.reset),
    near: button("Close up", "The labels, large, in all planes (H)", actions.closeUp),
    picture: button("Picture", "What is shown, as PNG (I)", actions.picture),
    differ: button("Differences", "Where the two masks differ (D)", actions.differences),
    full: button("Full screen", "Full screen (F)", actions.fullScreen),
    help: button("?", "Keys and mouse (?)", () => { help.hidden = !help.hidden }),
  }
  buttons.out.ariaLabel = "Zoom out"
  buttons.in.ariaLabel = "Zoom in"
  buttons.help.ariaLabel = "Keys and mouse"
  buttons.differ.hidden = true
  for (const each of [buttons.play, buttons.outline, buttons.ruler, buttons.differ]) {
    each.ariaPressed = "false"
  }
  const views = choices("View", NAMES, view, actions.pickView)
  const shows = element("span", { className: "shows" })
  const opacity = element("input", { type: "range", min: 0, max: 100, step: 5,
    value: OPACITY_PERCENT, ariaLabel: "Opacity" })
  opacity.oninput = actions.fade
  const percent = element("output", { className: "percent" })
  const caption = element("div", { className: "caption", hidden: true })
  const legend = element("span", { className: "legend", hidden: true }, ...legendOf())
  const stage = element("div", { className: "stage" }, canvas, message, help)
  const stages = element("div", { className: "stages" }, paneOf(caption, stage))
  const { play, help: keys, ...others } = buttons // the slider leaves room for these two
  const box = element("div", { className: "viewer", tabIndex: 0, role: "group",
    ariaLabel: "Slices. Arrow keys scroll, question mark lists the keys." },
    element("div", { className: "row" },
      views, shows, element("span", { className: "opacity" }, "Opacity ", opacity, percent)),
    stages, reduced, bar.note, head, ...bar.rows,
    element("div", { className: "row" }, slider, where, play, keys),
    element("div", { className: "row" }, windows, bar.toggle, ...Object.values(others)),
    reading)
  box.onkeydown = actions.key
  return {
    box, stages, stage, canvas, caption, legend, message, help, slider, where, reading, reduced,
    windows, views, shows, opacity, percent, buttons,
  }
}

/**
 * A picture below its name: not on it, where the letters of the sides stand.
 * @param {HTMLElement} caption
 * @param {HTMLElement} stage
 */
export function paneOf(caption, stage) {
  return element("div", { className: "pane" }, caption, stage)
}

function helpTable() {
  const rows = [...KEYS, ...DRAWING_KEYS, ...PAGE, ...MOUSE].map(([key, words]) => element("tr", {},
    element("th", { textContent: key }), element("td", { textContent: words })))
  return element("div", { className: "help", hidden: true }, element("table", {}, ...rows))
}

/**
 * What the colours of differences mean.
 * @param {string[]} [names] of those that only the first mask has, and only the other
 */
export function legendOf(names) {
  return DIFFERENCES.flatMap(({ name, rgb }, i) => [swatch(rgb), ` ${names?.[i] ?? name} `])
}

/**
 * The boxes that show or hide a label.
 * @param {import("./types.js").Label[]} labels
 * @param {() => void} onChange
 */
export function labelSwitches(labels, onChange) {
  return labels.map(({ name, rgb }) => {
    const input = element("input", { type: "checkbox", checked: true, value: name })
    input.onchange = onChange
    return element("label", {}, input, capital(name), swatch(rgb))
  })
}

/**
 * The values of the labels whose box is checked.
 * @param {Frame} frame
 * @param {import("./types.js").Label[]} labels
 */
export function visibleLabels({ shows }, labels) {
  const boxes = shows.querySelectorAll("input")
  return new Set(labels.filter((_, i) => boxes[i].checked).map(({ value }) => value))
}
