import { auroc, type Figure, kappa, median, share } from "./statistics";

/** A reader who cannot tell, and a model that refers. */
export const UNDECIDED = "undecided";

/** One film of a trial, with what everybody said of it. Null is what is not known. */
export interface Case {
  readonly sha256: string;
  readonly patient: string;
  readonly truth: string | null;
  readonly reader: string | null;
  /** The reader's call at the second look. */
  readonly again: string | null;
  readonly ms: number | null;
  readonly model: string | null;
  readonly probabilities: Readonly<Record<string, number>>;
}

type Who = "reader" | "model";

/** Rows are true findings, columns what was said, the undecided last. */
export type Confusion = ReadonlyMap<string, ReadonlyMap<string, number>>;

export function confusion(cases: readonly Case[], who: Who, labels: readonly string[]): Confusion {
  const table = new Map(
    labels.map((label) => [label, new Map([...labels, UNDECIDED].map((said) => [said, 0]))]),
  );
  for (const one of cases) {
    const said = one[who];
    const row = one.truth === null ? undefined : table.get(one.truth);
    if (row && said !== null) row.set(said, (row.get(said) ?? 0) + 1);
  }
  return table;
}

export interface FindingFigures {
  readonly label: string;
  readonly sensitivity: Figure | null;
  readonly specificity: Figure | null;
  /** How often the call was right here. */
  readonly right: Figure | null;
}

/** The figures of each finding against the rest; who does not decide has not found it. */
export function findingFigures(
  cases: readonly Case[],
  who: Who,
  labels: readonly string[],
): readonly FindingFigures[] {
  const judged = cases.filter((one) => one.truth !== null && one[who] !== null);
  return labels.map((label) => {
    const having = judged.filter(({ truth }) => truth === label);
    const lacking = judged.filter(({ truth }) => truth !== label);
    const called = judged.filter((one) => one[who] === label);
    const part = (of: readonly Case[], test: (one: Case) => boolean) =>
      share(of.filter(test).length, of.length, patients(of));
    return {
      label,
      sensitivity: part(having, (one) => one[who] === label),
      specificity: part(lacking, (one) => one[who] !== label),
      right: part(called, ({ truth }) => truth === label),
    };
  });
}

export interface Summary {
  /** Of what was decided, how much was right; null without truth. */
  readonly accuracy: Figure | null;
  readonly undecided: Figure | null;
}

export function summary(cases: readonly Case[], who: Who): Summary {
  const said = cases.filter((one) => one[who] !== null);
  const open = said.filter((one) => one[who] === UNDECIDED);
  const decided = said.filter((one) => one[who] !== UNDECIDED && one.truth !== null);
  return {
    accuracy: share(
      decided.filter((one) => one[who] === one.truth).length,
      decided.length,
      patients(decided),
    ),
    undecided: share(open.length, said.length, patients(said)),
  };
}

/** Reader and model on films that both decided. */
export const agreement = (cases: readonly Case[]): Figure | null =>
  kappa(
    cases.flatMap(({ reader, model }) =>
      reader && model && reader !== UNDECIDED && model !== UNDECIDED ? [[reader, model]] : [],
    ),
  );

/** How often the reader said the same at the second look; the undecided count as a call. */
export function ownAgreement(cases: readonly Case[]): Figure | null {
  const twice = cases.filter(({ reader, again }) => reader !== null && again !== null);
  return share(twice.filter(({ reader, again }) => reader === again).length, twice.length);
}

export const medianMs = (cases: readonly Case[]): number | null =>
  median(cases.flatMap(({ ms }) => (ms === null ? [] : [ms])));

/** The findings that occur, each against the rest, by the model's probability. */
export function areas(cases: readonly Case[], labels: readonly string[]): readonly Figure[] {
  const judged = cases.filter(({ truth, model }) => truth !== null && model !== null);
  return labels.flatMap((label) => {
    const area = auroc(
      judged.map(({ truth, patient, probabilities }) => ({
        score: probabilities[label] ?? 0,
        has: truth === label,
        patient,
      })),
    );
    return area ? [area] : [];
  });
}

export const isDisagreement = ({ reader, model }: Case): boolean =>
  reader !== null && model !== null && reader !== model;

export const patients = (cases: readonly Case[]): number =>
  new Set(cases.map(({ patient }) => patient)).size;
