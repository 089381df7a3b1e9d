"use strict";
(function () {
  const $ = (name) => document.getElementById(name);

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const rows = [...button.parentElement.querySelectorAll("tr")];
      const text = rows.map((r) => [...r.cells].map((c) => c.textContent).join("\t")).join("\n");
      let done = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // pages from disk may have no clipboard
        const area = document.createElement("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        done = document.execCommand("copy");
        area.remove();
      }
      button.textContent = done ? "copied" : "select and copy";
      setTimeout(() => (button.textContent = "copy"), 1500);
    });
  }

  const box = $("viewer");
  const data = JSON.parse($("scene").textContent);
  const caption = $("frame-caption");
  let viewer = null;
  try {
    viewer = $3Dmol.createViewer(box, { backgroundColor: "white", antialias: true });
  } catch (error) {
    viewer = null;
  }
  if (!viewer) {
    caption.textContent = "This browser has no WebGL: the picture cannot be drawn.";
    return;
  }

  const bytes = Uint8Array.from(atob(data.positions), (c) => c.charCodeAt(0));
  const steps = new Int16Array(bytes.buffer);
  const nAtoms = data.elements.length, nFrames = data.times.length;
  const small = { H: 0.2, C: 0.3, O: 0.32, N: 0.32, F: 0.3 };
  const palette = { H: "#d9d9d9", C: "#8a8a8a", N: "#5b7bd5", O: "#d0453a", F: "#7fbf7b", Si: "#b8a27a",
    P: "#d98a2b", S: "#c9b52b", Cl: "#58a558", Br: "#9b4a3a", I: "#7a4a8f", Au: "#c79a1b" };
  const state = { frame: 0, timer: null, follow: -1, cut: null };
  const bonds = Array.from({ length: nAtoms }, () => []);
  for (const [i, j] of data.bonds) { bonds[i].push(j); bonds[j].push(i); }

  const checked = (name) => new Set([...document.querySelectorAll(`input[name=${name}]:checked`)].map((i) => i.value));

  function inverse(m) {
    const [a, b, c] = m;
    const x = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const bc = x(b, c), ca = x(c, a), ab = x(a, b);
    const volume = a[0] * bc[0] + a[1] * bc[1] + a[2] * bc[2];
    return [0, 1, 2].map((i) => [bc[i] / volume, ca[i] / volume, ab[i] / volume]);
  }

  function positionsOf(frame) {
    const found = new Float64Array(3 * nAtoms);
    const start = 3 * nAtoms * frame;
    for (let i = 0; i < 3 * nAtoms; i++) found[i] = steps[start + i] / data.scale + data.origin[i % 3];
    if (state.follow < 0) return found;
    // the followed target in the middle, everything else in its nearest image
    const first = data.owner.indexOf(state.follow);
    const center = [0, 1, 2].map((k) => found[3 * first + k]);
    const cell = data.cell && data.cell[frame], back = cell && inverse(cell);
    for (let i = 0; i < nAtoms; i++) {
      const arm = [0, 1, 2].map((k) => found[3 * i + k] - center[k]);
      if (cell) {
        const f = [0, 1, 2].map((k) => arm[0] * back[0][k] + arm[1] * back[1][k] + arm[2] * back[2][k]).map((v) => v - Math.round(v));
        for (let k = 0; k < 3; k++) arm[k] = f[0] * cell[0][k] + f[1] * cell[1][k] + f[2] * cell[2][k];
      }
      for (let k = 0; k < 3; k++) found[3 * i + k] = arm[k];
    }
    return found;
  }

  function draw() {
    viewer.removeAllModels();
    viewer.removeAllShapes();
    state.cut ? drawCut() : drawFrame();
    viewer.render();
    describe();
  }

  function drawFrame() {
    const species = checked("species"), states = checked("state");
    const at = positionsOf(state.frame);
    const place = new Int32Array(nAtoms).fill(-1), atoms = [];
    for (let i = 0; i < nAtoms; i++) {
      const owner = data.owner[i], element = data.elements[i];
      const own = owner >= 0 ? data.states[state.frame][owner] : -1;
      if (own < 0 ? !species.has(element) : !states.has(String(own))) continue;
      if (own >= 0 && state.follow >= 0 && $("alone").checked && owner !== state.follow) continue;
      place[i] = atoms.length;
      atoms.push({ elem: element, serial: i, x: at[3 * i], y: at[3 * i + 1], z: at[3 * i + 2], bonds: [], bondOrder: [],
        properties: { own, followed: owner >= 0 && owner === state.follow } });
    }
    for (const atom of atoms) {
      for (const other of bonds[atom.serial]) {
        const j = place[other];
        if (j < 0) continue;
        // across the border of the cell a bond is not drawn
        if (Math.hypot(atoms[j].x - atom.x, atoms[j].y - atom.y, atoms[j].z - atom.z) < 3.0) { atom.bonds.push(j); atom.bondOrder.push(1); }
      }
    }
    const model = viewer.addModel();
    model.addAtoms(atoms);
    const color = (a) => (a.properties.own >= 0 ? data.colors[a.properties.own % data.colors.length] : palette[a.elem] || "#9aa5b1");
    model.setStyle({}, { sphere: { radius: 0.3, colorfunc: color, opacity: 1 }, stick: { radius: 0.08, colorfunc: color } });
    for (const element of new Set(data.elements)) model.setStyle({ elem: element }, { sphere: { radius: small[element] || 0.4, colorfunc: color }, stick: { radius: 0.08, colorfunc: color } });
    model.setStyle({ predicate: (a) => a.properties.own >= 0 }, { sphere: { radius: 0.9, colorfunc: color }, stick: { radius: 0.15, colorfunc: color } });
    model.setStyle({ predicate: (a) => a.properties.followed }, { sphere: { radius: 1.25, colorfunc: color }, stick: { radius: 0.2, colorfunc: color } });
    const cell = data.cell && data.cell[state.frame];
    if (cell && state.follow < 0) {
      const corner = (i, j, k) => ({ x: i * cell[0][0] + j * cell[1][0] + k * cell[2][0], y: i * cell[0][1] + j * cell[1][1] + k * cell[2][1], z: i * cell[0][2] + j * cell[1][2] + k * cell[2][2] });
      for (const [u, v] of [[0, 1], [1, 0]]) for (const w of [0, 1]) {
        if (u === 0) { viewer.addLine({ start: corner(0, v * 0, w), end: corner(1, v * 0, w), color: "gray" }); viewer.addLine({ start: corner(0, 1, w), end: corner(1, 1, w), color: "gray" }); viewer.addLine({ start: corner(w, 0, 0), end: corner(w, 0, 1), color: "gray" }); viewer.addLine({ start: corner(w, 1, 0), end: corner(w, 1, 1), color: "gray" }); }
        else { viewer.addLine({ start: corner(0, 0, w), end: corner(0, 1, w), color: "gray" }); viewer.addLine({ start: corner(1, 0, w), end: corner(1, 1, w), color: "gray" }); }
      }
    }
    box.dataset.atoms = atoms.length;
    box.dataset.colors = atoms.filter((a) => a.properties.own >= 0).map((a) => a.properties.own).join(",");
  }

  function drawCut() {
    const model = viewer.addModel(), own = data.colors[state.cut.state % data.colors.length];
    model.addAtoms(state.cut.atoms.map((a, i) => ({ ...a, serial: i, bonds: [], bondOrder: [], properties: { own: a.own } })));
    const color = (a) => (a.properties.own ? own : palette[a.elem] || "#9aa5b1");
    model.setStyle({}, { sphere: { radius: 0.45, colorfunc: color } });
    model.setStyle({ predicate: (a) => a.properties.own }, { sphere: { radius: 0.8, colorfunc: color } });
    box.dataset.atoms = state.cut.atoms.length;
  }

  function describe() {
    if (state.cut) {
      caption.textContent = `Surroundings that show state ${state.cut.state} most clearly`;
      return;
    }
    const time = data.times[state.frame];
    let text = `${Number(time.toPrecision(8))} ps, frame ${state.frame + 1} of ${nFrames}`;
    if (state.follow >= 0) {
      const now = data.states[state.frame][state.follow];
      text += `; target ${state.follow} is in state ${now} (probability ${data.certainty[state.frame][state.follow]})`;
    }
    caption.textContent = text;
    $("slider").value = state.frame;
    $("slider").setAttribute("aria-valuetext", text);
    box.dataset.frame = state.frame;
  }

  function fit(factor) {
    viewer.zoomTo();
    // the field of view is vertical: a narrow window needs a step back
    viewer.zoom(factor * Math.min(1, box.clientWidth / box.clientHeight));
    viewer.render();
  }

  function show(frame) { state.frame = (frame + nFrames) % nFrames; state.cut = null; draw(); }
  function play(on) {
    clearInterval(state.timer);
    state.timer = on ? setInterval(() => show(state.frame + 1), Number($("speed").value)) : null;
    $("play").textContent = on ? "pause" : "play";
    $("play").setAttribute("aria-pressed", String(on));
  }

  $("play").addEventListener("click", () => play(!state.timer));
  $("slider").addEventListener("input", (event) => { play(false); show(Number(event.target.value)); });
  $("speed").addEventListener("change", () => state.timer && play(true));
  $("back").addEventListener("click", () => { play(false); show(state.frame - 1); });
  $("next").addEventListener("click", () => { play(false); show(state.frame + 1); });
  $("reset").addEventListener("click", () => { state.cut = null; draw(); fit(1); });
  for (const input of document.querySelectorAll("input[name=species],input[name=state],#alone")) input.addEventListener("change", () => { state.cut = null; draw(); });
  $("follow").addEventListener("change", (event) => { state.follow = Number(event.target.value); state.cut = null; draw(); fit(state.follow >= 0 ? 1.8 : 1); });
  const cuts = JSON.parse($("cuts").textContent);
  for (const button of document.querySelectorAll(".show-cut")) {
    button.addEventListener("click", () => {
      play(false);
      const number = Number(button.dataset.state);
      state.cut = { state: number, atoms: cuts[number] };
      draw(); fit(1);
      box.scrollIntoView({ block: "center" });
    });
  }
  window.addEventListener("resize", () => { viewer.resize(); viewer.render(); });
  draw();
  viewer.rotate(20, "y"); viewer.rotate(15, "x");
  fit(1);
  box.dataset.ready = "yes";
})();
