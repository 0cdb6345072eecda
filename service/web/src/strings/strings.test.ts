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
