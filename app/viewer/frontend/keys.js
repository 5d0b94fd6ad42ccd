// The keys: what each asks for, by name. No page, no canvas.

/** @typedef {{ key: string, ctrlKey?: boolean, metaKey?: boolean, shiftKey?: boolean }} Key */

export const KEYS = [
  ["↑ ↓ or ← →", "next and previous slice"],
  ["Page Up, Page Down", "five slices"],
  ["A C S", "axial, coronal, sagittal"],
  ["N", "next finding"],
  ["D", "where two masks differ"],
  ["1 2", "show or hide a label"],
  ["V", "next view"],
  ["O", "labels as outline or filled"],
  ["M", "ruler"],
  ["+ −", "zoom"],
  ["H", "close up of what is labelled"],
  ["R", "reset view and window: the whole scan"],
  ["P", "play the slices"],
  ["I", "picture as PNG"],
  ["F", "full screen"],
  ["?", "this list"],
]
export const DRAWING_KEYS = [
  ["E", "correct the mask, or stop"],
  ["L B X G W", "look, pen, eraser, fill, smart pen"],
  ["T", "border: drag its line, or move it by Shift and an arrow"],
  ["Q", "draw the other label"],
  ["[ ]", "smaller, larger pen"],
  ["Ctrl Z, Ctrl Y", "undo, redo"],
  [", .", "make the slice as the one before, after"],
  ["K", "clean up"],
  ["Ctrl S", "save as a new version"],
]
export const PAGE = [
  ["Y X J", "of the page: accept, reject, next case"],
]
export const MOUSE = [
  ["Wheel", "next slice of the pane"],
  ["Click or drag", "move the crosshair"],
  ["Right drag", "window: up and down, left and right"],
  ["Shift + drag", "pan"],
]

/** @type {Record<string, string>} */
const LOOKING = {
  ArrowUp: "next", ArrowRight: "next", ArrowDown: "previous", ArrowLeft: "previous",
  PageUp: "far next", PageDown: "far previous",
  a: "axial", c: "coronal", s: "sagittal", 1: "first label", 2: "second label", v: "next view",
  n: "next finding", d: "differences", o: "outline", m: "ruler",
  "+": "zoom in", "=": "zoom in", "-": "zoom out",
  h: "close up", r: "reset", p: "play", i: "picture", f: "full screen", "?": "help",
}
/** @type {Record<string, string>} */
const DRAWING = {
  l: "look", Escape: "look", b: "pen", x: "eraser", g: "fill", w: "smart pen", t: "border", q: "other label",
  "[": "smaller", "]": "larger", k: "clean up", ",": "copy before", ".": "copy after",
}
/** @type {Record<string, string>} */
const WITH_SHIFT = { ArrowUp: "border forward", ArrowRight: "border forward",
  ArrowDown: "border back", ArrowLeft: "border back" }
/** @type {Record<string, string>} */
const WITH_CTRL = { z: "undo", y: "redo", s: "save" }

/**
 * What a key asks of the viewer, or null.
 * @param {string} key
 */
export function lookingCommand(key) {
  return commandIn(LOOKING, key)
}

/**
 * What a key asks of the drawing, or null.
 * @param {Key} event
 * @param {{ isActive: boolean, isDrawn: boolean }} state
 *   whether a tool can be at work; whether something is drawn that is not saved
 */
export function drawingCommand({ key, ctrlKey, metaKey, shiftKey }, { isActive, isDrawn }) {
  if (ctrlKey || metaKey) {
    const command = commandIn(WITH_CTRL, key)
    if (!isActive && !(isDrawn && command === "save")) return null
    return command === "undo" && shiftKey ? "redo" : command
  }
  if (key.toLowerCase() === "e") return "correct"
  if (!isActive) return null
  return (shiftKey ? WITH_SHIFT[key] : null) ?? commandIn(DRAWING, key)
}

/**
 * @param {Record<string, string>} commands
 * @param {string} key
 */
function commandIn(commands, key) {
  return commands[key] ?? commands[key.toLowerCase()] ?? null
}

// Keys of the page's buttons: accept, reject, next case, confirm.
const PAGE_KEYS = new Set(["y", "x", "j", "Enter"])

/**
 * A key that is held down presses such a button once: what is asked is not confirmed by it.
 * @param {KeyboardEvent} event
 */
export function onlyFresh(event) {
  const { key, repeat } = event
  if (!repeat || isTyped(event) || !PAGE_KEYS.has(key.length === 1 ? key.toLowerCase() : key)) return
  event.stopImmediatePropagation()
  event.preventDefault()
}

/**
 * Whether a key goes into a field.
 * @param {KeyboardEvent} event
 */
export function isTyped(event) {
  const target = /** @type {Element | undefined} */ (event.composedPath()[0])
  return Boolean(target?.matches?.("input, textarea, [contenteditable]"))
}
