// Plays a recording in a page. What is played are whole screens and changes of them, made beforehand (host/film.rs says
// in which form); nothing here understands a terminal. Text is only ever set as text.
"use strict";
(() => {
  const PAUSE_MAX = 2000; // a shortened pause, in milliseconds
  const STEP = 5000; // what an arrow key skips
  const TICKS_MAX = 500;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;

  /* ---- The film ---- */

  function read(text) {
    const film = { styles: [], rows: [], moments: [], marks: [], leftOut: 0 };
    // In one go, which is much faster: no line has a line end inside.
    for (const [kind, ...rest] of JSON.parse("[" + text.trim().replaceAll("\n", ",") + "]")) {
      if (kind === "s") film.styles.push(rest);
      else if (kind === "r") film.rows.push(rest[0]);
      else if (kind === "k") {
        const [time, cols, rows, shown, x, y] = rest;
        film.moments.push({ time, cols, rows, shown, x, y });
      } else if (kind === "f") {
        const [time, changes, x, y] = rest;
        film.moments.push({ time, changes, x, y });
      } else if (kind === "m") film.marks.push({ time: rest[0], name: rest[1], note: true });
      else if (kind === "t") film.marks.push({ time: rest[0], name: "Message: " + rest[1], note: false });
      else if (kind === "x") film.marks.push({ time: rest[0], name: "Ended with status " + rest[1], note: true });
      else if (kind === "n") film.leftOut = rest[0];
    }
    return film;
  }

  const film = read($("film").textContent);
  const moments = film.moments;

  /* ---- Time: the moments' own, and with pauses shortened ---- */

  const real = moments.map((moment) => moment.time);
  const short = [];
  for (let i = 0; i < real.length; i++) {
    short.push(i === 0 ? Math.min(real[0], PAUSE_MAX) : short[i - 1] + Math.min(real[i] - real[i - 1], PAUSE_MAX));
  }
  let times = short;
  let position = 0; // on `times`, in milliseconds

  /** The last moment that is not after `time`; -1 before the first. */
  function momentAt(list, time) {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  const total = () => (times.length > 0 ? times[times.length - 1] : 0);

  /** Where on `times` a time of the recording is. */
  function placeOf(time) {
    const i = momentAt(real, time);
    if (times === real || i < 0) return Math.min(Math.max(time, 0), total());
    const next = i + 1 < times.length ? times[i + 1] : times[i];
    return Math.min(times[i] + (time - real[i]), next);
  }

  /** The time of the recording at a place on `times`. */
  function timeOf(place) {
    const i = momentAt(times, place);
    return i < 0 ? place : real[i] + (place - times[i]);
  }

  function clock(milliseconds) {
    const seconds = Math.floor(milliseconds / 1000);
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(seconds / 3600);
    return (hours > 0 ? hours + ":" : "") + two(Math.floor(seconds / 60) % 60) + ":" + two(seconds % 60);
  }

  /* ---- The screen ---- */

  const screen = $("screen");
  const stage = $("stage");
  const cursor = document.createElement("div");
  cursor.id = "cursor";
  cursor.setAttribute("aria-hidden", "true");
  const now = { moment: -1, cols: 0, rows: 0, shown: [] };
  let painted = []; // which row stands in which place
  let elements = [];

  function colour(value) {
    if (value === null) return null;
    if (typeof value === "string") return value;
    if (value < 16) return "var(--c" + value + ")";
    if (value >= 232) {
      const grey = 8 + 10 * (value - 232);
      return "rgb(" + grey + "," + grey + "," + grey + ")";
    }
    const level = (n) => (n === 0 ? 0 : 55 + 40 * n);
    const n = value - 16;
    return "rgb(" + level(Math.floor(n / 36)) + "," + level(Math.floor(n / 6) % 6) + "," + level(n % 6) + ")";
  }

  function dress(span, [fore, back, attributes]) {
    let ink = colour(fore);
    let ground = colour(back);
    if (attributes & 64) [ink, ground] = [ground ?? "var(--bg)", ink ?? "var(--fg)"];
    if (ink !== null) span.style.color = ink;
    if (ground !== null) span.style.backgroundColor = ground;
    ["bold", "faint", "italic", "under", "through"].forEach((name, bit) => {
      if (attributes & (1 << bit)) span.classList.add(name);
    });
  }

  function fill(element, runs) {
    element.replaceChildren();
    for (let i = 0; i < runs.length; i += 3) {
      const span = document.createElement("span");
      span.textContent = runs[i];
      if (/[^ -~]/.test(runs[i])) {
        span.className = "cells";
        span.style.width = runs[i + 1] + "ch";
      }
      dress(span, film.styles[runs[i + 2]]);
      element.append(span);
    }
  }

  /** Makes what stands at a moment current, from the last whole screen on if that is nearer. */
  function seekMoment(wanted) {
    let from = now.moment + 1;
    if (wanted < now.moment) from = 0;
    for (let i = wanted; i >= from; i--) {
      if (moments[i].shown) {
        from = i;
        break;
      }
    }
    for (let i = from; i <= wanted; i++) {
      const moment = moments[i];
      if (moment.shown) {
        now.cols = moment.cols;
        now.rows = moment.rows;
        now.shown = moment.shown.slice();
      } else {
        for (let j = 0; j < moment.changes.length; j += 2) now.shown[moment.changes[j]] = moment.changes[j + 1];
      }
    }
    now.moment = wanted;
  }

  function paint() {
    const wanted = Math.max(momentAt(times, position), 0);
    if (wanted !== now.moment) {
      const { cols, rows } = now;
      seekMoment(wanted);
      if (cols !== now.cols || rows !== now.rows) {
        elements = Array.from({ length: now.rows }, () => {
          const row = document.createElement("div");
          row.className = "row";
          return row;
        });
        screen.replaceChildren(...elements, cursor);
        painted = [];
        fit();
      }
      for (let place = 0; place < now.rows; place++) {
        if (painted[place] !== now.shown[place]) {
          fill(elements[place], film.rows[now.shown[place]]);
          painted[place] = now.shown[place];
        }
      }
      const { x, y } = moments[wanted];
      cursor.hidden = x < 0;
      cursor.style.left = Math.min(x, now.cols - 1) + "ch";
      cursor.style.top = y * 1.2 + "em";
    }
    tell();
  }

  /** The largest letters with which the whole screen can be seen; below 5 pixels it is scrolled. */
  function fit() {
    const probe = document.createElement("span");
    probe.textContent = "M".repeat(100);
    probe.style.position = "absolute";
    probe.style.visibility = "hidden";
    screen.append(probe);
    screen.style.fontSize = "100px";
    const letter = probe.getBoundingClientRect().width / 100 / 100;
    probe.remove();
    const width = (stage.clientWidth - 18) / (now.cols * letter);
    const height = (stage.clientHeight - 18) / (now.rows * 1.2);
    screen.style.fontSize = Math.max(5, Math.min(width, height, 20)) + "px";
    screen.style.width = now.cols + "ch";
  }

  /* ---- Controls ---- */

  const seek = $("seek");
  let playing = false;
  let last = 0;

  function tell() {
    seek.value = String(Math.round(position));
    const text = clock(timeOf(position)) + " / " + clock(real[real.length - 1]);
    if ($("clock").textContent !== text) {
      $("clock").textContent = text;
      seek.setAttribute("aria-valuetext", text);
    }
  }

  function go(place) {
    position = Math.min(Math.max(place, 0), total());
    paint();
  }

  function frame(at) {
    if (!playing) return;
    position += (at - last) * Number($("speed").value);
    last = at;
    if (position >= total()) {
      position = total();
      play(false);
    }
    paint();
    if (playing) requestAnimationFrame(frame);
  }

  function play(on) {
    if (on && position >= total()) position = 0;
    playing = on;
    $("play").textContent = on ? "Pause" : "Play";
    $("status").textContent = (on ? "Playing from " : "Paused at ") + clock(timeOf(position));
    if (on) {
      last = performance.now();
      requestAnimationFrame(frame);
    }
  }

  function step(by) {
    play(false);
    const wanted = Math.min(Math.max(now.moment + by, 0), moments.length - 1);
    go(times[wanted]);
  }

  function toMark(by) {
    const places = film.marks.map((mark) => placeOf(mark.time));
    const wanted = by > 0 ? places.find((place) => place > position + 1) : places.findLast((place) => place < position - 500);
    go(wanted ?? (by > 0 ? total() : 0));
  }

  /** Shows what stood there at a time of the recording. */
  function showTime(time) {
    play(false);
    go(placeOf(time));
    $("status").textContent = "At " + clock(time);
  }

  function drawMarks() {
    const ticks = film.marks.slice(0, TICKS_MAX).map((mark) => {
      const tick = document.createElement("button");
      tick.type = "button";
      tick.className = mark.note ? "note" : "message";
      tick.style.left = (total() > 0 ? (100 * placeOf(mark.time)) / total() : 0) + "%";
      tick.title = clock(mark.time) + " " + mark.name;
      tick.setAttribute("aria-label", tick.title);
      tick.tabIndex = -1;
      tick.addEventListener("click", () => showTime(mark.time));
      return tick;
    });
    $("marks").replaceChildren(...ticks);
  }

  function setTimes() {
    const time = timeOf(position);
    times = $("skip").checked ? short : real;
    seek.max = String(Math.ceil(total()));
    go(placeOf(time));
    drawMarks();
  }

  const KEYS = {
    " ": () => play(!playing),
    k: () => play(!playing),
    ArrowLeft: () => go(position - STEP),
    ArrowRight: () => go(position + STEP),
    Home: () => go(0),
    End: () => go(total()),
    ",": () => step(-1),
    ".": () => step(1),
    "[": () => toMark(-1),
    "]": () => toMark(1),
  };

  function onKey(event) {
    const target = event.target;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "/" && target.id !== "find") {
      event.preventDefault();
      $("find").focus();
      return;
    }
    if (target.id === "find" || target.tagName === "SELECT") return;
    if (event.key === " " && (target.tagName === "BUTTON" || target.tagName === "SUMMARY" || target.type === "checkbox")) return;
    // In the text these keys scroll.
    if (["Home", "End"].includes(event.key) && $("talk").contains(target)) return;
    const does = KEYS[event.key];
    if (does && moments.length > 0) {
      event.preventDefault();
      does();
    }
  }

  function startPlayer() {
    for (const element of document.querySelectorAll("[data-mark]")) {
      const name = element.querySelector(".text")?.textContent ?? "";
      film.marks.push({ time: Number(element.dataset.mark), name: "Message: " + name.trim().slice(0, 80), note: false });
    }
    film.marks.sort((a, b) => a.time - b.time);
    $("player").hidden = false;
    document.querySelector("main").classList.add("both");
    if (film.leftOut > 0) {
      $("note").textContent =
        "This recording is long: " + film.leftOut + " moments were left out of this page, spread over all of it. " +
        "Export it as cast to have every one.";
      $("note").hidden = false;
    }
    $("play").addEventListener("click", () => play(!playing));
    $("back").addEventListener("click", () => step(-1));
    $("forth").addEventListener("click", () => step(1));
    $("former").addEventListener("click", () => toMark(-1));
    $("next").addEventListener("click", () => toMark(1));
    $("skip").addEventListener("change", setTimes);
    seek.addEventListener("input", () => go(Number(seek.value)));
    new ResizeObserver(fit).observe(stage);
    setTimes();
    // `#t=12.5` opens the page at that second of the recording.
    const asked = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (asked) showTime(Number(asked[1]) * 1000);
  }

  /* ---- The text ---- */

  let hits = [];
  let hit = -1;
  let sought = "";

  function find() {
    const wanted = $("find").value.trim().toLowerCase();
    hits[hit]?.classList.remove("hit");
    if (wanted !== sought) {
      sought = wanted;
      const places = document.querySelectorAll("#text article, #text .line");
      hits = wanted === "" ? [] : [...places].filter((place) => place.textContent.toLowerCase().includes(wanted));
      hit = -1;
    }
    if (hits.length > 0) {
      hit = (hit + 1) % hits.length;
      const details = hits[hit].querySelector("details");
      if (details) details.open = true;
      hits[hit].classList.add("hit");
      hits[hit].scrollIntoView({ block: "center" });
    }
    $("found").textContent = sought === "" ? "" : hits.length === 0 ? "not found" : hit + 1 + " of " + hits.length;
  }

  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    find();
  });
  $("text").addEventListener("click", (event) => {
    const at = event.target.dataset?.at;
    if (at !== undefined && moments.length > 0) showTime(Number(at));
  });
  $("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  document.addEventListener("keydown", onKey);
  if (moments.length > 0) startPlayer();
  root.dataset.ready = "yes";
})();
