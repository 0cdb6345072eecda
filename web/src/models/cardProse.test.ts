import { expect, it } from "vitest";
import { CARD_IN_SPANISH } from "./cardProse";

const TEMPLATES = import.meta.glob<string>("../../../export/templates/*-card.md.j2", {
  query: "?raw",
  import: "default",
  eager: true,
});

/** What a template says whatever the model: headings, paragraphs, items and cells. */
function fixed(template: string): string[] {
  const prose = template.replace(/\{#.*?#\}/gs, "").replace(/\{%.*?%\}\n?/gs, "\n\n");
  const blocks = prose.split(/\n(?=\s*$)|\n(?=[#|-] ?)/m).map((text) => text.replace(/\s+/g, " "));
  return blocks
    .flatMap((block) => (block.trim().startsWith("|") ? block.split("|") : [block]))
    .map((text) => text.trim().replace(/^(#+|-) /, ""))
    .filter((text) => /[a-z]{3}/.test(text) && !/[{}]|^CLAIM|^TRIPOD|^SNOMED/.test(text));
}

it("every fixed sentence of a model card is there in Spanish", () => {
  const [card = ""] = Object.entries(TEMPLATES)
    .filter(([path]) => path.includes("model-card"))
    .map(([, text]) => text);
  const explanations = [...card.matchAll(/_': (["'])(.*)\1,$/gm)].map(([, , text = ""]) => text);
  const sentences = [...fixed(card), ...explanations].filter((text) => !/^\d/.test(text));

  expect(explanations.length).toBe(10);
  expect(sentences.length).toBeGreaterThan(60);
  expect(sentences.filter((text) => !(text in CARD_IN_SPANISH))).toEqual([]);
});
