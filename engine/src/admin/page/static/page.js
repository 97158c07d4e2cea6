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
let pressed = false;

async function refresh() {
    const live = document.querySelector("[data-live]");
    if (!live || fetching || pressed || document.hidden || !getSelection().isCollapsed) return;
    fetching = true;
    try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (!answer.ok) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("[data-live]");
        if (!fresh || pressed) return;
        makeSortable(fresh);
        become(live, fresh);
    } catch { /* the engine is away; the next event tells more */ } finally {
        fetching = false;
    }
}

// Makes one tree like another and leaves what is so already: the cursor, what is open, what is read aloud.
function become(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) {
        if (old.data !== fresh.data) old.data = fresh.data;
        return;
    }
    if (old.isEqualNode(fresh)) return;
    const here = old.classList.contains("here");
    for (const { name } of [...old.attributes]) {
        if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
        if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (here) old.classList.add("here");
    const [were, are] = [[...old.childNodes], [...fresh.childNodes]];
    for (let place = 0; place < Math.max(were.length, are.length); place += 1) {
        if (!are[place]) were[place].remove();
        else if (!were[place]) old.append(are[place]);
        else become(were[place], are[place]);
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
    for (const event of ["pointerdown", "pointerup", "pointercancel"]) {
        document.addEventListener(event, () => { pressed = event === "pointerdown"; });
    }
});
