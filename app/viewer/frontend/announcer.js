// Tells the page of a new version, again and again until it shows that it heard: a trigger may be lost
// on its way. No canvas.

const ANNOUNCE_MS = 4000
const ANNOUNCEMENTS = 5

export class Announcer {
  /**
   * @param {object} page
   * @param {(version: { case: string, version: number, time: number }) => void} page.tell
   * @param {() => { case: string, newest: number } | null} page.asked what the page shows now
   */
  constructor({ tell, asked }) {
    this.tell = tell
    this.asked = asked
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined
    this.isClosed = false
  }

  /**
   * @param {string} id the case
   * @param {number} version 0 to have the page look again, without waiting for an answer
   */
  announce(id, version, time = 1) {
    clearTimeout(this.timer)
    if (this.isClosed) return
    this.tell({ case: id, version, time })
    if (time === ANNOUNCEMENTS) return
    this.timer = setTimeout(() => {
      const shown = this.asked()
      if (shown?.case === id && shown.newest < version) this.announce(id, version, time + 1)
    }, ANNOUNCE_MS)
  }

  close() {
    clearTimeout(this.timer)
    this.isClosed = true
  }
}
