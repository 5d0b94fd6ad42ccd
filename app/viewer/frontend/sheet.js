// What is drawn on a case and not saved: its draft in this browser and on the server, and its way
// to a saved version. No page and no canvas: what it needs of the browser is given to it.
//
// A request is about the case, the base and the voxels that were there when it was asked for,
// whatever is open when it is sent or answered. Requests of one case go one after the other.

import { DRAFT_KEY, draftsIn } from "./drafts.js"
import { same, toRuns } from "./packing.js"
import { draftOf, isMaskOf, keepDraft, keepDraftAtOnce, saveMask } from "./requests.js"

/** @typedef {import("./types.js").Bytes} Bytes */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./types.js").Outcome} Outcome */
/**
 * @typedef {object} Job a save, as it was asked for
 * @property {Bytes} values
 * @property {number} revision
 * @property {number} base
 * @property {string} author
 * @property {string} comment
 * @property {string} replaces
 */

const KEEP_MS = 600
const RETRY_MS = 3000
const LONGEST_RETRY_MS = 60000
const MINE_KEY = "hippoview-drawing-" // of this tab, so that a reload finds its own again

export class Sheet {
  /**
   * @param {import("./desk.js").Desk} desk
   * @param {import("./types.js").OfCase} of
   * @param {import("./labels.js").Labels} labels
   * @param {{ newest: number, version: number }} versions
   */
  constructor(desk, of, labels, { newest, version }) {
    this.desk = desk
    this.world = desk.world
    this.of = { ...of }
    this.labels = labels
    this.drawing = this.world.name()
    this.replaces = "" // the draft that this drawing began with
    this.revision = 0 // how often it was changed
    this.kept = 0 // the revision that needs keeping no more
    this.pending = 0
    this.saves = 0
    this.isHere = true // this browser has what the server has not
    this.isUncertain = false // whether a save whose answer was lost had arrived
    this.retryMs = RETRY_MS
    /** @type {Map<number, number>} a version, and the one that this sheet saved on it */
    this.followers = new Map()
    /** @type {unknown} */
    this.timer = null
    /** @type {Promise<void> | null} */
    this.waiting = null
    this.words = ""
    this.base = newest
    this.shown = version
    this.saved = this.values.slice()
  }

  /**
   * From the labels that are shown on, nothing is drawn.
   * @param {{ newest: number, version: number }} versions
   */
  start({ newest, version }) {
    this.base = newest
    this.shown = version
    this.saved = this.values.slice()
    this.kept = this.revision
    this.cancel()
  }

  /**
   * The case is loaded again while something of it is not done: it goes on there.
   * @param {import("./types.js").OfCase} of
   * @param {import("./labels.js").Labels} labels
   */
  move(of, labels) {
    labels.takeOver(this.labels)
    this.labels = labels
    this.of = { ...of }
  }

  get values() {
    return this.labels.values
  }

  get isDrawn() {
    return !same(this.values, this.saved)
  }

  get isKept() {
    return this.kept === this.revision
  }

  get isSaving() {
    return this.saves > 0
  }

  /** Nothing is lost if it is forgotten. */
  get isSettled() {
    return this.isKept && !this.pending
  }

  // The draft

  /** After a change: in this browser at once and without waiting, on the server soon. */
  changed() {
    this.revision++
    this.desk.sheets.set(this.of.id, this)
    this.keepHere()
    this.tell("Keeping a draft")
    this.keepIn(KEEP_MS)
  }

  keepHere() {
    const { base, replaces, of: { grid } } = this
    const draft = { base, replaces, grid, at: this.world.now(), runs: toRuns(this.values) }
    this.isHere = this.world.store.set(this.key, JSON.stringify(draft))
    this.world.session.set(MINE_KEY + this.of.id, this.drawing)
    this.world.tabs.take(this.drawing)
  }

  get key() {
    return DRAFT_KEY + this.of.id + (this.drawing && `.${this.drawing}`)
  }

  /** @param {number} ms */
  keepIn(ms) {
    this.cancel()
    this.timer = this.world.setTimeout(() => this.keep(), ms)
  }

  cancel() {
    this.world.clearTimeout(this.timer)
    this.timer = null
  }

  flush() {
    if (!this.isKept) this.keep()
  }

  /** Keep on the server what is drawn when its turn comes. */
  keep() {
    this.cancel()
    this.waiting ??= this.next(() => {
      this.waiting = null
      return this.sendDraft()
    })
    return this.waiting
  }

  async sendDraft() {
    if (this.isKept) return
    const { revision, isDrawn, replaces, key } = this
    const refused = await keepDraft(this.world.fetch, this.named, isDrawn ? this.values.slice() : null)
    if (refused) {
      this.tell(this.isHere
        ? `${refused.message}. The draft is kept in this browser; it is tried again`
        : `${refused.message}, and this browser's own storage is full or blocked: what is drawn is `
          + "kept nowhere. Leave this page open; it is tried again")
      this.retryMs = Math.min(2 * this.retryMs, LONGEST_RETRY_MS)
      if (!this.timer) this.keepIn(this.retryMs / 2)
      return
    }
    this.retryMs = RETRY_MS
    this.replaced(replaces)
    this.kept = Math.max(this.kept, revision)
    if (!this.isKept) return // drawn on meanwhile: that is kept next
    this.world.store.remove(key)
    this.tell(!isDrawn ? "" : this.isHere ? "Draft kept"
      : "Draft kept. This browser's own storage is full or blocked: only the server has it")
  }

  /** What a request names, as it is now. */
  get named() {
    const { of, base, drawing, replaces } = this
    return { of, base, drawing, replaces }
  }

