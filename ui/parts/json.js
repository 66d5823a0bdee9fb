// JSON for people: checked, and set out in lines. Numbers stay as they are written: to read them into
// JavaScript and back would round the long ones.

/** What a text is made of: strings, signs, and all else that is not white. */
const PIECES = /"(?:[^"\\]+|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const STEP = "  ";

/** Why a text is no JSON; empty if it is. */
export function jsonProblem(/** @type {string} */ text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}

/** A text that is JSON, set out in lines. */
export function pretty(/** @type {string} */ text) {
  const pieces = text.match(PIECES) ?? [];
  let depth = 0;
  let out = "";
  const line = () => `\n${STEP.repeat(depth)}`;
  pieces.forEach((piece, at) => {
    if (piece === "{" || piece === "[") {
      const empty = pieces[at + 1] === "}" || pieces[at + 1] === "]";
      depth += 1;
      out += piece + (empty ? "" : line());
    } else if (piece === "}" || piece === "]") {
      const empty = pieces[at - 1] === "{" || pieces[at - 1] === "[";
      depth -= 1;
      out += (empty ? "" : line()) + piece;
    } else if (piece === ",") {
      out += piece + line();
    } else {
      out += piece === ":" ? ": " : piece;
    }
  });
  return out;
}
