// Check boxes above a table that hide its columns by the first word of their heads.

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
