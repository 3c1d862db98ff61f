"use strict";

// Shows what the server says of the pairs, and asks again every few seconds. Whatever was written
// by a pair is put here as text, never as markup.

const PAUSE = 3000; // milliseconds from an answer to the next question
const PATIENCE = 10000; // milliseconds until there is no answer
const QUIET = 10; // minutes without an event after which it is said
const MOST = 6; // mistakes that are shown
const FEW = 6; // pieces, beside which there is room for a mark and the minutes in one line

const find = (selector) => document.querySelector(selector);
const byPlace = new WeakMap(); // of each element in a list, the key it stands for

let facts = null; // the last that were read
let failures = 0; // since then
let chosen = null; // { track, step }, once somebody has chosen; until then, where most pairs are
let isHidden = new URLSearchParams(location.search).get("hidden") === "1";
let known = null; // who had raised a hand at the last look

// --- how the page changes: by what is different, so that focus and scrolling stay ---

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function writeName(target, name) {
  if (target.textContent === name) return;
  const parts = name.split("_"); // a long one is broken here
  const pieces = parts.flatMap((part, place) => [
    place ? `_${part}` : part,
    document.createElement("wbr"),
  ]);
  target.replaceChildren(...pieces.slice(0, -1));
}

/** Let an element's children stand for these keys, in this order; those that are there stay. */
function arrange(parent, keys, make) {
  const focused = document.activeElement;
  const there = new Map([...parent.children].map((child) => [byPlace.get(child), child]));
  for (const [key, child] of there) if (key !== undefined && !keys.includes(key)) child.remove();
  const fixed = [...parent.children].filter((child) => !byPlace.has(child)).length;
  return keys.map((key, place) => {
    const child = there.get(key) ?? make(key);
    byPlace.set(child, key);
    const here = parent.children[fixed + place] ?? null;
    if (here !== child) parent.insertBefore(child, here);
    if (child.contains(focused)) focused.focus();
    return child;
  });
}

const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

function spell(minutes) {
  if (minutes < 0.5) return "just now";
  return minutes < 90 ? `${Math.round(minutes)} min` : `${Math.round(minutes / 60)} h`;
}

function clock(moment) {
  return new Date(moment).toLocaleTimeString([], { hourCycle: "h23", timeStyle: "medium" });
}

// --- what is looked at ---

function isAt(pair, track, step) {
  return pair.now !== null && pair.now.track === track && pair.now.step === step;
}

function count(track, step) {
  return facts.pairs.filter((pair) => isAt(pair, track, step)).length;
}

/** Find the track and the notebook to show: the chosen ones, else those where most pairs are. */
function shown() {
  const all = facts.tracks.flatMap((track) => track.steps.map((step) => ({ track, step })));
  const isChosen = ({ track, step }) => track.name === chosen?.track && step.step === chosen?.step;
  const most = Math.max(...all.map(({ track, step }) => count(track.name, step.step)));
  return all.find(isChosen) ?? all.find(({ track, step }) => count(track.name, step.step) === most);
}

const titleOf = (step) => `${step.step} ${step.title}`;

function choose(track, step) {
  chosen = { track, step };
  show();
}

// --- the parts of the page ---

function showSummary() {
  const hands = facts.pairs.filter((pair) => pair.hand).length;
  const up = hands ? `, ${plural(hands, "hand")} up` : "";
  write(find("#summary"), `${plural(facts.pairs.length, "pair")}${up}, at ${clock(facts.at)}`);
  document.title = hands ? `(${hands}) Board` : "Board";
  const button = find("#hide");
  button.hidden = facts.hidden && !isHidden; // the server shows them to nobody
  write(button, isHidden ? "Show names" : "Hide names");
}

/** Say in which notebook a pair is. */
function notebookOf(pair) {
  if (pair.now === null) return "not begun";
  const track = facts.tracks.find((each) => each.name === pair.now.track);
  const title = titleOf(track.steps.find((each) => each.step === pair.now.step));
  return facts.tracks.length > 1 ? `in ${track.name}, ${title}` : `in ${title}`;
}

function showHands() {
  const raised = facts.pairs.filter((pair) => pair.hand);
  const labels = raised.map((pair) => pair.label);
  find("#no-hands").hidden = raised.length > 0;
  const items = arrange(find("#hands ol"), labels, () => {
    const item = element("li");
    item.append(element("b"), " ", element("span", "names"), " ", element("span", "waits"));
    item.append(" ", element("span", "small"));
    return item;
  });
  items.forEach((item, at) => {
    const [label, names, waits, where] = item.children;
    write(label, raised[at].label);
    write(names, raised[at].names.join(", "));
    write(waits, spell(raised[at].hand.minutes));
    const { piece } = raised[at].now ?? {};
    write(where, piece ? `at ${piece}` : notebookOf(raised[at]));
  });
  announce(labels);
}

