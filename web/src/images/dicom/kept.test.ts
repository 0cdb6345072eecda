import { expect, it } from "vitest";
import { kept } from "./kept";

it("what is loaded is loaded once", async () => {
  let loads = 0;
  const part = kept(async () => ++loads);

  expect([await part(), await part()]).toEqual([1, 1]);
});

it("what failed to load is loaded again", async () => {
  let loads = 0;
  const part = kept(async () => {
    loads++;
    if (loads === 1) throw new Error("away");
    return loads;
  });

  await expect(part()).rejects.toThrow("away");
  expect(await part()).toBe(2);
});
