// What is drawn on a case and not saved: its draft in this browser and on the server, and its way
// to a saved version. No page and no canvas: what it needs of the browser is given to it.
//
// A request is about the case, the base and the voxels that were there when it was asked for,
// whatever is open when it is sent or answered. Requests of one case go one after the other.

import { DRAFT_KEY, draftsIn } from "./drafts.js"
import { pack, packRuns, same, toRuns, unpack } from "./labels.js"

const KEEP_MS = 600
const RETRY_MS = 3000
const LONGEST_RETRY_MS = 60000
const DRAFT_TIMEOUT_MS = 30000
const SAVE_TIMEOUT_MS = 180000 // a head over a slow line
const LARGEST_LAST_BYTES = 60000 // browsers give a page that is closed 64 KiB for all it sends
const MINE_KEY = "hippoview-drawing-" // of this tab, so that a reload finds its own again
export const RUNS_TYPE = "application/x-hippoview-runs"
export const NO_ANSWER = { code: "no_answer", message: "The server does not answer",
  hint: "The drawing is kept. Try again." }
const NOT_HERE = "This browser's own storage is full or blocked"

/** The sheets of all cases that this page drew on; one for the page, whatever it shows. */
export class Desk {
  /**
   * `world`: { fetch(url, options), store, session (see store.js), tabs (see tabs.js), setTimeout,
   * clearTimeout, now() -> ISO 8601, name() -> a new drawing's }.
   */
  constructor(world) {
    this.world = world
    this.sheets = new Map()
    this.chains = new Map()
    this.watchers = new Set() // functions (sheet, event)
  }

  /** The sheet of a case: what is drawn and on its way goes on, over the labels that were loaded. */
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

  /** One request of a case after the other. */
  next(id, work) {
    const done = (this.chains.get(id) ?? Promise.resolve()).then(work)
    const ended = done.catch(() => {})
    this.chains.set(id, ended)
    ended.then(() => { if (this.chains.get(id) === ended) this.chains.delete(id) })
    return done
  }

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

export class Sheet {
  /** `of`: { id, files, grid }, the case. `labels`: see labels.js. */
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
    this.retryMs = RETRY_MS
    this.followers = new Map() // a version, and the one that this sheet saved on it
    this.start({ newest, version })
  }

  /** From the labels that are shown on, nothing is drawn. */
  start({ newest, version }) {
    this.base = newest
    this.shown = version
    this.saved = this.values.slice()
    this.kept = this.revision
    this.cancel()
  }