/** Say aloud whose hand went up or down; how long it has been up is not said again and again. */
function announce(labels) {
  if (known !== null) {
    const up = labels.filter((label) => !known.includes(label));
    const down = known.filter((label) => !labels.includes(label));
    const news = [...up.map((label) => `${label} raised a hand.`)];
    news.push(...down.map((label) => `The hand of ${label} is down.`));
    if (news.length) write(find("#news"), news.join(" "));
  }
  known = labels;
}

function showChoice(track, step) {
  const names = facts.tracks.map((each) => each.name);
  const select = find("#track select");
  find("#track").hidden = names.length < 2;
  arrange(select, names, (name) => element("option", "", name));
  if (select.value !== track.name) select.value = track.name;
  const steps = track.steps.map((each) => each.step);
  arrange(find("#notebooks"), steps, () => {
    const item = element("li");
    item.append(element("button"));
    item.firstChild.type = "button";
    item.firstChild.append(element("span"), " ", element("span", "small"));
    return item;
  }).forEach((item, at) => {
    const each = track.steps[at];
    const button = item.firstChild;
    const here = count(track.name, each.step);
    button.onclick = () => choose(track.name, each.step);
    button.setAttribute("aria-pressed", String(each === step));
    write(button.children[0], titleOf(each));
    write(button.children[1], here ? plural(here, "pair") : "");
  });
}

const isRight = (piece) => piece?.claimed === "right" && piece.confirmed !== "wrong";

function showHeads(track, step) {
  const rights = (name) =>
    facts.pairs.filter((pair) => isRight(pair.pieces[`${track.name}/${step.step}/${name}`])).length;
  const names = step.pieces.map((piece) => piece.name);
  arrange(find("thead tr"), names, () => {
    const head = element("th");
    head.scope = "col";
    head.append(element("span"), element("span", "small"));
    return head;
  }).forEach((head, at) => {
    const { name, minutes } = step.pieces[at];
    writeName(head.children[0], name);
    write(head.children[1], `${minutes} min, ${rights(name)} right`);
  });
}

function makeRow() {
  const row = element("tr");
  const head = element("th");
  head.scope = "row";
  head.append(element("b"), " ", element("span", "names"), " ", element("span", "about"));
  row.append(head, element("td", "right"));
  return row;
}

/** Say in a row's head who they are, and what keeps them from the notebook that is shown. */
function writeHead(head, pair, track, step) {
  const [label, names, about] = head.children;
  if (facts.enter && !label.firstElementChild) {
    const link = element("a");
    link.target = "_blank";
    link.rel = "noopener";
    label.replaceChildren(link);
  }
  if (facts.enter) label.firstChild.href = facts.enter + encodeURIComponent(pair.label);
  write(facts.enter ? label.firstChild : label, pair.label);
  write(names, pair.names.join(", "));
  const said = Object.entries(remarksOn(pair, track.name, step.step)).filter(([, text]) => text);
  arrange(about, said.map(([kind]) => kind), (kind) => element("span", kind));
  said.forEach(([, text], at) => write(about.children[at], text));
}

/** Say what else there is to say of a pair, by its kind. */
function remarksOn(pair, track, step) {
  const [isHere, score] = [isAt(pair, track, step), pair.scores[`${track}/${step}`]];
  return {
    waits: pair.hand && `hand up ${spell(pair.hand.minutes)}`,
    finished: isHere && !pair.now.piece && "finished",
    elsewhere: !isHere && notebookOf(pair),
    score: score && `tests catch ${score.caught} of ${score.mistakes}`,
    quiet: pair.quiet >= QUIET && `quiet for ${spell(pair.quiet)}`,
    warns: pair.trouble && `⚠ ${pair.trouble}`,
  };
}

function makeCell() {
  const cell = element("td");
  const seen = element("span", "cell");
  seen.setAttribute("aria-hidden", "true");
  seen.append(...["mark", "small", "small", "here"].map((kind) => element("span", kind)));
  cell.append(seen, element("span", "unseen"));
  return cell;
}

/** Say how a piece stands: a mark, the kind of it, and the same in words. */
function stateOf(piece) {
  if (piece === undefined) return ["", "", "not begun"];
  const tries = plural(piece.attempts, "attempt");
  if (piece.claimed === "wrong") return ["✗", "wrong", `wrong, ${tries}`];
  if (piece.claimed !== "right") return ["○", "unwritten", "not written yet"];
  if (piece.confirmed === "right") return ["✓✓", "confirmed", `right and confirmed, ${tries}`];
  if (piece.confirmed) return ["✓✗", "refuted", `said to be right, but judged wrong, ${tries}`];
  return ["✓", "claimed", `right, says their kernel, ${tries}`];
}

