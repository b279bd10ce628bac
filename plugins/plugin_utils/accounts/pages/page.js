// SPDX-License-Identifier: GPL-3.0-or-later
// Builds the tables from the JSON beside it. Only text nodes and attributes are made, never markup from text.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  // So many rows of a table are drawn at a time, and printed at most.
  const STEP = 100;
  const PRINTED = 2000;

  const state = { language: "en", query: "", choice: "", printing: false };
  const $ = (id) => document.getElementById(id);
  const word = (key, language) => (Object.hasOwn(data.texts[language], key) ? data.texts[language][key] : key);
  const fill = (phrase, values) => phrase.replace(/\{(\w*)\}/g, (whole, name) => (Object.hasOwn(values, name) ? String(values[name]) : whole));
  const say = (key, values = {}) => fill(word(key, state.language), values);
  const number = (value) => value.toLocaleString(state.language);
  const moment = (time) => time.replace("T", " ").replace("Z", " UTC");

  // An element with attributes and children; null children are left out, text stays text.
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  const badge = (tone, ...children) => make("span", { class: `badge ${tone}` },
    Object.hasOwn(data.symbols, tone) ? make("span", { "aria-hidden": "true" }, data.symbols[tone]) : null, ...children);
  const lines = (texts) => make("ul", { class: "word-list" }, texts.map((line) => make("li", {}, line)));

  // ---- cells --------------------------------------------------------------------------------------------------

  // A cell's texts in a language: for showing them, and for finding them in both languages.
  const TEXTS = {
    badge: (cell, language) => [word(cell[1], language)],
    word: (cell, language) => [word(cell, language)],
    notes: (cell, language) => cell.map(([code, value]) => fill(word(`note_${code}`, language), { "": value })),
    fields: (cell, language) => cell.map(([key, value]) => `${word(key, language)}: ${value}`),
    list: (cell) => cell,
    moment: (cell) => [moment(cell)],
    number: (cell) => [String(cell)],
  };
  const texts = (form, cell, language) => {
    if (cell === null) return [];
    return Object.hasOwn(TEXTS, form) ? TEXTS[form](cell, language) : [cell];
  };

  function content(key, form, cell) {
    if (cell === null) return make("span", { class: "absent" }, key === "host" ? say("several_hosts") : "–");
    const found = texts(form, cell, state.language);
    if (form === "badge") return badge(cell[0], found[0]);
    if (form === "notes" || form === "fields") return lines(found);
    if (form === "number") return number(cell);
    if (form === "list") return found.flatMap((item, place) => [place ? ", " : null, make("span", { class: "clause" }, item)]);
    return found.join(", ");
  }

  // ---- what matches -------------------------------------------------------------------------------------------

  for (const table of data.tables) {
    table.entries = table.rows.map((row) => ({ row, text: null }));
  }
  const choosable = data.tables.find((table) => table.choice !== null);
  const chosen = (table, row) => {
    const cell = row[table.choice];
    return Array.isArray(cell) ? cell[1] : cell;
  };

  function searchable(table, entry) {
    if (entry.text === null) {
      entry.text = table.columns.flatMap(([, form], index) => ["en", "ja"].flatMap((language) => texts(form, entry.row[index], language)))
        .join("\n").toLowerCase();
    }
    return entry.text;
  }

  function matches(table) {
    if (!table.searched) return table.entries;
    const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
    return table.entries.filter((entry) => (table !== choosable || !state.choice || chosen(table, entry.row) === state.choice)
      && words.every((part) => searchable(table, entry).includes(part)));
  }

  // ---- tables -------------------------------------------------------------------------------------------------

  function drawRow(table, entry) {
    const cells = table.columns.map(([key, form], index) => (form === "name"
      ? make("th", { scope: "row", role: "rowheader" }, content(key, form, entry.row[index]))
      : make("td", { role: "cell", class: form === "number" ? "number-cell" : null, "data-label": say(key) }, make("div", {}, content(key, form, entry.row[index])))));
    const row = make("tr", { role: "row" }, cells);
    const history = table.details ? entry.row[table.columns.length] : [];
    return history.length ? [row, drawDetails(table, history)] : [row];
  }

  // What a row unfolds, drawn when it is opened for the first time.
  function drawDetails(table, rows) {
    const [title, columns] = table.details;
    const details = make("details", { class: "some" }, make("summary", {}, `${say(title)} (${number(rows.length)})`));
    const draw = () => {
      if (details.childElementCount > 1) return;
      details.append(make("ol", {}, rows.map((row) => make("li", {},
        columns.flatMap(([, form], index) => texts(form, row[index], state.language)).join(" · ")))));
    };
    details.addEventListener("toggle", () => details.open && draw());
    return make("tr", { role: "row", class: "history" }, make("td", { role: "cell", colspan: table.columns.length }, details));
  }

  // The first rows, and a button below the table that draws the next ones and moves the focus there.
  function some(body, place, table, entries) {
    const limit = state.printing ? PRINTED : STEP;
    body.append(...entries.slice(0, limit).flatMap((entry) => drawRow(table, entry)));
    const rest = entries.slice(limit);
    if (!rest.length) return;
    if (state.printing) {
      place.append(make("p", { class: "note" }, say("print_more", { count: number(rest.length) })));
      return;
    }
    const button = make("button", { type: "button", class: "quiet more-button" }, say("show_more", { count: number(Math.min(rest.length, STEP)) }));
    button.addEventListener("click", () => {
      button.remove();
      const drawn = body.childElementCount;
      some(body, place, table, rest);
      const first = body.children[drawn];
      first.tabIndex = -1;
      first.focus();
    });
    place.append(button);
  }

  function drawTable(table, index, entries) {
    const section = make("section", { "aria-labelledby": `table-${index}` }, make("h2", { id: `table-${index}` }, say(table.key)));
    if (table.total !== null) {
      section.append(make("p", { class: "note" }, say(table.note, { shown: number(table.rows.length), total: number(table.total) })));
    }
    if (!entries.length) {
      section.append(make("p", { class: "note" }, table.rows.length ? say("nothing") : say("none")));
      return section;
    }
    const body = make("tbody", { role: "rowgroup" });
    section.append(make("table", { class: "results hidden-caption", role: "table" }, make("caption", {}, say(table.key)),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, table.columns.map(([key, , width]) =>
        make("th", { scope: "col", role: "columnheader", class: width ? `col-${width}` : null }, say(key))))), body));
    some(body, section, table, entries);
    return section;
  }

  // ---- page ---------------------------------------------------------------------------------------------------

  function drawOverview() {
    $("overview").replaceChildren(
      ...data.notices.map(([tone, key, values]) => make("p", { class: "notice" }, badge(tone, ""), make("span", {}, say(key, values)))),
      make("ul", { class: "tiles" }, data.tiles.map(([tone, key, amount]) => make("li", { class: `tile ${tone}` },
        make("span", { class: "number" }, number(amount)), make("span", { class: "name" }, say(key))))));
  }

  function drawFilters() {
    $("choice-field").hidden = !choosable;
    if (!choosable) return;
    const keys = [...new Set(choosable.rows.map((row) => chosen(choosable, row)))];
    $("choice").replaceChildren(make("option", { value: "" }, say("everything")),
      ...keys.map((key) => make("option", { value: key, selected: key === state.choice }, say(key))));
  }

  function drawTables() {
    let shown = 0;
    let total = 0;
    $("tables").replaceChildren(...data.tables.map((table, index) => {
      const entries = matches(table);
      if (table.searched) {
        shown += entries.length;
        total += table.entries.length;
      }
      return drawTable(table, index, entries);
    }));
    $("shown").textContent = say("shown", { shown: number(shown), total: number(total) });
  }

  function drawTexts() {
    document.documentElement.lang = state.language;
    document.title = `${say(data.title)} · ${data.stem}`;
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
    for (const element of document.querySelectorAll("[data-label]:not(td)")) element.setAttribute("aria-label", say(element.dataset.label));
    for (const element of document.querySelectorAll("[data-hint]")) element.placeholder = say(element.dataset.hint);
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === state.language));
    }
  }

  function draw() {
    drawTexts();
    drawOverview();
    drawFilters();
    drawTables();
  }

  // Storage can be forbidden (a file opened from disk, private windows): the page then asks the browser's language.
  function remembered(language) {
    try {
      if (language) localStorage.setItem("kijun-language", language);
      return localStorage.getItem("kijun-language");
    } catch {
      return null;
    }
  }

  function firstLanguage() {
    const asked = [new URLSearchParams(location.search), new URLSearchParams(location.hash.slice(1))].map((parameters) => parameters.get("lang"));
    const wanted = [...asked, remembered(), (navigator.language || "").slice(0, 2)];
    return wanted.find((language) => Object.hasOwn(data.texts, language ?? "")) || "en";
  }

  document.querySelector(".languages").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    state.language = button.dataset.language;
    remembered(state.language);
    draw();
  });

  let waiting = 0;
  $("query").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      state.query = $("query").value;
      drawTables();
    }, 150);
  });
  $("choice").addEventListener("change", () => {
    state.choice = $("choice").value;
    drawTables();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", (event) => {
    event.preventDefault();
    $("query").value = "";
    Object.assign(state, { query: "", choice: "" });
    drawFilters();
    drawTables();
  });
  for (const [moment, printing] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(moment, () => {
      state.printing = printing;
      drawTables();
    });
  }

  state.language = firstLanguage();
  document.documentElement.classList.add("scripted");
  draw();
})();
