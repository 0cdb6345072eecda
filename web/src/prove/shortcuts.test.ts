import { expect, it } from "vitest";
import { shortcuts, type Taken } from "./shortcuts";

const film = (truth: string, view: string | null, device: string | null = null): Taken => ({
  truth,
  traits: { view, device, size: null },
});

it("a view that goes with the finding is a shortcut", () => {
  const films = [
    ...Array.from({ length: 40 }, () => film("normal", "PA")),
    ...Array.from({ length: 40 }, () => film("pneumonia", "AP")),
  ];

  const [view] = shortcuts(films);

  expect(view).toMatchObject({ trait: "view", chance: 0.5, isSuspect: true });
  expect(view?.right.value).toBe(1);
});

it("a device that goes with nothing is none", () => {
  const films = Array.from({ length: 80 }, (_, at) =>
    film(at % 2 ? "normal" : "pneumonia", null, at % 4 < 2 ? "a" : "b"),
  );

  const [device] = shortcuts(films);

  expect(device?.trait).toBe("device");
  expect(device?.isSuspect).toBe(false);
});

it("what no file or every file says alike cannot be checked", () => {
  expect(shortcuts([film("normal", "PA"), film("pneumonia", "PA")])).toEqual([]);
});