  /** The case is loaded again while something of it is not done: it goes on there. */
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
    const { url, method } = this.draftRequest(isDrawn)
    const packed = isDrawn ? pack(this.values.slice()) : null
    try {
      const answer = await this.world.fetch(url, {
        method, body: await packed, signal: timeout(DRAFT_TIMEOUT_MS),
        headers: isDrawn ? { "Content-Type": "application/gzip" } : {},
      })
      if (!answer.ok) throw await refusal(answer)
    } catch (error) {
      const { message } = error.hint === undefined ? NO_ANSWER : error
      this.tell(this.isHere ? `${message}. The draft is kept in this browser; it is tried again`
        : `${message}, and ${NOT_HERE.replace("This", "this")}: what is drawn is kept nowhere. `
          + "Leave this page open; it is tried again")
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
      : `Draft kept. ${NOT_HERE}: only the server has it`)
  }

  draftRequest(isDrawn) {
    const { of, base, drawing, replaces } = this
    const named = { case: of.id, drawing, ...(replaces && { replaces }) }
    const asked = new URLSearchParams(isDrawn ? { ...named, grid: of.grid, base } : named)
    return { url: `${of.files}/draft?${asked}`, method: isDrawn ? "PUT" : "DELETE" }
  }

  /** The server has dropped the draft that this drawing began with. */
  replaced(drawing) {
    if (!drawing) return
    this.world.store.remove(`${DRAFT_KEY}${this.of.id}.${drawing}`)
    if (this.replaces === drawing) this.replaces = ""
  }

  /** Send what the server has not got while the page is closed. */
  leave() {
    if (this.isKept) return
    this.keepHere()
    const { isDrawn } = this
    const body = isDrawn ? packRuns(toRuns(this.values)) : null
    if (body?.length > LARGEST_LAST_BYTES) return
    const { url, method } = this.draftRequest(isDrawn)
    this.world.fetch(url, { method, body, keepalive: true,
      headers: isDrawn ? { "Content-Type": RUNS_TYPE } : {} }).catch(() => {})
  }

  /** Go on with what was drawn last time and not saved; when it began, or null. */
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

  async lookFor(mine) {
    const here = draftsIn(this.world.store, this.of)
    const own = here.find(({ drawing }) => drawing === mine)
    if (own || (!mine && here.length)) return own ?? here[0]
    const asked = new URLSearchParams({ drawing: mine })
    const answer = await this.world.fetch(`${this.of.files}/draft?${asked}`, { cache: "no-store" })
    if (answer.status !== 200) {
      if (answer.status !== 204) throw await refusal(answer)
      return here[0] ?? null
    }
    const drawing = answer.headers.get("X-Drawing") ?? ""
    if (here.length && drawing !== mine) return here[0]
    return {
      base: Number(answer.headers.get("X-Base")), at: answer.headers.get("X-At"), drawing,
      labels: await unpack(new Uint8Array(await answer.arrayBuffer())),
    }
  }

  // Saving

  /**
   * Save what is drawn now as a version. What is drawn from now on is not part of it and stays.
   * Gives { version } or { error }; the drawing is kept in both cases.
   */
  save(author, comment) {
    this.cancel()
    const job = { values: this.values.slice(), revision: this.revision, base: this.base,
      author, comment }
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

  async sendSave(job) {
    // A save that waited for another of this sheet goes on top of it.
    while (this.followers.has(job.base)) job.base = this.followers.get(job.base)
    const { of, drawing, replaces } = this
    job.replaces = replaces
    let answer
    let told
    try {
      const form = new FormData()
      form.append("labels", new Blob([await pack(job.values)]), "labels.gz")
      const fields = { case: of.id, grid: of.grid, base: job.base, author: job.author,
        comment: job.comment, drawing, replaces }
      for (const [name, value] of Object.entries(fields)) form.append(name, value)
      answer = await this.world.fetch(`${of.files}/masks`,
        { method: "POST", body: form, signal: timeout(SAVE_TIMEOUT_MS) })
      told = await answer.json()
    } catch {
      this.isUncertain = true // it may have arrived, and the answer been lost
      return { error: NO_ANSWER }
    }
    if (answer.ok) return { version: told.version }
    const { error } = told
    if (error?.code !== "newer_version") return { error: error ?? NO_ANSWER }
    const newest = Number(/version (\d+)/.exec(error.message)[1])
    if (this.isUncertain && await this.isThere(newest, job.values)) return { version: newest }
    return { error, newest }
  }

  /** Whether a version holds these labels: then the save whose answer was lost had arrived. */
  async isThere(version, values) {
    try {
      const answer = await this.world.fetch(`${this.of.files}/masks/${version}.nii.gz`)
      if (!answer.ok) return false
      const file = await unpack(new Uint8Array(await answer.arrayBuffer()))
      return same(file.slice(-values.length), values)
    } catch {
      return false
    }
  }

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

  /** After a conflict that the person has seen: the next save goes after that version. */
  rebase(version) {
    this.base = version
  }

  next(work) {
    this.pending++
    return this.desk.next(this.of.id, work).finally(() => {
      this.pending--
      this.desk.tell(this, {})
    })
  }

  tell(words) {
    this.words = words
    this.desk.tell(this, { words })
  }
}

async function refusal(answer) {
  const told = await answer.json().catch(() => ({}))
  return told.error ?? NO_ANSWER
}

function timeout(ms) {
  return AbortSignal.timeout?.(ms)
}
