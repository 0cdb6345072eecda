import { expect, it } from "vitest";
import type { FilmFacts } from "../images/types";
import { commonFolder, labelsCsv } from "./labels";

const FACTS: FilmFacts = { view: "PA", age: 61, sex: "F", device: "Maker, Model", size: "10 × 10" };
const NONE: FilmFacts = { view: null, age: null, sex: null, device: null, size: null };

it("the table has the columns of commissioning, and paths below the dropped folder", () => {
  const text = labelsCsv([
    { path: "study/normal/1.dcm", finding: "normal", patient: "a1", facts: FACTS },
    { path: "study/=2.png", finding: "covid-19", patient: null, facts: NONE },
  ]);

  expect(text).toBe(
    "path,finding,patient,view,age,sex,device\r\n" +
      'normal/1.dcm,normal,a1,PA,61,F,"Maker, Model"\r\n' +
      "./=2.png,covid-19,,,,,\r\n",
  );
});

it.each([
  [["a/1", "a/2"], "a/"],
  [["a/1", "b/2"], ""],
  [["1", "2"], ""],
  [[], ""],
])("the folder of %j is %s", (paths, folder) => {
  expect(commonFolder(paths)).toBe(folder);
});
