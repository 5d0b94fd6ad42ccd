// The elements of drawing: what stands below the picture while a mask is corrected. They know nothing;
// what is done with them is given as actions.

import { button, capital, choices, element, swatch } from "./common.js"

/** @typedef {ReturnType<typeof makeBar>} Bar */
/**
 * @typedef {object} Actions
 * @property {() => void} correct
 * @property {(tool: string) => void} take
 * @property {(mm: number) => void} size
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {(step: number) => void} copy
 * @property {() => void} cleanUp
 * @property {() => void} save
 * @property {() => void} discard
 */

export const TOOLS = ["Look", "Pen", "Eraser", "Fill", "Smart pen", "Border"]
export const SIZES_MM = [1, 2, 3, 4, 6, 8, 12]
export const FIRST_SIZE_MM = 3

/** @param {Actions} actions */
export function makeBar(actions) {
  const toggle = button("Correct", "Draw on the mask (E)", actions.correct)
  toggle.ariaPressed = "false"
  const tools = choices("Tool", TOOLS, TOOLS[0], actions.take)
  const targets = element("span", { className: "targets" })
  const sizes = element("select", { ariaLabel: "Pen" }, ...SIZES_MM.map((mm) =>
    element("option", { value: mm, textContent: `${mm} mm`, selected: mm === FIRST_SIZE_MM })))
  sizes.onchange = () => actions.size(Number(sizes.value))
  const buttons = {
    undo: button("Undo", "Undo (Ctrl Z)", actions.undo),
    redo: button("Redo", "Redo (Ctrl Y)", actions.redo),
    before: button("Slice before", "Copy the labels of the slice before (,)", () => actions.copy(-1)),
    after: button("Slice after", "Copy the labels of the slice after (.)", () => actions.copy(1)),
    clean: button("Clean up", "Drop fragments, fill holes (K)", actions.cleanUp),
    save: button("Save version", "Save as a new version (Ctrl S)", actions.save),
    discard: button("Discard", "Back to the saved version; Undo brings it back", actions.discard),
  }
  const volumes = element("output", { className: "volumes" })
  const state = element("output", { className: "kept" })
  const { undo, redo, before, after, clean, save, discard } = buttons
  const rows = [
    element("div", { className: "row drawn", hidden: true }, tools, targets,
      element("label", {}, "Pen ", sizes)),
    element("div", { className: "row drawn", hidden: true },
      undo, redo, before, after, clean, element("span", { className: "ends" }, discard, save)),
    element("div", { className: "row", hidden: true }, volumes,
      element("span", { className: "ends" }, state)),
  ]
  const note = element("p", { className: "note", role: "alert", hidden: true })
  return { toggle, tools, targets, sizes, buttons, volumes, state, rows, note }
}

/**
 * The label that is drawn, as a choice.
 * @param {import("./types.js").Label[]} labels
 * @param {(value: number) => void} onChange
 */
export function labelChoices(labels, onChange) {
  const names = labels.map(({ name }) => capital(name))
  const group = choices("Label to draw", names, names[0], (name) =>
    onChange(labels[names.indexOf(name)].value))
  group.querySelectorAll("span").forEach((span, i) => span.prepend(swatch(labels[i].rgb), " "))
  return group
}
