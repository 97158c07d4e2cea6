// The page is whole without this. It brings views up to date, sorts tables and takes keys.
"use strict";

const root = document.documentElement;
root.classList.add("scripted");

const theme = {
    read: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    keep: (value) => { try { localStorage.setItem("theme", value); } catch { /* for this page only */ } },
    show: (value) => { if (value === "light" || value === "dark") root.dataset.theme = value; },
    turn() {
        const dark = root.dataset.theme
            ? root.dataset.theme === "dark"
            : matchMedia("(prefers-color-scheme: dark)").matches;
        const next = dark ? "light" : "dark";
        theme.show(next);
        theme.keep(next);
    },
};
theme.show(theme.read());

// Tables ------------------------------------------------------------------------------------------

const collator = new Intl.Collator(undefined, { numeric: true });
const orders = new Map();

function cellValue(row, column) {
    const cell = row.cells[column];
    return cell?.dataset.sort ?? cell?.textContent.trim() ?? "";
}

function sort(table, column, down) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const sign = down ? -1 : 1;
    rows.sort((a, b) => sign * collator.compare(cellValue(a, column), cellValue(b, column)));
    body.append(...rows);
    for (const [place, head] of [...table.tHead.rows[0].cells].entries()) {
        if (place === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
    }
}

function makeSortable(within) {
    for (const table of within.querySelectorAll("table")) {
        const name = table.caption?.textContent;
        for (const [place, head] of [...(table.tHead?.rows[0].cells ?? [])].entries()) {
            const title = head.textContent.trim();
            if (title === "Choose" || title === "Order" || title === "New value") continue;
            const button = document.createElement("button");
            button.type = "button";
            button.textContent = title;
            button.dataset.focus = `${name}/${title}`;
            button.addEventListener("click", () => {
                const figures = head.classList.contains("figure");
                const was = head.getAttribute("aria-sort");
                const down = was ? was === "ascending" : figures;
                orders.set(name, [place, down]);
                sort(table, place, down);
            });
            head.replaceChildren(button);
        }
        const order = orders.get(name);
        if (order) sort(table, ...order);
    }
}

function makeChoosable() {
    for (const head of document.querySelectorAll("thead th")) {
        if (head.textContent !== "Choose") continue;
        const all = document.createElement("input");
        all.type = "checkbox";
        all.setAttribute("aria-label", "Choose all of this page");
        all.addEventListener("change", () => {
            for (const box of head.closest("table").querySelectorAll("tbody input[name=id]")) box.checked = all.checked;
        });
        head.replaceChildren(all);
    }
}

// Live --------------------------------------------------------------------------------------------

let fetching = false;

function label(element) {
    if (!element) return null;
    return element.dataset?.focus ?? element.getAttribute?.("aria-label") ?? element.getAttribute?.("href");
}

async function refresh() {
    const live = document.querySelector("[data-live]");
    if (!live || fetching || document.hidden || document.querySelector("dialog[open]")) return;
    if (live.querySelector("details[open]:focus-within, input:focus, select:focus")) return;
    if (!getSelection().isCollapsed) return;
    fetching = true;
    try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (!answer.ok) return;
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
        if (fresh) replace(live, fresh);
    } catch { /* the engine is away; the next event tells more */ } finally {
        fetching = false;
    }
}

function replace(live, fresh) {
    const focused = live.contains(document.activeElement) ? label(document.activeElement) : null;
    const scrolled = new Map([...live.querySelectorAll(".scroll")].map((it) => [label(it), it.scrollLeft]));
    const opened = new Set([...live.querySelectorAll("details[open]")].map((it) => it.id));
    // What is read aloud changes only when its words do.
    const news = live.querySelector("[aria-live]");
    const freshNews = fresh.querySelector("[aria-live]");
    if (news && freshNews && news.innerHTML === freshNews.innerHTML) freshNews.replaceWith(news);
    makeSortable(fresh);
    live.replaceChildren(...fresh.childNodes);
    for (const it of live.querySelectorAll(".scroll")) it.scrollLeft = scrolled.get(label(it)) ?? 0;
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    if (focused) {
        [...live.querySelectorAll("a, button, [tabindex], summary")].find((it) => label(it) === focused)?.focus({ preventScroll: true });
    }
}

function listen() {
    if (!document.querySelector("[data-live]")) return;
    const source = new EventSource("/api/v1/live");
    source.addEventListener("overview", refresh);
    // Streams are few: whoever gets none looks now and then.
    source.addEventListener("error", () => {
        if (source.readyState === EventSource.CLOSED) setInterval(refresh, 10_000);
    });
    addEventListener("pagehide", () => source.close());
}

// Keys --------------------------------------------------------------------------------------------

let going = 0;

function rows() {
    return [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a"));
}

function step(by) {
    const all = rows();
    if (all.length === 0) return;
    const now = all.findIndex((row) => row.classList.contains("here"));
    const next = all[Math.min(all.length - 1, Math.max(0, now + by))];
    all[now]?.classList.remove("here");
    next.classList.add("here");
    next.querySelector("a").focus();
}

function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) {
        if (event.key === "Escape") event.target.blur();
        return;
    }
    const dialog = document.getElementById("help");
    if (dialog.open) return;
    if (going && Date.now() - going < 1500) {
        going = 0;
        const link = document.querySelector(`header nav a[data-key="${CSS.escape(event.key)}"]`);
        if (link) {
            event.preventDefault();
            link.click();
        }
        return;
    }
    const filters = document.querySelector("#filters input");
    const does = {
        g: () => { going = Date.now(); },
        j: () => step(1),
        k: () => step(-1),
        t: theme.turn,
        "?": () => dialog.showModal(),
        "/": () => (filters ? filters.focus() : location.assign("/queue")),
    }[event.key];
    if (does) {
        event.preventDefault();
        does();
    }
}

document.addEventListener("DOMContentLoaded", () => {
    makeChoosable();
    makeSortable(document);
    listen();
    for (const button of document.querySelectorAll("[data-do]")) {
        const does = { theme: theme.turn, help: () => document.getElementById("help").showModal() };
        button.addEventListener("click", does[button.dataset.do]);
    }
    document.addEventListener("keydown", onKey);
});
