// Sorting by a click on a heading, a filter for long tables, and what is folded unfolded for paper.
// No library, works offline.
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
    });
  });
  const filter = table.closest("section, body").querySelector("input[type=search]");
  filter?.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
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
