// SPDX-License-Identifier: BSL-1.0
// Looks for all words of the query, in headings first. INDEX: [page, heading, address, text].
const box = document.getElementById("search");
const results = document.getElementById("results");
const article = document.querySelector("article");

function score(entry, words) {
    const heading = (entry[0] + " " + entry[1]).toLowerCase();
    const own = entry[1].toLowerCase();
    const text = entry[3].toLowerCase();
    let sum = 0;
    for (const word of words) {
        if (own === word) sum += 60;
        else if (own.endsWith("::" + word)) sum += 40;
        else if (own.includes(word)) sum += 20;
        else if (heading.includes(word)) sum += 10;
        else if (text.includes(word)) sum += 1 + Math.min(4, text.split(word).length - 1);
        else return 0;
    }
    return sum - (entry[0] === "Reference" ? 5 : 0);
}

function excerpt(text, words) {
    const at = Math.max(0, Math.min(...words.map(word => text.toLowerCase().indexOf(word)).filter(i => i >= 0)) - 60);
    return Number.isFinite(at) ? (at > 0 ? "… " : "") + text.slice(at, at + 200) : text.slice(0, 200);
}

// Text only, never HTML: what is found is shown as it is, with the words marked.
function marked(element, text, words) {
    const wanted = words.map(word => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
    for (const [i, part] of text.split(new RegExp("(" + wanted + ")", "i")).entries()) {
        const piece = document.createElement(i % 2 ? "mark" : "span");
        piece.textContent = part;
        element.append(piece);
    }
}

function search() {
    const words = box.value.toLowerCase().split(/\s+/).filter(word => word);
    results.hidden = words.length === 0;
    article.hidden = words.length !== 0;
    results.replaceChildren();
    if (!words.length) return;
    const found = INDEX.map(entry => [score(entry, words), entry]).filter(([points]) => points > 0)
        .sort((a, b) => b[0] - a[0]);
    const count = document.createElement("p");
    count.textContent = found.length + (found.length === 1 ? " place" : " places");
    results.append(count);
    for (const [, entry] of found.slice(0, 40)) {
        const link = document.createElement("a");
        link.href = UP + entry[2];
        const where = document.createElement("b");
        marked(where, entry[1], words);
        const page = document.createElement("small");
        page.textContent = " " + entry[0];
        const text = document.createElement("div");
        marked(text, excerpt(entry[3], words), words);
        link.append(where, page, text);
        link.addEventListener("click", () => { box.value = ""; search(); });
        results.append(link);
    }
}

box.addEventListener("input", search);
document.addEventListener("keydown", event => {
    if (event.key === "/" && document.activeElement !== box) { event.preventDefault(); box.focus(); }
    if (event.key === "Escape") { box.value = ""; search(); box.blur(); }
    if (event.key === "Enter" && document.activeElement === box) results.querySelector("a")?.click();
});
const asked = decodeURIComponent(location.hash.match(/^#search=(.*)/)?.[1] ?? "");
if (asked) { box.value = asked; search(); }
