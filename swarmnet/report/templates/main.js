// What the page begins with, and what concerns all of it: the theme, the printer, and which model is shown.

const content = JSON.parse(document.getElementById("content").textContent);

function option(text, value) {
  return new Option(text, value);
}

function begin() {
  const models = content.models.map((record) => new Model(record));
  const profiler = new Profiler(content, models);
  const errors = content.errors.length > 0 ? new Errors(content.errors, content.inputs, content.units) : null;
  const [model, beside] = document.querySelectorAll(".models select");
  content.models.forEach(({ name }, number) => {
    model.append(option(name, number));
    beside.append(option(name, number));
  });
  const use = () => {
    const number = Number(model.value);
    profiler.use(number, beside.value === "" ? null : Number(beside.value));
    errors?.use(number);
    for (const place of document.querySelectorAll(".model-name")) place.textContent = content.models[number].name;
    document.getElementById("no-bars").textContent = content.models[number].no_bars;
  };
  model.addEventListener("change", use);
  beside.addEventListener("change", use);
  use();
  for (const { label, curves } of content.losses) {
    const figure = clone("loss");
    document.getElementById("losses").append(figure);
    drawLosses(figure.querySelector(".chart"), label, curves);
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
}

function showTheme(name) {
  document.documentElement.dataset.theme = name;
  document.getElementById("theme").setAttribute("aria-pressed", String(name === "dark"));
  redrawAll();
}

document.getElementById("theme").addEventListener("click", () => showTheme(theme() === "dark" ? "light" : "dark"));
document.getElementById("theme").setAttribute("aria-pressed", String(theme() === "dark"));
dark.addEventListener("change", ({ matches }) => showTheme(matches ? "dark" : "light"));

let shownTheme = null;
addEventListener("beforeprint", () => {
  shownTheme = theme();
  showTheme("light"); // paper is white
});
addEventListener("afterprint", () => showTheme(shownTheme));

begin();