function writeCell(cell, piece, planned, isHere) {
  const [[mark, tries, time, here], words] = [cell.firstChild.children, cell.lastChild];
  const [sign, kind, said] = stateOf(piece);
  const minutes = Math.round(piece?.minutes ?? 0);
  const isLong = piece !== undefined && piece.minutes > 2 * planned;
  cell.className = isHere ? "current" : "";
  mark.className = `mark ${kind}`;
  tries.className = kind === "wrong" ? "mark wrong" : "small";
  time.className = isLong ? "long" : "small";
  write(mark, sign);
  write(tries, kind === "wrong" || piece?.attempts > 1 ? `${piece.attempts}×` : "");
  write(time, minutes ? `${isLong ? "▲ " : ""}${minutes} min` : "");
  write(here, isHere ? "here" : "");
  const long = isLong ? ", over twice as planned" : "";
  const spent = minutes ? `, ${plural(minutes, "minute")}${long}` : "";
  write(words, `${said}${spent}${isHere ? ", they are here" : ""}`);
}

function showRoom(track, step) {
  const { name } = track;
  const planned = `${plural(step.minutes, "minute")} planned`;
  write(find("#caption"), `${name}, ${titleOf(step)}: ${planned}`);
  find("table").className = step.pieces.length > FEW ? "narrow" : "";
  showHeads(track, step);
  const labels = facts.pairs.map((pair) => pair.label);
  arrange(find("tbody"), labels, makeRow).forEach((row, at) => {
    const pair = facts.pairs[at];
    const held = step.pieces.map((piece) => pair.pieces[`${name}/${step.step}/${piece.name}`]);
    writeHead(row.children[0], pair, track, step);
    write(row.children[1], `${held.filter(isRight).length} of ${held.length}`);
    row.className = pair.hand ? "raised" : "";
    const cells = arrange(row, step.pieces.map((piece) => piece.name), makeCell);
    cells.forEach((cell, place) => {
      const { name: asked, minutes } = step.pieces[place];
      const isHere = isAt(pair, name, step.step) && pair.now.piece === asked;
      writeCell(cell, held[place], minutes, isHere);
    });
  });
}

function showMistakes() {
  const met = facts.mistakes.filter((each) => each.now > 0).slice(0, MOST);
  find("#no-mistakes").hidden = met.length > 0;
  const keys = met.map((each) => [each.track, each.piece, each.mistake].join("\n"));
  arrange(find("#mistakes ol"), keys, () => {
    const item = element("li");
    item.append(element("b"), " ", element("span", "small"), element("q"), element("span", "who"));
    return item;
  }).forEach((item, at) => {
    const { track, piece, mistake, question, pairs, now } = met[at];
    const [what, where, ask, who] = item.children;
    write(what, mistake);
    write(where, facts.tracks.length > 1 ? `${piece} (${track})` : piece);
    write(ask, question);
    write(who, `${plural(now, "pair")}: ${pairs.slice(0, now).join(", ")}`);
  });
}

function show() {
  showSummary();
  showHands();
  showMistakes();
  const isEmpty = !facts.tracks.length || !facts.pairs.length;
  find("#nobody").hidden = !isEmpty;
  find("#room").hidden = find("nav").hidden = isEmpty;
  if (isEmpty) return;
  const { track, step } = shown();
  showChoice(track, step);
  showRoom(track, step);
}

// --- the server ---

/** Ask for what is known now; on a hub, with the proof that this very page asks. */
async function ask() {
  const [, proof] = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/) ?? [];
  const answer = await fetch(isHidden ? "facts?hidden=1" : "facts", {
    headers: proof ? { "X-XSRFToken": proof } : {},
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (!answer.ok) throw new Refusal((await answer.text()).slice(0, 300));
  return answer.json();
}

class Refusal extends Error {}

const GONE = "The server of this board gives no answer. Is it still running?";

function showTrouble(error) {
  const trouble = find("#trouble");
  trouble.hidden = failures < 2 && facts !== null;
  if (trouble.hidden || !error) return;
  const why = error instanceof Refusal ? error.message : GONE;
  const since = facts ? ` What you see is from ${clock(facts.at)}.` : "";
  write(trouble, `${why}${since}`);
}

async function look() {
  const asked = isHidden;
  try {
    const found = await ask();
    if (asked !== isHidden) return; // somebody pressed the button meanwhile
    facts = found;
    failures = 0;
    show();
    showTrouble();
  } catch (error) {
    failures += 1;
    showTrouble(error);
  }
}

async function lookAgainAndAgain() {
  await look();
  setTimeout(lookAgainAndAgain, PAUSE);
}

/** Show no name any more at once, or show them again; the address keeps which it is. */
function toggleNames() {
  isHidden = !isHidden;
  history.replaceState(null, "", isHidden ? "?hidden=1" : location.pathname);
  facts = known = null; // else a click could show them once more
  find("#room").hidden = find("nav").hidden = true;
  for (const list of document.querySelectorAll("tbody, ol")) list.replaceChildren();
  find("#news").textContent = "";
  look();
}

find("#hide").onclick = toggleNames;
find("#track select").onchange = (event) => {
  const track = facts.tracks.find((each) => each.name === event.target.value);
  const counts = track.steps.map((step) => count(track.name, step.step));
  choose(track.name, track.steps[counts.indexOf(Math.max(...counts))].step);
};
lookAgainAndAgain();
