// Saving something as a file.

/** Long enough for any browser to have begun, after which the memory is given back. */
const KEPT_MS = 60_000;

export function save(/** @type {Blob} */ blob, /** @type {string} */ name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/** What files of a kind end with; nothing where that is not known. */
const ENDINGS = /** @type {[RegExp, string][]} */ ([
  [/ndjson/, ".ndjson"],
  [/json/, ".json"],
  [/^text\/html/, ".html"],
  [/^text\/csv/, ".csv"],
  [/^text\/css/, ".css"],
  [/javascript/, ".js"],
  [/svg/, ".svg"],
  [/xml/, ".xml"],
  [/yaml/, ".yaml"],
  [/^text\//, ".txt"],
  [/^image\/jpeg/, ".jpg"],
  [/^image\/(png|gif|webp|avif)/, ".$1"],
  [/^audio\/mpeg/, ".mp3"],
  [/^video\/(mp4|webm)/, ".$1"],
  [/pdf/, ".pdf"],
  [/zip/, ".zip"],
]);

/** A file's name for a body of this type: `echo.json`. */
export function fileName(/** @type {string} */ name, /** @type {string} */ type) {
  for (const [pattern, ending] of ENDINGS) {
    const found = pattern.exec(type);
    if (found) return name + ending.replace("$1", found[1] ?? "");
  }
  return name;
}