  /**
   * The server has dropped the draft that this drawing began with.
   * @param {string} drawing
   */
  replaced(drawing) {
    if (!drawing) return
    this.world.store.remove(`${DRAFT_KEY}${this.of.id}.${drawing}`)
    if (this.replaces === drawing) this.replaces = ""
  }

  /** Send what the server has not got while the page is closed. */
  leave() {
    if (this.isKept) return
    this.keepHere()
    keepDraftAtOnce(this.world.fetch, this.named, this.isDrawn ? this.values : null)
  }

  /**
   * Go on with what was drawn last time and not saved; when it began, or null.
   * @returns {Promise<{ at: string | null } | null>}
   */
  async restore() {
    if (!this.isSettled || this.revision) return this.isDrawn ? { at: null } : null
    let draft
    try {
      draft = await this.find()
    } catch {
      this.tell("The server could not be asked for a draft of this case")
      return null
    }
    // Whoever drew in the meantime has a drawing of their own; the draft stays where it is.
    if (!draft || draft.labels.length !== this.values.length || this.revision) return null
    const { isFree } = draft
    if (draft.isMine) Object.assign(this, { drawing: draft.drawing, replaces: draft.replaces ?? "" })
    else if (isFree) this.replaces = draft.drawing
    if (same(draft.labels, this.values)) { // saved, or taken back, and the server not told
      if (isFree) {
        this.revision++
        this.keep()
      }
      return null
    }
    this.base = draft.base
    this.labels.replace(draft.labels)
    if (draft.isLocal && isFree) {
      this.revision++
      this.keep()
    }
    return draft
  }

  /**
   * The draft to go on with. A tab goes on with its own. With that of a page that is gone it begins
   * a drawing that takes that one's place at its first change; with a copy of what another page is
   * still at work on, which a duplicated tab has the name of as well, one beside it.
   */
  async find() {
    const mine = this.world.session.get(MINE_KEY + this.of.id) ?? ""
    const draft = await this.lookFor(mine)
    if (!draft) return null
    const { world: { tabs } } = this
    const isNamedMine = draft.drawing === mine
    const isFree = !draft.drawing || await (isNamedMine ? tabs.take(mine)
      : tabs.isTaken(draft.drawing).then((isTaken) => !isTaken))
    return { ...draft, isFree, isMine: isNamedMine && isFree }
  }

  /**
   * @param {string} mine this tab's drawing
   * @returns {Promise<Draft | null>}
   */
  async lookFor(mine) {
    const here = draftsIn(this.world.store, this.of)
    const own = here.find(({ drawing }) => drawing === mine)
    if (own || (!mine && here.length)) return own ?? here[0]
    const draft = await draftOf(this.world.fetch, this.of.files, mine)
    return draft && (!here.length || draft.drawing === mine) ? draft : here[0] ?? null
  }

  // Saving

  /**
   * Save what is drawn now as a version. What is drawn from now on is not part of it and stays.
   * Gives { version } or { error }; the drawing is kept in both cases.
   * @param {string} author
   * @param {string} comment
   */
  save(author, comment) {
    this.cancel()
    const job = { values: this.values.slice(), revision: this.revision, base: this.base,
      author, comment, replaces: "" }
    this.saves++
    this.tell("Saving")
    return this.next(async () => {
      const outcome = await this.sendSave(job)
      this.saves--
      if (outcome.version) this.accept(job, outcome.version)
      else this.keepIn(0)
      this.desk.tell(this, outcome)
      return outcome
    })
  }

  /**
   * @param {Job} job
   * @returns {Promise<Outcome>}
   */
  async sendSave(job) {
    // A save that waited for another of this sheet goes on top of it.
    job.base = this.newestOn(job.base)
    job.replaces = this.replaces
    const { fetch } = this.world
    const { version, error, isUncertain } = await saveMask(fetch, { ...this.named, base: job.base }, job)
    if (!error) return { version }
    if (isUncertain) this.isUncertain = true
    const { newest } = error
    if (newest === undefined) return { error }
    if (this.isUncertain && await isMaskOf(fetch, this.of.files, newest, job.values)) {
      return { version: newest } // the save whose answer was lost had arrived
    }
    return { error, newest }
  }

  /** @param {number} version */
  newestOn(version) {
    let newest = version
    for (let next = this.followers.get(newest); next !== undefined; next = this.followers.get(next)) {
      newest = next
    }
    return newest
  }

  /**
   * @param {Job} job
   * @param {number} version
   */
  accept(job, version) {
    this.followers.set(job.base, version)
    this.isUncertain = false
    this.base = this.shown = version
    this.saved = job.values
    this.replaced(job.replaces)
    if (this.revision === job.revision) {
      this.cancel()
      this.kept = this.revision
      this.isHere = true
      this.world.store.remove(this.key)
      this.tell(`Saved as version ${version}`)
    } else { // the server has dropped the draft: what was drawn since is kept anew
      this.kept = Math.min(this.kept, job.revision)
      this.keepHere()
      this.tell(`Saved as version ${version}. What you drew since is not part of it`)
      this.keepIn(0)
    }
  }

  /**
   * After a conflict that the person has seen: the next save goes after that version.
   * @param {number} version
   */
  rebase(version) {
    this.base = version
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  next(work) {
    this.pending++
    return this.desk.next(this.of.id, work).finally(() => {
      this.pending--
      this.desk.tell(this, {})
    })
  }

  /** @param {string} words */
  tell(words) {
    this.words = words
    this.desk.tell(this, { words })
  }
}
