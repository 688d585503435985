// Plots: places of values, lines of another object, and pointing at a frame.
function across(plot, positions, where) {
  const { left, right } = plot.dataset, first = positions[0], last = positions.at(-1);
  return +left + (right - left) * (where - first) / Math.max(last - first, 1);
}

function up(plot, value) {
  const { top, bottom } = plot.dataset;
  return +bottom - (bottom - top) * Math.min(Math.max(value, 0), 100) / 100;
}

function drawCurves(plot, positions, methods) {
  for (const group of plot.querySelectorAll("g[data-method]")) {
    const runs = [[]];
    methods[group.dataset.method].forEach((value, place) => {
      if (value === null) runs.push([]);
      else runs.at(-1).push([across(plot, positions, positions[place]), up(plot, value)]);
    });
    group.replaceChildren(...runs.filter(run => run.length).map(run => line(group.dataset.method, run)));
  }
}

function line(method, run) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "polyline"), [x, y] = run[0];
  made.setAttribute("class", `line c${method}`);
  made.setAttribute("points", (run.length > 1 ? run : [[x, y], [x + 2, y]]).join(" "));
  return made;
}

// Pointing at a plot, and arrow keys on it, go to one of the frames.
function listenTo(plot, positions, now, goTo) {
  const places = positions.map(where => across(plot, positions, where));
  plot.onpointermove = plot.onpointerdown = event => {
    const box = plot.getBoundingClientRect(), x = (event.clientX - box.left) * plot.viewBox.baseVal.width / box.width;
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
