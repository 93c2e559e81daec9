// Sorting by a click on a heading, a filter for long tables, pages of very long ones, and what is
// folded unfolded for paper. No library, works offline.
const ROWS = 50; // of a page
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const ascending = heading.ariaSort !== "ascending";
      for (const other of headings) other.ariaSort = null;
      heading.ariaSort = ascending ? "ascending" : "descending";
      const numeric = heading.classList.contains("number");
      const key = (row) => {
        const value = row.cells[column].dataset.key;
        return numeric ? (value === "" ? NaN : Number(value)) : value;
      };
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (numeric && (isNaN(a) || isNaN(b))) return isNaN(a) - isNaN(b); // empty ones last
        const order = numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
        return ascending ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
      show(0);
    });
  });
  const filter = table.closest("section, body").querySelector("input[type=search]");
  const paged = body.rows.length > 2 * ROWS;
  let first = 0;
  let words = [];
  let pages;
  // Shows what the filter lets through, of a very long table a page of it from one row on.
  function show(from) {
    const found = [];
    for (const row of body.rows) {
      const text = words.length ? row.textContent.toLowerCase() : "";
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) found.push(row);
    }
    if (!paged) return;
    first = Math.max(0, Math.min(from, ROWS * Math.floor((found.length - 1) / ROWS)));
    found.forEach((row, at) => (row.hidden = at < first || at >= first + ROWS));
    const last = Math.min(first + ROWS, found.length);
    const [back, where, on] = pages.children;
    where.textContent = found.length ? `rows ${first + 1} to ${last} of ${found.length}` : "no rows";
    back.disabled = first === 0;
    on.disabled = last === found.length;
  }
  if (paged) {
    pages = document.createElement("nav");
    pages.className = "pages";
    pages.ariaLabel = "pages of the table";
    const button = (text, step) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = text;
      made.addEventListener("click", () => show(first + step));
      return made;
    };
    const where = document.createElement("span");
    where.role = "status";
    pages.append(button("previous", -ROWS), where, button("next", ROWS));
    (table.closest(".scroll") ?? table).after(pages);
    show(0);
  }
  filter?.addEventListener("input", () => {
    words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    show(0);
  });
}
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not([open], .settings)")) {
    folded.open = true;
    folded.dataset.printed = "";
  }
});
addEventListener("afterprint", () => {
  for (const folded of document.querySelectorAll("details[data-printed]")) {
    folded.open = false;
    delete folded.dataset.printed;
  }
});
