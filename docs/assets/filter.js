// What a reader can hide of a table: columns, by check boxes with the first word of their heads;
// and rows, by a list for each of its first columns.

for (const filter of document.querySelectorAll(".column-filter")) {
  const table = filter.querySelector("table");
  const heads = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim());
  const groups = [...new Set(heads.map((head) => head.split(" ")[0]))];

  const fieldset = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = filter.dataset.legend;
  fieldset.append(legend);
  const boxes = groups.map((group) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.value = group;
    label.append(box, ` ${group}`);
    fieldset.append(label);
    return box;
  });

  const buttons = [
    ["All", true],
    ["None", false],
  ].map(([name, checked]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      for (const box of boxes) box.checked = checked;
      show();
    });
    return button;
  });
  fieldset.append(...buttons);

  const status = document.createElement("p");
  status.role = "status"; // a screen reader says what has changed

  function show() {
    const shown = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    for (const row of table.rows) {
      [...row.cells].slice(1).forEach((cell, index) => {
        cell.hidden = !shown.has(heads[index].split(" ")[0]);
      });
    }
    const count = heads.filter((head) => shown.has(head.split(" ")[0])).length;
    status.textContent = `${count} of ${heads.length} columns`;
  }

  fieldset.addEventListener("change", show);
  filter.prepend(fieldset, status);
  show();
}

for (const filter of document.querySelectorAll(".row-filter")) {
  const table = filter.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const fieldset = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = filter.dataset.legend;
  fieldset.append(legend);

  const text = (row, column) => row.cells[column].textContent.trim();
  const lists = [...table.tHead.rows[0].cells].slice(0, Number(filter.dataset.columns)).map((head, column) => {
    const label = document.createElement("label");
    const list = document.createElement("select");
    const values = [...new Set(rows.map((row) => text(row, column)))];
    for (const value of ["anything", ...values]) list.add(new Option(value));
    list.value = filter.dataset.first?.split("|")[column] ?? "anything";
    label.append(`${head.textContent.trim()} `, list);
    fieldset.append(label);
    return list;
  });

  const status = document.createElement("p");
  status.role = "status";

  function show() {
    for (const row of rows) {
      row.hidden = !lists.every(
        (list, column) => list.value === "anything" || list.value === text(row, column),
      );
    }
    const count = rows.filter((row) => !row.hidden).length;
    status.textContent = count ? `${count} of ${rows.length} rows` : "No measured way.";
  }

  fieldset.addEventListener("change", show);
  filter.prepend(fieldset, status);
  show();
}
