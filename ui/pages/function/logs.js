// What a function writes, as it writes it: search, choose a replica, pause, save.

import { html, useEffect, useMemo, useRef, useState } from "../../html.js";
import { Tick } from "../../parts/fields.js";
import { Empty, Problem } from "../../parts/load.js";
import { Lines } from "../../parts/lines.js";
import { save } from "../../parts/save.js";
import { go, to, usePlace } from "../../route.js";
import { count, plural } from "../../words.js";
import { follow, KEPT } from "./logs/tail.js";

/** @typedef {import("./logs/tail.js").Line} Line */
/** @typedef {import("./logs/tail.js").Followed} Followed */

/** Lines to begin with; more where some are searched for. */
const TAIL = 200;
const TAIL_SEARCHED = 1000;
/** Lines that come within so long of the first are those it begins with, not new ones. */
const BEGIN_MS = 500;

/** How lines are shown, for as long as the portal is open. */
const shownAs = { times: true, wrap: true, only: true };

export function Tab(/** @type {{id: string, row: import("../../live.js").Row}} */ { id, row }) {
  if (row.replicas === null) {
    return html`<${Empty}>This function runs at an address of the configuration file. What it writes does not come through the gateway.<//>`;
  }
  return html`<${Log} key=${id} id=${id} />`;
}

function Log(/** @type {{id: string}} */ { id }) {
  const search = usePlace().query.get("search") ?? "";
  const [tail, setTail] = useState(search ? TAIL_SEARCHED : TAIL);
  const [paused, setPaused] = useState(false);
  const [instance, setInstance] = useState("");
  const [how, setHow] = useState(shownAs);
  const [atEnd, setAtEnd] = useState(true);
  const control = useRef(/** @type {{toEnd: () => void} | null} */ (null));
  const { lines, waiting, gone, more, followed, again, clear } = useLog(id, tail, paused);

  const instances = useMemo(() => [...new Set(lines.map((line) => line.instance))].filter(Boolean).sort(), [lines]);
  const fitting = useMemo(() => lines.filter((line) => fits(line, instance, how.only ? search : "")), [lines, instance, how.only, search]);
  const several = instances.length > 1 && instance === "";
  const set = (/** @type {Partial<typeof how>} */ change) => setHow({ ...Object.assign(shownAs, change) });
  const seek = (/** @type {string} */ text) => go(to(["function", id, "logs"], { search: text }), { replace: true });

  const row = (/** @type {Line} */ line) => html`<${Row} line=${line} search=${search} times=${how.times} instance=${several} />`;
  const before = (how.times ? TIME_LENGTH : 0) + (several ? Math.max(...instances.map((name) => name.length)) + 1 : 0);
  return html`
    <div class="log">
      <div class="toolbar">
        <div class="choice">
          <input type="search" placeholder="Search" aria-label="Search the lines" autocomplete="off" spellcheck=${false} value=${search}
            onInput=${(/** @type {any} */ event) => seek(event.target.value)} />
          ${(instances.length > 1 || instance) && html`
            <select aria-label="Replica" value=${instance} onChange=${(/** @type {any} */ event) => setInstance(event.target.value)}>
              <option value="">All replicas</option>
              ${[...new Set([...instances, instance])].filter(Boolean).map((name) => html`<option>${name}</option>`)}
            </select>`}
        </div>
        <div class="ticks">
          ${search && html`<${Tick} label="Only lines with it" on=${how.only} set=${(/** @type {boolean} */ only) => set({ only })} />`}
          <${Tick} label="Times" on=${how.times} set=${(/** @type {boolean} */ times) => set({ times })} />
          <${Tick} label="Wrap" on=${how.wrap} set=${(/** @type {boolean} */ wrap) => set({ wrap })} />
        </div>
        <div class="actions">
          <button type="button" class="small" aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? "Resume" : "Pause"}</button>
          <button type="button" class="small" disabled=${lines.length === 0} onClick=${clear}>Clear</button>
          <button type="button" class="small" disabled=${fitting.length === 0} onClick=${() => save(asFile(fitting), `${id}.log`)}>Save</button>
        </div>
      </div>
      <${Standing} followed=${followed} again=${again} />
      <div class="log-box" hidden=${followed.state === "ended" && lines.length === 0}>
        <${Lines} label="Log of ${id}" items=${fitting} row=${row} text=${(/** @type {Line} */ line) => line.text}
          wrap=${how.wrap} columns=${before} moved=${setAtEnd} control=${control} />
        ${fitting.length === 0 && html`<${Nothing} any=${lines.length > 0} search=${search} followed=${followed} />`}
        ${!atEnd && html`<button type="button" class="newest primary small" onClick=${() => control.current?.toEnd()}>Jump to the newest ↓</button>`}
      </div>
      <p class="hint standing">
        <span role="status">
          ${counted(fitting.length, lines.length)}${paused && " · paused"}${waiting > 0 && `, ${plural(waiting, "line")} more by now`}
        </span>
        ${gone && html`<span>The newest ${count(KEPT)} are kept here, older ones are gone.</span>`}
        ${more && html`<button type="button" class="quiet small" onClick=${() => setTail(0)}>Show earlier lines</button>`}
      </p>
    </div>
  `;
}

const ELSEWHERE = "Where they come from can be set as provider.logs_url in the configuration file; else they are where the provider keeps them.";

