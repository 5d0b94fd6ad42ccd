// The browser's own storage, which may be full or blocked: then `set` says so, and nothing throws.

/**
 * @param {"localStorage" | "sessionStorage"} name
 * @returns {import("./types.js").Store}
 */
export function storeOf(name) {
  /**
   * @template T
   * @param {(storage: Storage) => T} act
   * @param {T} otherwise
   */
  const attempt = (act, otherwise) => {
    try {
      return act(globalThis[name]) // a browser that blocks it throws here already
    } catch {
      return otherwise
    }
  }
  return {
    get: (key) => attempt((storage) => storage.getItem(key), null),
    /** True if it is kept. */
    set: (key, value) => attempt((storage) => {
      storage.setItem(key, value)
      return true
    }, false),
    remove: (key) => attempt((storage) => storage.removeItem(key), undefined),
    keys: () => attempt((storage) =>
      Array.from({ length: storage.length }, (_, i) => storage.key(i)), []),
  }
}
