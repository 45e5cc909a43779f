// Fetches the page again and swaps its regions: filter, focus, selection and scroll position stay where they are.
"use strict";

const REGIONS = ["verdict", "blockers", "statuses", "checks"];
const $ = (id) => document.getElementById(id);
const many = document.querySelectorAll("#checks li").length > 300;
const every = many ? 15000 : 5000;

let paused = false;
let latest = 0;
let updated = new Date();
let timer = 0;

function schedule() {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(() => refresh(false), every);
}

async function refresh(asked) {
  const turn = ++latest;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // A slow answer must not overwrite a later one, nor text that somebody is about to copy.
    if (turn !== latest || (!asked && isSelecting())) return;
    show(page);
    updated = new Date();
    tell(false);
  } catch {
    if (turn === latest) tell(true);
  } finally {
    if (turn === latest) schedule();
  }
}

function show(page) {
  const focus = document.activeElement;
  const region = REGIONS.find((id) => $(id).contains(focus) && focus !== $(id));
  const link = region && focus.getAttribute("href");
  const place = region && [...$(region).querySelectorAll("a")].indexOf(focus);
  const top = scrollY;
  // A list that the reader has opened stays open.
  for (const open of document.querySelectorAll("details[open]")) page.getElementById(open.id)?.setAttribute("open", "");
  for (const id of REGIONS) {
    const next = page.getElementById(id);
    if (next && next.innerHTML !== $(id).innerHTML) $(id).replaceChildren(...next.childNodes);
  }
  if (region && !document.contains(focus)) {
    const links = [...$(region).querySelectorAll("a")];
    const again = links.find((one) => one.getAttribute("href") === link) || links[Math.min(place, links.length - 1)];
    if (again) again.focus({ preventScroll: true });
  }
  scrollTo({ top, behavior: "instant" });
  if (document.title !== page.title) {
    document.title = page.title;
    $("announce").textContent = page.title;
    $("icon").href = page.getElementById("icon").getAttribute("href");
  }
}

function isSelecting() {
  const selection = getSelection();
  return !selection.isCollapsed && REGIONS.some((id) => selection.containsNode($(id), true));
}

function tell(lost) {
  document.body.classList.toggle("lost", lost);
  // All times of the page are in UTC.
  const at = `${updated.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  $("updated").textContent = lost ? `No answer since ${at}: outdated` : paused ? `Paused at ${at}` : `Updated ${at}`;
}

function go(url) {
  history.replaceState(null, "", url);
  refresh(true);
}

function filtered(text) {
  const url = new URL(location.href);
  if (text) url.searchParams.set("q", text);
  else url.searchParams.delete("q");
  return url;
}

let typing = 0;
$("q").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => go(filtered($("q").value.trim())), 120);
});

$("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  go(filtered($("q").value.trim()));
});

$("statuses").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  // The link may be older than what has been typed since.
  const url = new URL(link.href);
  if ($("q").value.trim()) url.searchParams.set("q", $("q").value.trim());
  go(url);
});

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Resume" : "Pause";
  tell(false);
  if (paused) schedule();
  else refresh(true);
});

addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== $("q") && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("q").focus();
  }
});

document.addEventListener("visibilitychange", () => (document.hidden || paused ? schedule() : refresh(false)));

document.body.classList.add("js");
$("pause").hidden = false;
tell(false);
schedule();
