import { expect, it } from "vitest";
import { en } from "./en";
import { es } from "./es";

/** Every leaf of a tree of strings, by its path. */
function leaves(tree: object, path = ""): Map<string, unknown> {
  return new Map(
    Object.entries(tree).flatMap(([name, value]) =>
      typeof value === "object" && value !== null
        ? [...leaves(value, `${path}${name}.`)]
        : [[`${path}${name}`, value] as const],
    ),
  );
}

it("every language has every string", () => {
  expect([...leaves(es).keys()]).toEqual([...leaves(en).keys()]);
});

it("no string is empty, and hardly one is the same in both languages", () => {
  const spanish = leaves(es);
  const same = [...leaves(en)].filter(
    ([path, value]) =>
      typeof value === "string" && value.length > 12 && spanish.get(path) === value,
  );

  expect([...leaves(en).values(), ...spanish.values()]).not.toContain("");
  expect(same).toEqual([]);
});

/** Groups that are looked up by a name that the service gives. */
const BY_NAME =
  /^(labels|checks|advice|reasons|result\.(kinds|siteVerdicts)|facts\.modalities|viewer\.(presets|rulerUnits|heatStates)|preview\.reasons)\./;
const LOOKED_UP =
  /^(problem\.types|banner\.pauses|models\.(plots|metricNames|problems)|settings\.themes|tray\.orders|state|keys\.(list|mouse))\./;
const SOURCES = import.meta.glob<string>(["../**/*.{ts,tsx}", "!./**", "!../**/*.test.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});

it("every string is used", () => {
  const page = Object.values(SOURCES).join("\n");
  const unused = [...leaves(en).keys()].filter((path) => {
    if (BY_NAME.test(path) || LOOKED_UP.test(path) || /\.\d+$/.test(path)) return false;
    return !new RegExp(`[.{,]\\s*${path.split(".").at(-1)}\\b`).test(page);
  });

  expect(Object.keys(SOURCES).length).toBeGreaterThan(50);
  expect(unused).toEqual([]);
});

it.each([
  ["Neumonía", "Indicios de neumonía"],
  ["COVID-19", "Indicios de COVID-19"],
])("in Spanish the heatmap of %s is headed %s", (label, heading) => {
  expect(es.viewer.heatmapOf(label)).toBe(heading);
});

it.each([
  [1, 1, "1 de 1 leída"],
  [1, 3, "1 de 3 leídas"],
])("in Spanish %d of %d is counted in its number", (done, all, words) => {
  expect(es.tray.done(done, all)).toBe(words);
});

it.each([
  ["turned by 180 degrees", "girada 180 grados"],
  ["turned by 90 degrees clockwise", "girada 90 grados en sentido horario"],
  ["mirrored left to right", "reflejada de izquierda a derecha"],
  ["turned in a new way", "turned in a new way"],
])("an image that was %s is in Spanish %s", (how, words) => {
  expect(es.result.turned(how)).toContain(` ${words},`);
  expect(en.result.turned(how)).toContain(` ${how},`);
});
