// What was drawn on all cases that this page showed, and what of it is on its way.

import { Sheet } from "./sheet.js"

/** @typedef {import("./labels.js").Labels} Labels */
/** @typedef {import("./types.js").OfCase} OfCase */
/** @typedef {import("./types.js").SheetEvent} SheetEvent */

/** The sheets of all cases that this page drew on; one for the page, whatever it shows. */
export class Desk {
  /** @param {import("./types.js").World} world */
  constructor(world) {
    this.world = world
    /** @type {Map<string, Sheet>} */
    this.sheets = new Map()
    /** @type {Map<string, Promise<unknown>>} */
    this.chains = new Map()
    /** @type {Set<(sheet: Sheet, event: SheetEvent) => void>} */
    this.watchers = new Set()
  }

  /**
   * The sheet of a case: what is drawn and on its way goes on, over the labels that were loaded.
   * @param {OfCase} of
   * @param {Labels} labels
   * @param {{ newest: number, version: number }} versions
   */
  open(of, labels, { newest, version }) {
    const before = this.sheets.get(of.id)
    if (before && !before.isSettled && before.values.length === labels.values.length) {
      before.move(of, labels)
      return before
    }
    for (const [id, other] of this.sheets) if (other.isSettled) this.sheets.delete(id)
    const sheet = new Sheet(this, of, labels, { newest, version })
    this.sheets.set(of.id, sheet)
    return sheet
  }

  /**
   * One request of a case after the other.
   * @template T
   * @param {string} id
   * @param {() => Promise<T> | T} work
   * @returns {Promise<T>}
   */
  next(id, work) {
    const done = (this.chains.get(id) ?? Promise.resolve()).then(work)
    const ended = done.catch(() => {})
    this.chains.set(id, ended)
    ended.then(() => { if (this.chains.get(id) === ended) this.chains.delete(id) })
    return done
  }

  /**
   * @param {Sheet} sheet
   * @param {SheetEvent} event
   */
  tell(sheet, event) {
    for (const watcher of this.watchers) watcher(sheet, event)
  }

  /** What waits to be kept is kept now. */
  flush() {
    for (const sheet of this.sheets.values()) sheet.flush()
  }

  /** The page is closed: there is no time to compress, and none to wait. */
  leave() {
    for (const sheet of this.sheets.values()) sheet.leave()
  }

  /** Whether something is drawn that neither the server nor this browser keeps. */
  get isAtRisk() {
    return [...this.sheets.values()].some((sheet) => !sheet.isKept && !sheet.isHere)
  }
}
