import { expect, it } from "vitest";
import { asModels, folderLabel, labelOf, truthTable } from "./truth";

it.each([
  ["COVID", "covid-19"],
  ["covid_19", "covid-19"],
  ["Neumonía", "pneumonia"],
  ["TB", "tuberculosis"],
  ["NORMAL", "normal"],
  ["scans", null],
])("%s means %s", (word, label) => {
  expect(labelOf(word)).toBe(label);
});

it("the nearest folder that is named after a finding tells it", () => {
  expect(folderLabel("study/normal/PNEUMONIA/1.dcm")).toBe("pneumonia");
  expect(folderLabel("pneumonia.png")).toBeNull();
});

it.each([
  ["pneumonia", ["other", "covid-19"], "other"],
  ["tuberculosis", ["normal", "infection"], "infection"],
  ["normal", ["pneumonia", "covid-19"], null],
])("%s is, to a model of %j, %s", (label, labels, own) => {
  expect(asModels(label, labels)).toBe(own);
});

it("a table is found by path, by a path further in, and by digest", () => {
  const table = truthTable(
    'path,finding\r\n"a,b/1.dcm",normal\r\n2.dcm,Covid\r\nabc,TB\r\n3.dcm,dog\r\n',
  );

  expect(table?.find("a,b/1.dcm", "")).toBe("normal");
  expect(table?.find("study/x/2.dcm", "")).toBe("covid-19");
  expect(table?.find("other.dcm", "abc")).toBe("tuberculosis");
  expect(table?.find("3.dcm", "")).toBeNull();
  expect([table?.rows, table?.unknown]).toEqual([4, 1]);
});

it("semicolons do, and a table without such columns does not", () => {
  expect(truthTable("file;label\n1.png;normal\n")?.find("1.png", "")).toBe("normal");
  expect(truthTable("a,b\n1,2\n")).toBeNull();
});
