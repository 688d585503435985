"use strict";
// Tables: a header sorts, a field filters, a list hides columns. Of a long table, the first rows are drawn.
const SHOWN = 200;

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function startTable(scroll) {
  const table = scroll.querySelector("table"), body = table.tBodies[0], headers = [...table.tHead.rows[0].cells];
  const original = [...body.rows];
  let rows = original, shown = SHOWN, words = "";
  const texts = new Map();
  const text = row => texts.get(row) ?? texts.set(row, row.textContent.toLowerCase()).get(row);

  const count = element("span"), more = element("button", { type: "button" });
  count.setAttribute("role", "status");
  more.onclick = () => { shown = Infinity; draw(); };

  function draw() {
    const found = rows.filter(row => words.split(/\s+/).every(word => text(row).includes(word)));
    for (const row of rows) row.hidden = true;
    found.forEach((row, place) => { row.hidden = place >= shown; });
    body.append(...rows);
    count.textContent = found.length < rows.length ? `${found.length} of ${rows.length} rows` : "";
    more.hidden = found.length <= shown;
    more.textContent = `Show all ${found.length} rows`;
  }

  function value(row, column, isText) {
    const cell = row.cells[column].textContent;
    if (isText) return cell === "–" ? null : cell;
    const number = parseFloat(cell.replace("−", "-"));
    return Number.isNaN(number) ? null : number;
  }

  function sort(column) {
    const header = headers[column], isText = header.matches(".text, .name");
    const first = isText ? "ascending" : "descending", second = isText ? "descending" : "ascending";
    const order = header.getAttribute("aria-sort") === first ? second : first;
    headers.forEach(each => each.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1, letters = new Intl.Collator(undefined, { numeric: true });
    const keys = new Map(original.map(row => [row, value(row, column, isText)]));
    rows = [...original].sort((one, other) => {
      const a = keys.get(one), b = keys.get(other);
      if (a === null || b === null) return (a === null) - (b === null); // what is unknown stays last
      return sign * (isText ? letters.compare(a, b) : a - b);
    });
    draw();
  }

  headers.forEach((header, column) => {
    const button = element("button", { type: "button" }, ...header.childNodes);
    button.onclick = () => sort(column);
    header.append(button);
  });
  scroll.before(tools(table, headers, original, given => { words = given; draw(); }, count));
  scroll.after(more);
  draw();
  keepInSight(scroll, table, headers);
}

function tools(table, headers, rows, filter, count) {
  const box = element("div", { className: "tools" });
  if (rows.length > 3) {
    const field = element("input", { type: "search", placeholder: "Filter rows" });
    field.setAttribute("aria-label", `Filter rows of ${table.caption.textContent}`);
    field.oninput = () => filter(field.value.trim().toLowerCase());
    box.append(field);
  }
  if (headers.length > 5) {
    const list = element("fieldset");
    list.setAttribute("aria-label", "Columns");
    headers.slice(1).forEach((header, place) => {
      const check = element("input", { type: "checkbox", checked: true });
      check.onchange = () => {
        for (const row of [table.tHead.rows[0], ...rows]) row.cells[place + 1].hidden = !check.checked;
      };
      list.append(element("label", {}, check, ` ${header.textContent}`));
    });
    box.append(element("details", {}, element("summary", {}, "Columns"), list));
  }
  box.append(count);
  return box;
}

// The headline column stays beside the names, whatever their width.
function keepInSight(scroll, table, headers) {
  const place = () => {
    table.style.setProperty("--left", `${headers[0].offsetWidth}px`);
    table.classList.add("placed");
  };
  if (headers.some(header => header.classList.contains("stays"))) new ResizeObserver(place).observe(headers[0]);
  scroll.onscroll = () => scroll.classList.toggle("moved", scroll.scrollLeft > 0);
}
