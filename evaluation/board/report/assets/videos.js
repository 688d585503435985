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
    svg.setAttribute("aria-label", svg.getAttribute("aria-label").replace(/frame [^]*$/, name) + (layer ? "" : ", without mask"));
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
      const cursor = plot.querySelector(".cursor"), x = place < 0 ? -9 : across(plot, position);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
    }
    for (const span of section.querySelectorAll(".values[data-method]")) {
      const values = place < 0 ? [] : curves.measures.map((measure, m) => [measure, curves.values[object][m][span.dataset.method][place]]);
      span.textContent = values.filter(([, value]) => value !== null).map(([measure, value]) => `${measure} ${value.toFixed(1)}`).join(", ");
    }
  }

  function across(plot, where) {
    const { left, right } = plot.dataset, first = curves.positions[0], end = curves.positions.at(-1);
    return +left + (right - left) * (where - first) / Math.max(end - first, 1);
  }

  function up(plot, value) {
    const { top, bottom } = plot.dataset;
    return +bottom - (bottom - top) * Math.min(Math.max(value, 0), 100) / 100;
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

  function redraw() { // the curves of another object
    plots.forEach((plot, m) => {
      for (const group of plot.querySelectorAll("g[data-method]")) {
        const values = curves.values[object][m][group.dataset.method], runs = [[]];
        values.forEach((value, place) => {
          if (value === null) runs.push([]);
          else runs.at(-1).push([across(plot, curves.positions[place]), up(plot, value)]);
        });
        group.replaceChildren(...runs.filter(run => run.length).map(run => line(group.dataset.method, run)));
      }
      plot.parentNode.querySelector(".object").textContent = `, ${choice.selectedOptions[0].textContent}`;
    });
  }

  function line(method, run) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    made.setAttribute("class", `line c${method}`);
    made.setAttribute("points", (run.length > 1 ? run : [run[0], [run[0][0] + 2, run[0][1]]]).join(" "));
    return made;
  }

  slider.oninput = () => show(+slider.value);
  if (choice) choice.onchange = () => { object = +choice.value; redraw(); tell(output.textContent); };
  startPlaying(section.querySelector(".play"), () => show((+slider.value + 1) % (last + 1)));
  for (const plot of plots) listen(plot, () => curves.positions.indexOf(position), curves.positions, goTo, where => across(plot, where));
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

// Pointing at a plot, and arrow keys on it, go to a frame.
function listen(plot, now, positions, goTo, across) {
  const places = positions.map(across);
  plot.onpointermove = plot.onpointerdown = event => {
    const box = plot.getBoundingClientRect(), x = (event.clientX - box.left) * 480 / box.width;
    const far = places.map(place => Math.abs(place - x));
    goTo(far.indexOf(Math.min(...far)));
  };
  plot.onkeydown = event => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    goTo(now() + step);
  };
}
