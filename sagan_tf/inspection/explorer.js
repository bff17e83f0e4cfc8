"use strict";
(() => {
  const HEAT = [255, 190, 0];
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const chosen = { checkpoint: data.checkpoints.length - 1, view: 0, label: "", sample: 0 };
  const point = { y: 0.5, x: 0.5 }; // where the pointer is, as shares of the image
  let shown = null; // the maps of the chosen image: {peaks, values}, once they are unpacked

  const checkpoint = () => data.checkpoints[chosen.checkpoint];
  const view = () => checkpoint().views[chosen.view];
  const source = () => checkpoint().sources[view().source];
  const className = (sample) => data.classNames[source().labels[sample]];
  const percent = (share) => (100 * share).toFixed(share < 0.1 ? 2 : 1) + "%";

  async function unpack(text, queries) {
    const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = await new Response(stream).arrayBuffer();
    const table = new DataView(bytes);
    const peaks = Float32Array.from({ length: queries }, (_, query) => table.getFloat32(4 * query, true));
    return { peaks, values: new Uint8Array(bytes, 4 * queries) };
  }

  /* The stored query that is nearest to the point: its row and column in the feature map, and its number. */
  function query() {
    const { queries, stride } = view();
    const line = Math.ceil(queries / stride);
    const nearest = (share) =>
      Math.min(Math.round(Math.floor(share * queries) / stride), line - 1);
    const row = nearest(point.y), column = nearest(point.x);
    return { row: row * stride, column: column * stride, number: row * line + column };
  }

  function drawMap() {
    if (!shown) return;
    const { queries, keys } = view();
    const { row, column, number } = query();
    const values = shown.values.subarray(number * keys * keys, (number + 1) * keys * keys);
    const canvas = element("attention").querySelector("canvas");
    canvas.width = canvas.height = keys;
    const pixels = new ImageData(keys, keys);
    values.forEach((value, key) => pixels.data.set([...HEAT, value], 4 * key));
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    for (const dot of document.querySelectorAll(".dot")) {
      dot.style.top = `${(100 * (row + 0.5)) / queries}%`;
      dot.style.left = `${(100 * (column + 0.5)) / queries}%`;
    }
    describe(row, column, values, shown.peaks[number]);
  }

  function describe(row, column, values, peak) {
    const { queries, keys } = view();
    const strongest = values.indexOf(255);
    const sorted = Float64Array.from(values, (value) => (value / 255) * peak).sort().reverse();
    const half = 0.5 * sorted.reduce((sum, share) => sum + share, 0);
    let count = 0;
    for (let sum = 0; sum < half; count++) sum += sorted[count];
    element("peak").textContent = percent(peak);
    element("readout").textContent =
      `Row ${row + 1}, column ${column + 1} of ${queries} × ${queries} gives most, ${percent(peak)}, to row ` +
      `${Math.floor(strongest / keys) + 1}, column ${(strongest % keys) + 1} of ${keys} × ${keys} keys ` +
      `(equal shares: ${percent(1 / (keys * keys))}). Half of its attention is on ${count} of ${keys * keys} keys.`;
  }

  async function showSample() {
    const wanted = { ...chosen }, { images } = source();
    for (const image of document.querySelectorAll(".frame img")) image.src = data.images[images[chosen.sample]];
    const name = className(chosen.sample);
    element("caption").textContent =
      `Image ${chosen.sample + 1} of ${images.length}` + (name === undefined ? "" : `: ${name}`);
    shown = null;
    element("attention").setAttribute("aria-busy", "true");
    const { queries, stride, maps, gamma, shares } = view();
    element("strength").textContent =
      `Here γ is ${gamma.toFixed(4)}, and |γ o| / |x| is ${shares[chosen.sample].toFixed(4)} for this image.`;
    const unpacked = await unpack(maps[chosen.sample], Math.ceil(queries / stride) ** 2);
    if (Object.keys(wanted).some((key) => wanted[key] !== chosen[key])) return; // another was chosen meanwhile
    shown = unpacked;
    drawMap();
    element("attention").setAttribute("aria-busy", "false");
  }

  const matching = () =>
    source().images.map((_, sample) => sample)
      .filter((sample) => chosen.label === "" || String(source().labels[sample]) === chosen.label);

  function option(text, value) {
    return Object.assign(document.createElement("option"), { textContent: text, value });
  }

  function fillViews() {
    const title = ({ network, queries, source: name }) =>
      `${network === "generator" ? "Generator" : "Discriminator"} ${queries} × ${queries}` +
      (network === "generator" ? "" : `, ${name} images`);
    element("view").replaceChildren(...checkpoint().views.map((each, index) => option(title(each), index)));
    element("view").value = chosen.view;
  }

  function fillClasses() {
    const labels = [...new Set(source().labels)].sort((a, b) => a - b).map(String);
    element("class-control").hidden = labels.length === 0;
    if (!labels.includes(chosen.label)) chosen.label = "";
    element("class").replaceChildren(option("all", ""), ...labels.map((each) => option(data.classNames[each], each)));
    element("class").value = chosen.label;
  }

  function fillSamples() {
    const samples = matching();
    if (!samples.includes(chosen.sample)) chosen.sample = samples[0];
    element("samples").replaceChildren(...samples.map((sample) => {
      const label = document.createElement("label"), name = className(sample);
      const input = Object.assign(document.createElement("input"), {
        type: "radio", name: "sample", value: sample, checked: sample === chosen.sample,
      });
      input.addEventListener("change", () => choose({ sample }));
      const image = Object.assign(document.createElement("img"), {
        src: data.images[source().images[sample]],
        alt: `Image ${sample + 1}` + (name === undefined ? "" : `: ${name}`),
      });
      label.append(input, image);
      return label;
    }));
  }

  function fillText() {
    const { queries, keys, stride } = view();
    element("pooled").textContent = keys === queries ? "" :
      "In this form of the layer a key is the maximum over 2 × 2 positions, and its share is drawn on all of them.";
    element("stride").textContent = stride === 1 ? "" :
      `To keep the file small, every ${stride}th query in each direction is stored; the nearest is shown.`;
  }

  function refill() {
    fillViews();
    fillClasses();
    fillSamples();
    fillText();
    return showSample();
  }

  const choose = (change) => {
    Object.assign(chosen, change);
    const shown = "sample" in change ? showSample() : refill();
    shown.catch((error) => fail(`The maps cannot be read: ${error.message}`));
  };

  function fail(text) {
    element("notice").textContent = text;
    element("notice").hidden = false;
  }

  function followPointer(event) {
    const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
    const inside = (share) => Math.min(Math.max(share, 0), 0.999999);
    point.x = inside((event.clientX - left) / width);
    point.y = inside((event.clientY - top) / height);
    drawMap();
  }

  function step(direction) {
    const samples = matching();
    const next = samples.indexOf(chosen.sample) + direction;
    const sample = samples[(next + samples.length) % samples.length];
    choose({ sample });
    document.querySelector(`input[name=sample][value="${sample}"]`).checked = true;
  }

  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  function followKeys(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const move = MOVES[event.key], turn = { n: 1, p: -1 }[event.key.toLowerCase()];
    if (turn) step(turn);
    if (!move) return;
    event.preventDefault(); // the page must not scroll
    const { queries, stride } = view(), at = query(), far = event.shiftKey ? 4 : 1;
    const moved = (from, by) => Math.min(Math.max(from + by * far * stride, 0), queries - 1);
    point.y = (moved(at.row, move[0]) + 0.5) / queries;
    point.x = (moved(at.column, move[1]) + 0.5) / queries;
    drawMap();
  }

  for (const frame of document.querySelectorAll(".frame")) {
    frame.addEventListener("pointermove", followPointer);
    frame.addEventListener("pointerdown", followPointer);
  }
  element("picture").addEventListener("keydown", followKeys);
  element("checkpoint").append(...data.checkpoints.map(({ step: at }, index) =>
    option(`step ${at.toLocaleString("en")}`, index)));
  element("checkpoint").value = chosen.checkpoint;
  element("checkpoint").addEventListener("change", (event) => choose({ checkpoint: Number(event.target.value) }));
  element("view").addEventListener("change", (event) => choose({ view: Number(event.target.value) }));
  element("class").addEventListener("change", (event) => choose({ label: event.target.value }));
  if (typeof DecompressionStream === "undefined") {
    fail("This browser is too old to unpack the maps; those since 2023 can (Chrome 80, Safari 16.4, Firefox 113).");
  } else {
    choose({});
  }
})();
