"use strict";
const history = new Map();
const LONGEST = 120;

function cell(row, text, kind) {
  const made = document.createElement("td");
  made.textContent = text;
  if (kind) made.className = kind;
  row.append(made);
  return made;
}

function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 1 ? (seconds * 1000).toPrecision(3) + " ms" : seconds.toPrecision(3) + " s";
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return whole + " s";
  if (whole < 3600) return Math.floor(whole / 60) + " min " + (whole % 60) + " s";
  return Math.floor(whole / 3600) + " h " + Math.floor((whole % 3600) / 60) + " min";
}

function line(values) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("width", "120");
  picture.setAttribute("height", "20");
  picture.setAttribute("role", "img");
  const most = Math.max(...values, 1e-9);
  picture.setAttribute("aria-label", "requests per second, at most " + most.toFixed(1));
  const drawn = document.createElementNS(space, "polyline");
  drawn.setAttribute("points", values.map((value, at) => at * (120 / LONGEST) + "," + (19 - (value / most) * 18)).join(" "));
  picture.append(drawn);
  return picture;
}

function endpoints(rates) {
  const body = document.getElementById("endpoints");
  const rows = rates.map((rate) => {
    const key = rate.service + "\n" + rate.endpoint;
    const values = history.get(key) || [];
    values.push(rate.requests);
    while (values.length > LONGEST) values.shift();
    history.set(key, values);
    const row = document.createElement("tr");
    cell(row, rate.service);
    cell(row, rate.endpoint);
    cell(row, rate.requests.toFixed(1), "number");
    cell(row, rate.failures.toFixed(1), rate.failures > 0 ? "number bad" : "number");
    cell(row, String(rate.running), "number");
    for (const part of [rate.p50, rate.p90, rate.p99]) cell(row, time(part), "number");
    cell(row, "").append(line(values));
    return row;
  });
  body.replaceChildren(...rows);
}

function workers(list) {
  const rows = list.map((worker) => {
    const row = document.createElement("tr");
    cell(row, worker.worker);
    cell(row, worker.state, worker.state === "ready" ? "good" : "bad");
    cell(row, worker.pid ? String(worker.pid) : "–", "number");
    cell(row, worker.pid ? duration(worker.seconds) : "–", "number");
    cell(row, String(worker.restarts), worker.restarts ? "number bad" : "number");
    cell(row, worker.devices || "–");
    cell(row, worker.http || "–");
    return row;
  });
  document.getElementById("workers").replaceChildren(...rows);
  const ready = new Map();
  for (const worker of list) ready.set(worker.service, (ready.get(worker.service) || 0) + (worker.state === "ready" ? 1 : 0));
  for (const box of document.querySelectorAll("[data-service]")) {
    box.classList.toggle("down", ready.get(box.dataset.service) === 0);
  }
}

function gauges(list) {
  document.getElementById("gauges-section").hidden = list.length === 0;
  const rows = list.map((gauge) => {
    const row = document.createElement("tr");
    cell(row, gauge.worker);
    cell(row, gauge.name);
    cell(row, String(gauge.value), "number");
    return row;
  });
  document.getElementById("gauges").replaceChildren(...rows);
}

function logs(lines) {
  const wanted = document.getElementById("filter").value;
  const place = document.getElementById("logs");
  const below = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  place.textContent = lines.filter((text) => text.includes(wanted)).join("\n");
  if (below) place.scrollTop = place.scrollHeight;
}

async function turn() {
  const state = document.getElementById("state");
  try {
    const answer = await fetch("state.json", { cache: "no-store" });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    const up = found.workers.filter((worker) => worker.state === "ready").length;
    state.textContent = up + " of " + found.workers.length + " workers ready";
    state.className = up === found.workers.length ? "good" : "bad";
    endpoints(found.rates);
    workers(found.workers);
    gauges(found.gauges);
    logs(found.logs);
  } catch (error) {
    state.textContent = "the graph does not answer: " + error.message;
    state.className = "bad";
  }
  setTimeout(turn, 1000);
}

turn();
