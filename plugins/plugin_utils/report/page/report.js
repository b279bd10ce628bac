// SPDX-License-Identifier: GPL-3.0-or-later
// Builds the report's views from the JSON beside it. Only text nodes and attributes are made, never markup from text.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const VERDICTS = data.verdicts;
  const KINDS = [...VERDICTS, "unaudited"];
  const SYMBOLS = { fail: "✕", error: "!", excused: "◷", not_applicable: "–", pass: "✓", unaudited: "?",
    fixed: "↑", regressed: "↓", changed: "~", new: "+", unchanged: "=" };
  const OPERATORS = { "==": "", "!=": "≠", "<=": "≤", ">=": "≥", "<": "<", ">": ">" };
  // So many groups, and rows of one control, are drawn at a time: 1,000 hosts must open as quickly as five.
  const GROUPS = 100;
  const ROWS = 25;
  const NAMES = 12;

  const state = {
    language: "en", view: "host", query: "", verdicts: new Set(KINDS), change: "",
    open: new Set(), printing: false,
  };
  const $ = (id) => document.getElementById(id);
  const say = (key, values = {}) => {
    const words = data.texts[state.language];
    const phrase = Object.hasOwn(words, key) ? words[key] : key;
    return phrase.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };
  const number = (value) => value.toLocaleString(state.language);
  const moment = (time) => time.replace("T", " ").replace("Z", " UTC");
  const area = (name) => (Object.hasOwn(data.areas, name) ? data.areas[name][state.language === "ja" ? 1 : 0] : name.replaceAll("_", " "));
  const title = (control) => control.title[state.language];
  const compareText = (a, b) => a.localeCompare(b, "en", { numeric: true });

  // An element with attributes and children; null children are left out, text stays text.
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  // ---- what matches -------------------------------------------------------------------------------------------

  const lower = (...parts) => parts.flat(3).filter((part) => part !== null && part !== undefined).join("\n").toLowerCase();
  data.outcomes.forEach((outcome, index) => {
    outcome.index = index;
    outcome.control = data.controls[outcome.control];
    const control = outcome.control;
    outcome.text = lower(control.id, control.title.en, control.title.ja, control.area, data.areas[control.area] || [], control.severity,
      control.clauses, control.clauses.map((id) => data.clauses[id] || ""), outcome.reason, outcome.deviation,
      Object.values(outcome.exception || {}), outcome.checks);
  });
  for (const host of data.hosts) {
    host.text = lower(host.name, host.groups, host.os, host.unaudited);
    host.pairs = host.results.map((now, index) => {
      const before = data.before && host.before[index] !== null ? data.outcomes[host.before[index]] : null;
      const outcome = data.outcomes[now];
      const change = data.before ? (before ? data.changeTable[before.verdict][outcome.verdict] : "new") : "";
      return { host, outcome, before, change };
    });
  }

  // The results that pass the filters, by host; each word must be found in the host or in the result.
  function matches() {
    const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (const host of data.hosts) {
      const rest = words.filter((word) => !host.text.includes(word));
      const pairs = host.pairs.filter(({ outcome, change }) => state.verdicts.has(outcome.verdict)
        && (!state.change || change === state.change) && rest.every((word) => outcome.text.includes(word)));
      const unaudited = host.unaudited !== null && state.verdicts.has("unaudited") && !state.change && rest.length === 0;
      if (pairs.length || unaudited) found.push({ host, pairs, unaudited });
    }
    return found;
  }

  const byVerdict = (a, b) => VERDICTS.indexOf(a.outcome.verdict) - VERDICTS.indexOf(b.outcome.verdict)
    || compareText(a.outcome.control.id, b.outcome.control.id);

  function count(pairs) {
    const counts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, 0]));
    for (const pair of pairs) counts[pair.outcome.verdict] += 1;
    return counts;
  }

  // Sorts groups: most failures first, then errors, then what nobody could look at, then by name.
  function worstFirst(a, b) {
    return b.counts.fail - a.counts.fail || b.counts.error - a.counts.error
      || (b.unaudited ? 1 : 0) - (a.unaudited ? 1 : 0) || compareText(a.name, b.name);
  }

  // ---- parts --------------------------------------------------------------------------------------------------

  function badge(kind, amount) {
    return make("span", { class: `badge ${kind}` }, make("span", { "aria-hidden": "true" }, SYMBOLS[kind]), say(kind),
      amount === undefined ? null : make("b", {}, number(amount)));
  }

  const badges = (counts) => make("span", { class: "counts" },
    VERDICTS.filter((verdict) => counts[verdict]).map((verdict) => badge(verdict, counts[verdict])));

  function value(text) {
    if (text === null) return make("span", { class: "absent" }, say("none"));
    if (text === "") return make("span", { class: "absent" }, say("blank"));
    return make("span", { class: "value" }, text);
  }

  // A fact's path, with places where a line may end: after a dot, a slash, an underscore, before a bracket.
  const breakable = (path) => path.split(/(?<=[._/])|(?=\[)/).flatMap((part) => [part, make("wbr")]);

  // What is expected, in words: "each <=" and the like say that every member of the fact must meet it.
  function expected(op, text) {
    const each = op.startsWith("each ");
    const operator = each ? op.slice(5) : op;
    const sign = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : null;
    const key = `op_${operator.replaceAll(" ", "_")}`;
    const word = sign !== null ? sign : Object.hasOwn(data.texts.en, key) ? say(key) : operator;
    const alone = text === null && sign === null;
    const words = [each ? say("op_each") : "", word].filter(Boolean).join(" ");
    return [words ? make("span", { class: "op" }, words + (alone ? "" : " ")) : null, alone ? null : value(text)];
  }

  // What is to be said about a control on a host besides its checks.
  function remarks(outcome) {
    const lines = [];
    const exception = outcome.exception;
    const excused = outcome.verdict === "excused" && exception;
    if (exception) {
      const notes = [];
      if (exception.ticket) notes.push(`${say("ticket")}: ${exception.ticket}`);
      if (excused && Number(exception.days_left) <= data.soon) notes.push(say("exception_soon", exception));
      lines.push(say(excused ? "exception" : "exception_filed", exception) + (notes.length ? ` (${notes.join(" · ")})` : ""));
    }
    if (outcome.deviation) lines.push(`${say("deviation")}: ${outcome.deviation}`);
    // The reason of an excused control is its exception in other words, and in English only.
    if (outcome.reason && !excused) lines.push(`${say("reason")}: ${outcome.reason}`);
    return lines.map((line) => make("span", { class: "remark" }, line));
  }

  function controlHead(outcome, rows) {
    const control = outcome.control;
    return make("th", { scope: "rowgroup", role: "rowheader", rowspan: rows, class: "control" },
      make("span", { class: "id" }, control.id), " ", title(control),
      make("small", {}, `${say("severity")}: ${say(control.severity)}`, control.clauses.length ? ` · ${say("clauses")}: ` : "",
        control.clauses.flatMap((clause, index) => [index ? ", " : "", make("span", { class: "clause" }, clause)])),
      remarks(outcome));
  }

  function verdictCell(pair, rows) {
    const cell = make("td", { role: "cell", rowspan: rows, class: "verdict" });
    const stack = make("span", { class: "stack" }, badge(pair.outcome.verdict));
    if (pair.change && pair.change !== "unchanged") {
      stack.append(badge(pair.change));
      if (pair.before && pair.before.verdict !== pair.outcome.verdict) {
        stack.append(make("span", { class: "was" }, `${say("was")}: ${say(pair.before.verdict)}`));
      }
    }
    cell.append(stack);
    return cell;
  }

  // The cells of one check: fact, expected, before (when there is one), actual.
  function checkCells(check, before, compared) {
    const [fact, op, wanted, actual, verdict, detail] = check;
    const missed = ["fail", "error"].includes(verdict);
    const earlier = before ? before.checks.find((other) => other[0] === fact && other[1] === op) : null;
    const labelled = (key, extra, ...children) => make("td", { role: "cell", class: `value-cell ${extra}`, "data-label": say(key) }, make("span", {}, ...children));
    return [
      labelled("fact", "", make("span", { class: "value" }, breakable(fact))),
      labelled("expected", "", ...expected(op, wanted)),
      compared ? labelled("before", "", earlier ? value(earlier[3]) : make("span", { class: "absent" }, "–")) : null,
      labelled(compared ? "now" : "actual", `actual ${missed ? "missed" : ""}`,
        missed ? make("span", { class: "sign", role: "img", "aria-label": say(verdict) }, SYMBOLS[verdict]) : "", missed ? " " : "", value(actual),
        detail ? make("span", { class: "more" }, detail) : ""),
    ];
  }

  function table(caption, hidden, columns, bodies) {
    return make("table", { class: `results${hidden ? " hidden-caption" : ""}`, role: "table" }, make("caption", {}, caption),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" },
        columns.map(([key, extra]) => make("th", { scope: "col", role: "columnheader", class: extra || null }, say(key))))),
      bodies);
  }

  // One result as a body of rows, a row for each check. `head` and `tail` make the cells before and after the checks.
  function resultBody(pair, compared, head, tail) {
    const checks = pair.outcome.checks;
    const rows = Math.max(1, checks.length);
    const body = make("tbody", { role: "rowgroup" });
    for (let index = 0; index < rows; index += 1) {
      const row = make("tr", { role: "row", class: index ? "continued" : null });
      if (index === 0) row.append(...head(rows));
      if (checks.length) row.append(...checkCells(checks[index], pair.before, compared).filter(Boolean));
      else row.append(make("td", { role: "cell", colspan: compared ? 4 : 3, class: "absent" }, say("no_checks")));
      if (index === 0) row.append(...tail(rows));
      body.append(row);
    }
    return body;
  }

  // The first of many items, and a button below them (in `place`) that draws the next ones and moves the focus there.
  function some(container, place, items, step, draw) {
    const limit = state.printing ? items.length : step;
    container.append(...items.slice(0, limit).map(draw));
    const rest = items.slice(limit);
    if (!rest.length) return;
    const button = make("button", { type: "button", class: "quiet more-button" }, say("show_more", { count: number(Math.min(rest.length, step)) }));
    button.addEventListener("click", () => {
      button.remove();
      const drawn = container.childElementCount;
      some(container, place, rest, step, draw);
      const first = container.children[drawn];
      const target = first.querySelector("summary") || first;
      if (target === first) first.tabIndex = -1;
      target.focus();
    });
    place.append(button);
  }

  function groupBy(items, key) {
    const groups = new Map();
    for (const item of items) {
      const name = key(item);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(item);
    }
    return groups;
  }

  // A group that draws its body when it is opened for the first time.
  function group(key, head, draw) {
    const details = make("details", { class: "group" }, make("summary", {}, head));
    const fill = () => {
      if (details.childElementCount === 1) details.append(make("div", { class: "body" }, draw()));
    };
    details.addEventListener("toggle", () => {
      if (details.open) fill();
      // The event comes late: what was opened for printing is gone from the page by then, and must not count as opened.
      if (!state.printing && details.isConnected) state.open[details.open ? "add" : "delete"](key);
    });
    if (state.printing || state.open.has(key)) {
      details.open = true;
      fill();
    }
    return details;
  }

  // ---- views --------------------------------------------------------------------------------------------------

  function hostBody(found) {
    const { host, pairs } = found;
    const compared = Boolean(data.before);
    const parts = [];
    if (found.unaudited) parts.push(make("p", {}, badge("unaudited"), " ", host.unaudited));
    if (host.kernel || host.time) {
      parts.push(make("p", { class: "note" }, [host.os, host.kernel, host.time === null ? null : moment(host.time), host.groups.length ? `${say("groups")}: ${host.groups.join(", ")}` : null]
        .filter(Boolean).join(" · ")));
    }
    if (pairs.length) {
      const columns = [["verdict", "col-verdict"], ["control", "col-control"], ["fact", "col-fact"], ["expected"], ...(compared ? [["before"], ["now"]] : [["actual"]])];
      parts.push(table(say("host_results", { host: host.name }), true, columns, [...pairs].sort(byVerdict).map((pair) =>
        resultBody(pair, compared, (rows) => [verdictCell(pair, rows), controlHead(pair.outcome, rows)], () => []))));
    }
    if (host.problems.length) {
      parts.push(make("table", {}, make("caption", {}, say("problems")),
        make("thead", {}, make("tr", {}, ["file", "line", "problem"].map((key) => make("th", { scope: "col" }, say(key))))),
        make("tbody", {}, host.problems.map(([file, line, problem]) => make("tr", {}, make("th", { scope: "row" }, file),
          make("td", {}, line === null ? "–" : String(line)), make("td", {}, problem))))));
    }
    return parts;
  }

  function hostGroups(found) {
    return found.map((entry) => ({ ...entry, name: entry.host.name, counts: count(entry.pairs) })).sort(worstFirst).map((entry) => () =>
      group(`host:${entry.name}`, [
        make("span", { class: "name" }, entry.name),
        make("span", { class: "about" }, entry.unaudited ? entry.host.unaudited : entry.host.os || ""),
        entry.unaudited ? badge("unaudited") : badges(entry.counts),
      ], () => hostBody(entry)));
  }

  function hostNames(pairs) {
    const names = pairs.map((pair) => pair.host.name).sort(compareText);
    if (names.length <= NAMES) return make("span", {}, names.join(", "));
    return make("span", {}, `${names.slice(0, NAMES).join(", ")} `,
      make("details", { class: "some", open: state.printing }, make("summary", {}, say("and_more", { count: number(names.length - NAMES) })), names.slice(NAMES).join(", ")));
  }

  // One control over all hosts: hosts with the same answer share a row.
  function controlTable(pairs) {
    const compared = Boolean(data.before);
    const alike = groupBy(pairs, (pair) => `${pair.outcome.index}/${pair.before ? pair.before.index : ""}`);
    const rows = [...alike.values()].sort((a, b) => byVerdict(a[0], b[0]) || b.length - a.length);
    const control = pairs[0].outcome.control;
    const columns = [["verdict", "col-verdict"], ["fact", "col-fact"], ["expected"], ...(compared ? [["before"], ["now"]] : [["actual"]]), ["hosts", "col-hosts"]];
    const result = table("", false, columns, []);
    result.caption.append(make("span", { class: "control" }, make("span", { class: "id" }, control.id), " ", title(control),
      make("small", {}, `${say("severity")}: ${say(control.severity)} · ${area(control.area)}`)));
    const draw = (same) => resultBody(same[0], compared, (span) => [verdictCell(same[0], span)], (span) => [
      make("td", { role: "cell", rowspan: span, class: "hosts", "data-label": say("hosts") }, make("span", {}, `${number(same.length)} · `, hostNames(same), remarks(same[0].outcome))),
    ]);
    const wrapper = make("div", {}, result);
    some(result, wrapper, rows, ROWS, draw);
    return wrapper;
  }

  // Groups of controls: `keys` names the groups a control belongs to, `label` the group's name and what it is about.
  function controlGroups(found, kind, keys, label) {
    const keyed = found.flatMap((entry) => entry.pairs).flatMap((pair) => keys(pair.outcome.control).map((key) => ({ key, pair })));
    const groups = [...groupBy(keyed, (item) => item.key)].map(([name, items]) => ({ name, pairs: items.map((item) => item.pair) }));
    return groups.map((entry) => ({ ...entry, counts: count(entry.pairs) })).sort(worstFirst).map((entry) => () => {
      const [name, about] = label(entry.name);
      const english = state.language !== "en" && about !== "" && about === data.clauses[entry.name];
      return group(`${kind}:${entry.name}`, [
        make("span", { class: "name" }, name),
        make("span", { class: "about", lang: english ? "en" : null }, about),
        badges(entry.counts),
      ], () => [...groupBy(entry.pairs, (pair) => pair.outcome.control.id)]
        .map(([id, pairs]) => ({ name: id, pairs, counts: count(pairs) })).sort(worstFirst)
        .map((control) => controlTable(control.pairs)));
    });
  }

  const VIEWS = {
    host: hostGroups,
    area: (found) => controlGroups(found, "area", (control) => [control.area], (key) => [area(key), ""]),
    clause: (found) => controlGroups(found, "clause", (control) => (control.clauses.length ? control.clauses : [""]),
      (key) => (key === "" ? [say("no_clause"), ""] : [key, data.clauses[key] || say("unknown_clause")])),
  };

  // ---- page ---------------------------------------------------------------------------------------------------

  function drawOverview() {
    const box = $("overview");
    const all = data.hosts.flatMap((host) => host.pairs);
    const counts = count(all);
    const unaudited = data.hosts.filter((host) => host.unaudited !== null).length;
    const unmet = data.hosts.filter((host) => host.pairs.some((pair) => ["fail", "error"].includes(pair.outcome.verdict))).length;
    const tile = (name, amount, kind) => make("li", { class: `tile ${kind || ""}` }, make("span", { class: "number" }, number(amount)), make("span", { class: "name" }, name));
    const parts = [
      make("ul", { class: "tiles large" }, tile(say("hosts_unmet"), unmet, unmet ? "fail" : ""), tile(say("unaudited"), unaudited, unaudited ? "error" : ""),
        tile(say("hosts_met"), data.hosts.length - unmet - unaudited, "pass")),
      make("ul", { class: "tiles" }, VERDICTS.map((verdict) => tile(`${SYMBOLS[verdict]} ${say(verdict)}`, counts[verdict], counts[verdict] ? verdict : ""))),
    ];
    const bar = make("div", { class: "bar", "aria-hidden": "true" });
    for (const verdict of VERDICTS.filter((kind) => counts[kind])) {
      const part = make("span", { class: verdict });
      part.style.flexGrow = counts[verdict];
      bar.append(part);
    }
    parts.push(bar);
    if (data.before) {
      const changes = Object.fromEntries(data.changes.map((change) => [change, 0]));
      for (const pair of all) changes[pair.change] += 1;
      parts.push(make("p", { class: "compared" }, `${say("compared")}: ${data.before.id} (${moment(data.before.started)})`),
        make("ul", { class: "tiles" }, data.changes.map((change) => tile(`${SYMBOLS[change]} ${say(change)}`, changes[change], { regressed: "fail", fixed: "pass" }[changes[change] ? change : ""]))));
      const gone = Object.entries(data.gone).map(([host, ids]) => `${host} (${ids.join(", ")})`);
      if (gone.length) parts.push(make("p", { class: "gone" }, make("strong", {}, say("gone")), `: ${gone.slice(0, 20).join("; ")}${gone.length > 20 ? ` … ${say("and_more", { count: number(gone.length - 20) })}` : ""}`));
    }
    box.replaceChildren(...parts);
  }

  function drawFilters() {
    $("verdicts").replaceChildren(...KINDS.map((kind) => {
      const input = make("input", { type: "checkbox", value: kind, checked: state.verdicts.has(kind) });
      return make("label", { class: "chip", title: say(`${kind}_help`) }, input, make("span", { "aria-hidden": "true" }, SYMBOLS[kind]), say(kind));
    }));
    $("change-field").hidden = !data.before;
    $("change").replaceChildren(make("option", { value: "" }, say("any_change")),
      ...data.changes.map((change) => make("option", { value: change, selected: state.change === change }, say(change))));
  }

  function drawResults() {
    const found = matches();
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const current = tab.dataset.view === state.view;
      tab.setAttribute("aria-selected", String(current));
      tab.tabIndex = current ? 0 : -1;
      const panel = $(tab.getAttribute("aria-controls"));
      panel.hidden = !current;
      panel.replaceChildren();
    }
    const panel = $(`view-${state.view}`);
    const missing = found.filter((entry) => entry.unaudited);
    if (state.view !== "host" && missing.length) {
      panel.append(make("p", { class: "unaudited-list" }, make("strong", {}, say("unaudited_list")), " ", hostNames(missing)));
    }
    const groups = VIEWS[state.view](found);
    if (!groups.length) panel.append(make("p", { class: "note" }, say("nothing")));
    const list = make("div", {});
    panel.append(list);
    some(list, panel, groups, GROUPS, (drawGroup) => drawGroup());
    const results = found.reduce((sum, entry) => sum + entry.pairs.length, 0);
    $("shown").textContent = say("shown", { results: number(results), hosts: number(found.length) });
  }

  function drawTexts() {
    document.documentElement.lang = state.language;
    document.title = `${say("title")} · ${data.run.id}`;
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
    drawResults();
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

  function show(view) {
    state.view = view;
    drawResults();
  }

  document.querySelector(".languages").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    state.language = button.dataset.language;
    remembered(state.language);
    draw();
  });

  const tabs = [...document.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => show(tab.dataset.view));
    tab.addEventListener("keydown", (event) => {
      const target = { ArrowRight: index + 1, ArrowLeft: index - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
      if (target === undefined) return;
      event.preventDefault();
      const next = tabs[target % tabs.length];
      show(next.dataset.view);
      next.focus();
    });
  });

  let waiting = 0;
  $("query").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      state.query = $("query").value;
      drawResults();
    }, 150);
  });
  $("verdicts").addEventListener("change", (event) => {
    state.verdicts[event.target.checked ? "add" : "delete"](event.target.value);
    drawResults();
  });
  $("change").addEventListener("change", () => {
    state.change = $("change").value;
    drawResults();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", (event) => {
    event.preventDefault();
    $("query").value = "";
    Object.assign(state, { query: "", change: "", verdicts: new Set(KINDS) });
    drawFilters();
    drawResults();
  });
  window.addEventListener("hashchange", () => {
    const language = new URLSearchParams(location.hash.slice(1)).get("lang");
    if (language && Object.hasOwn(data.texts, language)) {
      state.language = language;
      draw();
    }
  });
  window.addEventListener("beforeprint", () => {
    state.printing = true;
    drawResults();
  });
  window.addEventListener("afterprint", () => {
    state.printing = false;
    drawResults();
  });

  state.language = firstLanguage();
  document.documentElement.classList.add("scripted");
  draw();
})();
