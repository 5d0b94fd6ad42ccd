// Which page of the browser a drawing's name belongs to. "Duplicate tab" copies sessionStorage, and
// with it the name: without this, two tabs would keep what they draw each over the other's.

const PREFIX = "hippoview-drawing-"
const PATIENCE_MS = 300 // for the page before a reload to let go, and for others to answer

export class Tabs {
  /**
   * `locks`: the browser's LockManager; plain http beyond this machine has none, then `channel`, a
   * BroadcastChannel, is asked. With neither no page knows of another.
   */
  constructor({ locks, channel, setTimeout }) {
    this.locks = locks
    this.channel = channel
    this.setTimeout = setTimeout
    this.names = new Map() // taken by this page, or being taken: a promise of whether it has it
    this.waiting = new Map() // by name, what is called when another page answers that it has it
    channel?.addEventListener("message", ({ data }) => {
      if (data.asked !== undefined && this.names.has(data.asked)) channel.postMessage({ has: data.asked })
      if (data.has !== undefined) this.waiting.get(data.has)?.()
    })
  }

  /** Take a name for as long as this page lives. Gives false while another page has it. */
  take(name) {
    if (!this.names.has(name)) {
      const taken = this.locks ? this.lock(name) : this.ask(name)
      this.names.set(name, taken)
      taken.then((isTaken) => { if (!isTaken) this.names.delete(name) })
    }
    return this.names.get(name)
  }

  /** Whether another page has a name, without taking it. */
  async isTaken(name) {
    if (this.names.has(name)) return false
    if (!this.locks) return !(await this.ask(name))
    const { held } = await this.locks.query().catch(() => ({ held: [] }))
    return held.some((lock) => lock.name === PREFIX + name)
  }

  lock(name) {
    const patience = new AbortController()
    this.setTimeout(() => patience.abort(), PATIENCE_MS)
    return new Promise((done) => {
      this.locks.request(PREFIX + name, { signal: patience.signal }, () => {
        done(true)
        return new Promise(() => {}) // held until the page is gone
      }).catch((error) => done(error.name !== "AbortError")) // a browser that refuses all locks
    })
  }

  ask(name) {
    if (!this.channel) return Promise.resolve(true)
    return new Promise((done) => {
      const answer = (isFree) => {
        this.waiting.delete(name)
        done(isFree)
      }
      this.waiting.set(name, () => answer(false))
      this.setTimeout(() => answer(true), PATIENCE_MS)
      this.channel.postMessage({ asked: name })
    })
  }
}
