// Keeps an open page fresh. The page is whole without it; this adds live parts and charts.
"use strict";
(() => {
  const page = document.body;
  const byId = (id) => document.getElementById(id);
  const REFRESH_MS = 200; // several events in a burst make one request
  const TICK_MS = 10_000; // what a job has taken so far grows though nothing happens
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const SERIES = {
    light: ["#0b7285", "#c2410c", "#6741d9", "#2b8a3e", "#a61e4d", "#1864ab", "#846358"],
    dark: ["#58c4d6", "#ff9f6b", "#b197fc", "#8ce99a", "#faa2c1", "#74c0fc", "#d0bfb0"],
  };

  // -- times in the reader's own zone ------------------------------------------------------------------------------
  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      const today = moment.toDateString() === new Date().toDateString();
      time.textContent = today
        ? moment.toLocaleTimeString()
        : moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
      time.title = moment.toLocaleString();
    }
  };

  // -- forms -------------------------------------------------------------------------------------------------------
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  const self = document.querySelector("form[data-send]");
  if (self) self.requestSubmit();

  // -- parts of the page that changed ------------------------------------------------------------------------------
  const placeOf = (element) => {
    const href = element.getAttribute("href");
    if (href) return `[href="${CSS.escape(href)}"]`;
    const action = element.form?.getAttribute("action");
    return action ? `form[action="${CSS.escape(action)}"] ${element.localName}` : null;
  };

  const replacePart = (name, html) => {
    const part = document.querySelector(`[data-part="${name}"]`);
    if (!part || part.dataset.html === html) return;
    if (part.querySelector(".decide") && html.includes('name="digest"')) return; // nobody decides about what they did not read
    const list = part.querySelector(".events");
    const top = list ? list.scrollTop : 0;
    const focused = part.contains(document.activeElement) ? placeOf(document.activeElement) : null;
    part.innerHTML = html; // made and escaped by our own server
    part.dataset.html = html;
    localTimes(part);
    const newList = part.querySelector(".events");
    if (newList) newList.scrollTop = top;
    if (focused) part.querySelector(focused)?.focus();
  };

  // -- charts ------------------------------------------------------------------------------------------------------
  const charts = new Map(); // "task name" -> {figure, plot, series: Map(address -> Map(step -> value))}
  let newestMetric = 0; // what was asked for goes up to it
  let newestShown = 0;
  const shown = (name) => name.replaceAll("_", " ");
  const baseName = (name) => name.replace(/^(validate|validation|val|test|train)_/, "");

  const addMetrics = (told) => {
    const touched = new Set();
    const rows = told.filter((row) => Number.isFinite(row.value)); // a text is a number that no chart has
    for (const row of rows) {
      const key = `${row.task} ${baseName(row.name)}`;
      if (!charts.has(key)) charts.set(key, { task: row.task, name: baseName(row.name), series: new Map() });
      const chart = charts.get(key);
      const line = `${row.name} ${row.role}:${row.party}`;
      if (!chart.series.has(line)) chart.series.set(line, { name: row.name, address: `${row.role}:${row.party}`, points: new Map() });
      chart.series.get(line).points.set(row.step, row.value);
      touched.add(key);
    }
    for (const key of touched) draw(charts.get(key));
    if (rows.length) tellLatest(rows);
  };

  const lines = (chart) => {
    // Common metrics are reported alike by every trainer: one line for all that agree.
    const found = [];
    for (const series of chart.series.values()) {
      const same = found.find((line) => line.name === series.name && agrees(line.points, series.points));
      if (same) {
        same.addresses.push(series.address);
        if (series.points.size > same.points.size) same.points = series.points;
      } else {
        found.push({ name: series.name, addresses: [series.address], points: series.points });
      }
    }
    return found;
  };
  const agrees = (a, b) => {
    for (const [step, value] of a) if (b.has(step) && b.get(step) !== value) return false;
    return true;
  };

  // A chart is as large as its card, which shrinks as soon as another one stands beside it.
  const sizes = new ResizeObserver((changes) => {
    window.requestAnimationFrame(() => {
      for (const { target } of changes) if (target.isConnected && target.data) Plotly.Plots.resize(target);
    });
  });

  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // the chart library reads tags

  const draw = (chart) => {
    const found = lines(chart);
    const steps = Math.max(...found.map((line) => line.points.size));
    if (steps < 2 || typeof Plotly === "undefined") return; // a single value is a tile, not a chart
    if (!chart.plot) makeFigure(chart);
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--dim").trim();
    const grid = style.getPropertyValue("--line").trim();
    const colours = dark.matches ? SERIES.dark : SERIES.light;
    const traces = found.map((line, i) => {
      const points = [...line.points].sort((a, b) => a[0] - b[0]);
      const alone = found.filter((other) => other.name === line.name).length === 1;
      return {
        x: points.map((point) => point[0]),
        y: points.map((point) => point[1]),
        name: plain(alone ? shown(line.name) : `${shown(line.name)} · ${line.addresses.join(", ")}`),
        mode: points.length > 60 ? "lines" : "lines+markers",
        line: { color: colours[i % colours.length], width: 2.5, shape: "linear", dash: line.name === chart.name ? "solid" : "dot" },
        marker: { size: 6 },
        hovertemplate: "round %{x}: %{y:.5g}<extra>%{fullData.name}</extra>",
      };
    });
    const axis = { gridcolor: grid, linecolor: grid, zeroline: false, automargin: true, fixedrange: true };
    Plotly.react(
      chart.plot,
      traces,
      {
        margin: { l: 48, r: 12, t: 8, b: 40 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: ink, family: "system-ui, sans-serif", size: 12 },
        xaxis: { ...axis, title: { text: "round" }, tickformat: "d" },
        yaxis: axis,
        showlegend: traces.length > 1,
        legend: { orientation: "h", y: 1.12 },
        hovermode: "x unified",
        hoverlabel: { font: { size: 12 } },
      },
      { displayModeBar: false },
    );
    const last = found[0].points;
    const step = Math.max(...last.keys());
    chart.plot.setAttribute("aria-label", `${shown(chart.name)} of ${chart.task} by round; round ${step}: ${last.get(step).toPrecision(4)}`);
  };

  const makeFigure = (chart) => {
    const figure = document.createElement("figure");
    figure.className = "card chart";
    const caption = document.createElement("figcaption");
    caption.textContent = shown(chart.name);
    const task = document.createElement("span");
    task.className = "dim";
    task.textContent = ` ${chart.task}`;
    caption.append(task);
    chart.plot = document.createElement("div");
    chart.plot.className = "plot";
    chart.plot.setAttribute("role", "img");
    figure.append(caption, chart.plot);
    byId("charts").append(figure);
    sizes.observe(chart.plot);
    byId("no-charts").hidden = true;
  };

  const tellLatest = (rows) => {
    const newest = rows[rows.length - 1];
    if (newest.id < newestShown) return; // an answer that the stream has overtaken
    newestShown = newest.id;
    const same = rows.filter((row) => row.task === newest.task && row.step === newest.step);
    const values = new Map(same.map((row) => [row.name, row.value]));
    const text = [...values].map(([name, value]) => `${shown(name)} ${value.toFixed(4)}`).join(", ");
    const latest = byId("latest");
    const ofTask = [...charts.values()].filter((chart) => chart.task === newest.task);
    const rounds = ofTask.some((chart) => [...chart.series.values()].some((series) => series.points.size > 1));
    latest.textContent = `${newest.task}${rounds ? `, round ${newest.step}` : ""}: ${text}`;
    latest.hidden = false;
  };

  // -- the stream --------------------------------------------------------------------------------------------------
  const connection = byId("connection");
  const tell = (text, on) => {
    if (!connection) return;
    if (connection.textContent !== text) connection.textContent = text;
    connection.classList.toggle("on", on);
  };

  let timer = 0;
  let busy = false;
  let again = false;
  const leave = new AbortController(); // who logs out asks for nothing more
  document.querySelector("form.who")?.addEventListener("submit", () => leave.abort());
  const refreshSoon = () => {
    if (!timer && !leave.signal.aborted) timer = window.setTimeout(refresh, REFRESH_MS);
  };
  const refresh = async () => {
    timer = 0;
    if (leave.signal.aborted) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const url = new URL(page.dataset.live, location.href);
      if (byId("charts")) url.searchParams.set("metrics_since", newestMetric);
      const answer = await fetch(url, { headers: { Accept: "application/json" }, signal: leave.signal });
      if (answer.status === 401) {
        location.assign("/login");
        return;
      }
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = await answer.json();
      for (const [name, html] of Object.entries(fresh.parts)) replacePart(name, html);
      if (fresh.metrics) addMetrics(fresh.metrics);
      newestMetric = fresh.metrics?.at(-1)?.id ?? newestMetric;
    } catch {
      tell("The party does not answer; trying again…", false);
      window.setTimeout(refreshSoon, 2000);
    } finally {
      busy = false;
      if (again) {
        again = false;
        refreshSoon();
      }
    }
  };

  let newestEvent = "";
  const listen = () => {
    const url = new URL(page.dataset.stream, location.href);
    if (newestEvent) url.searchParams.set("since", newestEvent);
    const stream = new EventSource(url);
    stream.onopen = () => {
      tell("live", true);
      refreshSoon(); // whatever was missed while it was closed
    };
    stream.onmessage = (message) => {
      newestEvent = message.lastEventId;
      if (byId("charts")) addMetrics(JSON.parse(message.data).metrics);
      refreshSoon();
    };
    stream.addEventListener("closed", () => {
      stream.close();
      window.location.reload(); // the login, or the page without what one may no longer see
    });
    stream.addEventListener("end", () => {
      stream.close();
      tell("ended", false);
      refreshSoon();
    });
    stream.onerror = () => {
      tell("Connection lost; trying again…", false);
      if (stream.readyState === EventSource.CLOSED) window.setTimeout(listen, 3000);
    };
    window.addEventListener("pagehide", () => stream.close(), { once: true });
    leave.signal.addEventListener("abort", () => stream.close());
  };

  localTimes(document);
  if (page.dataset.live && byId("charts")) refresh();
  if (page.dataset.stream) listen();
  window.setInterval(() => {
    if (!document.hidden && document.querySelector("[data-going]")) refreshSoon();
  }, TICK_MS);
  const drawAll = () => {
    for (const chart of charts.values()) draw(chart);
  };
  dark.addEventListener("change", drawAll);
  byId("plotly")?.addEventListener("load", drawAll); // it is large: everything else goes on meanwhile
})();
