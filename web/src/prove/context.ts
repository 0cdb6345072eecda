import { useLanguage, useStrings } from "../app/context";
import { findingName } from "../result/words";
import { UNDECIDED } from "./cases";
import { PROVE, type ProveStrings } from "./strings";

export const useProveStrings = (): ProveStrings => PROVE[useLanguage()];

/** What was said, in words: a finding, or that it was not decided, by the reader or the model. */
export function useSaid(labels: readonly string[]) {
  const strings = useStrings();
  const prove = useProveStrings();
  const findings = labels.map((label) => ({ label: label as never }));
  return (said: string, who: "reader" | "model" = "reader"): string => {
    if (said === UNDECIDED) return who === "model" ? prove.referred : prove.undecided;
    return findingName(said, findings, strings);
  };
}