/** Whether it follows, and what can be done where it does not. */
function Standing(/** @type {{followed: Followed, again: () => void}} */ { followed, again }) {
  const { state, problem, status, wait } = followed;
  if (state === "again") return html`<p class="note" role="status">${problem}. It is asked for again in ${wait} s.</p>`;
  if (state === "asking") return html`<p class="note" role="status">It is asked for again…</p>`;
  if (state !== "ended") return null;
  const words = status === 501 ? `This provider has no logs to read: ${problem}. ${ELSEWHERE}` : problem;
  return html`<${Problem} text=${words} again=${again} />`;
}

function Nothing(/** @type {{any: boolean, search: string, followed: Followed}} */ { any, search, followed }) {
  if (followed.state === "ended") return null;
  if (!any) return html`<${Empty}>Nothing has been written yet. Lines are shown as they come.<//>`;
  if (!search) return html`<${Empty}>This replica has written nothing of late.<//>`;
  return html`
    <${Empty}>
      <p>No line has <b>${search}</b> in it.</p>
      ${CALL_ID.test(search) && html`
        <p>
          The id of a call is in a line only if the function writes it there: it gets it in the header <code>X-Call-Id</code>,
          or in the variable <code>Http_X_Call_Id</code>.
        </p>`}
    <//>`;
}

const CALL_ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;

/** One line, with what is searched for marked in it. */
function Row(/** @type {{line: Line, search: string, times: boolean, instance: boolean}} */ { line, search, times, instance }) {
  if (line.gap) return html`<span class="gap">${line.text}</span>`;
  return html`
    ${times && html`<time datetime=${line.timestamp} title=${line.timestamp}>${clock(line.timestamp)} </time>`}
    ${instance && html`<span class="instance">${line.instance} </span>`}
    <span>${marked(line.text, search)}</span>
  `;
}

function marked(/** @type {string} */ text, /** @type {string} */ search) {
  if (!search) return text;
  const parts = [];
  const [lower, wanted] = [text.toLowerCase(), search.toLowerCase()];
  let from = 0;
  // Where lower case has another length, as of a few letters, places would be wrong: then without marks.
  if (lower.length !== text.length) return text;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), html`<mark>${text.slice(at, at + wanted.length)}</mark>`);
    from = at + wanted.length;
  }
  return [...parts, text.slice(from)];
}

/** The lines of a log, taken in once a frame however many come. */
function useLog(/** @type {string} */ id, /** @type {number} */ tail, /** @type {boolean} */ paused) {
  const [, draw] = useState(0);
  const [turn, setTurn] = useState(0);
  const held = useRef({
    lines: /** @type {Line[]} */ ([]),
    waiting: /** @type {Line[]} */ ([]),
    /** When the first line came, and how many it began with. */
    began: 0,
    first: 0,
    /** Whether it began while it was paused, and whether what waits is therefore shown all the same. */
    beganPaused: false,
    through: false,
    /** Lines that have come while it was paused. */
    missed: 0,
    gone: false,
    paused,
    frame: 0,
    followed: /** @type {Followed} */ ({ state: "following", problem: "", status: 0, wait: 0 }),
  }).current;
  held.paused = paused;

  function take() {
    held.frame = 0;
    if ((!held.paused || held.through) && held.waiting.length > 0) {
      const all = held.lines.concat(held.waiting);
      held.gone ||= all.length > KEPT;
      held.lines = all.slice(-KEPT);
      held.waiting = [];
      held.missed = 0;
      held.through = false;
    }
    draw((n) => n + 1);
  }
  const later = () => void (held.frame ||= requestAnimationFrame(take));

  function came(/** @type {Line[]} */ lines) {
    held.began ||= Date.now();
    if (Date.now() - held.began < BEGIN_MS) {
      held.first += lines.length;
      held.through ||= held.beganPaused;
    }
    held.missed += lines.length;
    held.waiting = held.waiting.concat(lines);
    if (held.waiting.length > KEPT) {
      held.waiting = held.waiting.slice(-KEPT);
      held.gone = true;
    }
    later();
  }

  function clear() {
    Object.assign(held, { lines: [], gone: false });
    draw((n) => n + 1);
  }

  useEffect(() => {
    Object.assign(held, { lines: [], waiting: [], began: 0, first: 0, beganPaused: held.paused, through: false, missed: 0, gone: false });
    const ending = new AbortController();
    const changed = (/** @type {Followed} */ followed) => void (Object.assign(held, { followed }), ending.signal.aborted || later());
    follow(id, tail, { lines: (lines) => ending.signal.aborted || came(lines), changed }, ending.signal);
    return () => {
      ending.abort();
      cancelAnimationFrame(held.frame);
      held.frame = 0;
    };
  }, [id, tail, turn]);
  useEffect(() => later(), [paused]);

  return {
    lines: held.lines,
    waiting: held.paused ? held.missed : 0,
    gone: held.gone,
    more: tail > 0 && held.first >= tail && !held.gone,
    followed: held.followed,
    again: () => setTurn((n) => n + 1),
    clear,
  };
}

function fits(/** @type {Line} */ line, /** @type {string} */ instance, /** @type {string} */ search) {
  if (instance && line.instance !== instance) return false;
  return search === "" || line.text.toLowerCase().includes(search.toLowerCase());
}

function counted(/** @type {number} */ fitting, /** @type {number} */ all) {
  return fitting === all ? plural(all, "line") : `${count(fitting)} of ${plural(all, "line")}`;
}

const TIME_LENGTH = "00:00:00.000 ".length;

/** Time of day with thousandths: lines often come several in a second. */
function clock(/** @type {string} */ timestamp) {
  const date = new Date(timestamp);
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

const asFile = (/** @type {Line[]} */ lines) =>
  new Blob(lines.map(({ timestamp, instance, text }) => `${[timestamp, instance, text].filter(Boolean).join(" ")}\n`), { type: "text/plain" });
