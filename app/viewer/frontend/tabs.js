// Which page of the browser a drawing's name belongs to. "Duplicate tab" copies sessionStorage, and
// with it the name: without this, two tabs would keep what they draw each over the other's.

const PREFIX = "hippoview-drawing-"
const PATIENCE_MS = 300 // for the page before a reload to let go, and for others to answer

export class Tabs {
  /**
   * With neither locks nor a channel no page knows of another.
   * @param {object} browser
   * @param {Pick<LockManager, "request" | "query">} [browser.locks]
   *   plain http beyond this machine has none; then the channel is asked
   * @param {BroadcastChannel} [browser.channel]
   * @param {(act: () => void, ms: number) => unknown} browser.setTimeout
   */
  constructor({ locks, channel, setTimeout }) {
    this.locks = locks
    this.channel = channel
    this.setTimeout = setTimeout
    /** @type {Map<string, Promise<boolean>>} taken by this page, or being taken: whether it has it */
    this.names = new Map()
    /** @type {Map<string, () => void>} by name, called when another page answers that it has it */
    this.waiting = new Map()
    channel?.addEventListener("message", ({ data }) => {
      if (data.asked !== undefined && this.names.has(data.asked)) channel.postMessage({ has: data.asked })
      if (data.has !== undefined) this.waiting.get(data.has)?.()
    })
  }

  /**
   * Take a name for as long as this page lives. Gives false while another page has it.
   * @param {string} name
   * @returns {Promise<boolean>}
   */
  take(name) {
    const before = this.names.get(name)
    if (before) return before
    const taken = this.locks ? this.lock(name, this.locks) : this.ask(name)
    this.names.set(name, taken)
    taken.then((isTaken) => { if (!isTaken) this.names.delete(name) })
    return taken
  }

  /**
   * Whether another page has a name, without taking it.
   * @param {string} name
   */
  async isTaken(name) {
    if (this.names.has(name)) return false
    if (!this.locks) return !(await this.ask(name))
    const { held } = await this.locks.query().catch(() => ({ held: [] }))
    return Boolean(held?.some((lock) => lock.name === PREFIX + name))
  }

  /**
   * @param {string} name
   * @param {Pick<LockManager, "request">} locks
   * @returns {Promise<boolean>}
   */
  lock(name, locks) {
    const patience = new AbortController()
    this.setTimeout(() => patience.abort(), PATIENCE_MS)
    return new Promise((done) => {
      locks.request(PREFIX + name, { signal: patience.signal }, () => {
        done(true)
        return new Promise(() => {}) // held until the page is gone
      }).catch((error) => done(error.name !== "AbortError")) // a browser that refuses all locks
    })
  }

  /**
   * @param {string} name
   * @returns {Promise<boolean>}
   */
  ask(name) {
    const { channel } = this
    if (!channel) return Promise.resolve(true)
    return new Promise((done) => {
      const answer = (/** @type {boolean} */ isFree) => {
        this.waiting.delete(name)
        done(isFree)
      }
      this.waiting.set(name, () => answer(false))
      this.setTimeout(() => answer(true), PATIENCE_MS)
      channel.postMessage({ asked: name })
    })
  }
}
