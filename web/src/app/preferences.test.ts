import { expect, it } from "vitest";
import { percent } from "./format";
import { createPreferences } from "./preferences";

/** A browser's storage, in memory. */
function storage(kept: Record<string, string> = {}): Storage {
  const values = new Map(Object.entries(kept));
  return {
    getItem: (name) => values.get(name) ?? null,
    setItem: (name, value) => void values.set(name, value),
    removeItem: (name) => void values.delete(name),
    clear: () => values.clear(),
    key: (index) => [...values.keys()][index] ?? null,
    get length() {
      return values.size;
    },
  };
}

it("a reading room is dark until told otherwise", () => {
  expect(createPreferences(storage(), ["de-DE"]).theme.value).toBe("dark");
});

it("the first language of the browser that the page knows is used", () => {
  expect(createPreferences(storage(), ["de-DE", "es-MX", "en"]).language.value).toBe("es");
});

it("a choice is kept", () => {
  const box = storage();
  createPreferences(box, ["en"]).theme.value = "light";

  expect(createPreferences(box, ["en"]).theme.value).toBe("light");
});

it.each(["no json", "[]", '{"theme": "pink", "opacity": 7}', "null"])(
  "what was stored wrongly (%s) does no harm",
  (text) => {
    const { theme, opacity } = createPreferences(storage({ "pneumoscope.preferences": text }), []);

    expect(theme.value).toBe("dark");
    expect(opacity.value).toBeLessThanOrEqual(1);
  },
);

it.each([
  [0.9731, "97.3%"],
  [0.9999, "> 99.9%"],
  [0.0001, "< 0.1%"],
  [0.5, "50.0%"],
])("a probability of %d is shown as %s", (probability, shown) => {
  expect(percent(probability, "en")).toBe(shown);
});
