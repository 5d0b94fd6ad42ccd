// What ESLint checks in the front end and its tests: see app/viewer/check.py.

import js from "@eslint/js"
import globals from "globals"

export default [
  js.configs.recommended,
  {
    rules: {
      "no-console": ["error", { allow: ["error"] }],
      "no-shadow": "error",
      "no-unused-vars": ["error", { caughtErrors: "none" }],
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
      "max-lines": ["error", 400],
      eqeqeq: "error",
      "require-atomic-updates": "error",
    },
  },
  { files: ["app/**/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["tests/**/*.mjs"], languageOptions: { globals: globals.node } },
]
