// The form in which a drawing is signed and saved as a version.

import { element, sentences } from "./common.js"
import { storeOf } from "./store.js"

/** @typedef {import("./sheet.js").Sheet} Sheet */

const AUTHOR_KEY = "hippoview-author"
const MOST_NAME_CHARS = 120
const MOST_COMMENT_CHARS = 1000

export class SaveForm {
  /** @param {() => void} onClose */
  constructor(onClose) {
    this.onClose = onClose
    this.isOpen = false
    /** @type {Sheet | null} that the form was opened for */
    this.sheet = null
    this.store = storeOf("localStorage")
    this.author = element("input", { type: "text", required: true, maxLength: MOST_NAME_CHARS,
      autocomplete: "name" })
    this.comment = element("input", { type: "text", maxLength: MOST_COMMENT_CHARS })
    this.problem = element("p", { className: "problem", role: "alert", hidden: true })
    this.sum = element("p", {})
    this.confirm = element("button", { type: "submit", textContent: "Save" })
    const cancel = element("button", { type: "button", textContent: "Cancel",
      title: "Go on drawing (Esc)" })
    cancel.onclick = () => this.close()
    this.panel = element("form", { className: "panel", hidden: true },
      element("strong", { textContent: "Save as a new version" }), this.sum,
      element("label", {}, "Your name", this.author),
      element("label", {}, "Comment", this.comment),
      this.problem, element("span", { className: "ends" }, cancel, this.confirm))
    this.panel.onsubmit = (event) => {
      event.preventDefault()
      this.send()
    }
    this.panel.onkeydown = (event) => {
      event.stopPropagation()
      if (event.key === "Escape") this.close()
    }
  }

  /**
   * @param {Sheet} sheet what is drawn
   * @param {string} author whose name is offered
   * @param {boolean} isSignedIn whether it is that of an account, and stands
   * @param {string} volumes what is said of them
   */
  ask(sheet, author, isSignedIn, volumes) {
    if (sheet !== this.sheet) {
      this.sheet = sheet
      this.comment.value = ""
    }
    this.author.value = author || this.author.value || this.store.get(AUTHOR_KEY) || ""
    this.author.readOnly = isSignedIn
    this.author.title = isSignedIn ? "The name that you are signed in with" : ""
    this.sum.textContent = `${volumes}. Nothing that was saved before is changed.`
    this.problem.hidden = true
    this.confirm.textContent = "Save"
    this.confirm.disabled = sheet.isSaving
    this.isOpen = true
    this.panel.hidden = false
    const first = this.author.value ? this.comment : this.author
    first.focus()
  }

  close() {
    if (!this.isOpen) return
    this.isOpen = false
    this.panel.hidden = true
    this.onClose()
  }

  /** Save what is drawn now on the case that the form was opened for. */
  send() {
    const { sheet } = this
    if (!this.isOpen || !sheet || sheet.isSaving) return
    this.confirm.disabled = true
    sheet.save(this.author.value, this.comment.value)
  }

  /**
   * @param {Sheet} sheet
   * @param {import("./types.js").Outcome} outcome
   */
  answered(sheet, { version, error, newest }) {
    if (sheet !== this.sheet) return
    this.confirm.disabled = sheet.isSaving
    if (version) {
      if (!this.author.readOnly) this.store.set(AUTHOR_KEY, this.author.value)
      this.comment.value = ""
      this.close()
    } else if (error) {
      this.problem.textContent = sentences(error)
      this.problem.hidden = false
      if (!newest || !this.isOpen) return
      this.confirm.textContent = "Save mine after it"
      sheet.rebase(newest) // now it is known
    }
  }
}
