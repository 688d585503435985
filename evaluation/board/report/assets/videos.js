// Videos: one time for pictures, curves and values.
const STEP = 220; // milliseconds between two moments when playing

function startVideo(section, facts, pictures) {
  const slider = section.querySelector(".time input"), output = section.querySelector(".time output");
  if (!slider) return;
  const frame = section.querySelector("image.frame"), panes = [...section.querySelectorAll(".pane")];
  const still = section.querySelector(".unscripted"), choice = section.querySelector("select");
  const plots = [...section.querySelectorAll(".plot svg")], curves = facts.curves;
  const last = facts.names.length - 1;
  let object = 0, position = facts.positions[facts.start];

  function show(step) { // one of the moments
    slider.value = step;
    position = facts.positions[step];
    const name = `frame ${facts.names[step]}`;
    slider.setAttribute("aria-valuetext", `${name}, ${step + 1} of ${last + 1}`);
    panes.forEach((pane, place) => draw(pane, facts.layers[place][step], name));
    if (frame) put(frame, facts.frames[step]);
    if (panes.length && step < last) ahead(step + 1);
    tell(name);
  }

  function draw(pane, layer, name) {
    const svg = pane.querySelector(".picture");
    put(pane.querySelector(".layer"), layer);
    svg.setAttribute("aria-label", `${svg.dataset.what}, ${name}${layer ? "" : ", without mask"}`);
  }

  function put(image, key) {
    if (key) image.setAttribute("href", pictures[key]); else image.removeAttribute("href");
  }

  function ahead(step) { // decodes the next pictures before they are needed
    for (const key of [facts.frames[step], ...facts.layers.map(layer => layer[step])]) {
      if (key) new Image().src = pictures[key];
    }
  }

  function tell(name) { // the frame, the cursor, and the values of each method
    output.textContent = still.textContent = name;
    const place = curves ? curves.positions.indexOf(position) : -1;
    for (const plot of plots) {
      const cursor = plot.querySelector(".cursor"), x = place < 0 ? -9 : across(plot, curves.positions, position);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
    }
    for (const span of section.querySelectorAll(".values[data-method]")) {
      const values = place < 0 ? [] : curves.measures.map((measure, m) => [measure, curves.values[object][m][span.dataset.method][place]]);
      span.textContent = values.filter(([, value]) => value !== null).map(([measure, value]) => `${measure} ${value.toFixed(1)}`).join(", ");
    }
  }

  function goTo(place) { // any scored frame, and the pictures of the nearest moment
    const where = curves.positions[Math.min(Math.max(place, 0), curves.positions.length - 1)];
    const far = facts.positions.map(each => each === null ? Infinity : Math.abs(each - where));
    const step = far.indexOf(Math.min(...far));
    show(step);
    if (facts.positions[step] === where) return;
    position = where;
    const name = facts.allNames[where] ?? `${where} of the annotated ones`;
    tell(panes.length ? `frame ${name} (picture: ${facts.names[step]})` : `frame ${name}`);
  }

  function choose() { // another object
    object = +choice.value;
    plots.forEach((plot, m) => {
      drawCurves(plot, curves.positions, curves.values[object][m]);
      plot.parentNode.querySelector(".object").textContent = `, ${choice.selectedOptions[0].textContent}`;
    });
    tell(output.textContent);
  }

  slider.oninput = () => show(+slider.value);
  if (choice) choice.onchange = choose;
  startPlaying(section.querySelector(".play"), () => show((+slider.value + 1) % (last + 1)));
  for (const plot of plots) listenTo(plot, curves.positions, () => curves.positions.indexOf(position), goTo);
  panes.forEach(startPane);
  show(facts.start);
}

// A click or Enter shows a picture large, and small again.
function startPane(pane) {
  const picture = pane.querySelector(".picture");
  picture.onclick = () => pane.classList.toggle("large");
  picture.onkeydown = event => { if (event.key === "Enter") picture.onclick(); };
}

function startPlaying(button, next) {
  let timer = null;
  button.onclick = () => {
    timer = timer === null ? setInterval(next, STEP) : clearInterval(timer) ?? null;
    button.textContent = timer === null ? "▶" : "❚❚";
    button.setAttribute("aria-pressed", timer !== null);
  };
}
