import { useState } from "preact/hooks";
import { useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Answer } from "../reading/send";
import { batchCsv, csvCount } from "./csv";
import { copyText, saveText } from "./save";

/** Take the result along: on paper, as JSON, and the whole batch as CSV. */
export function Actions({ answer }: { readonly answer: Answer | null }) {
  const { result } = useStrings();
  const session = useSession();
  const studies = session.studies.value;
  const count = csvCount(studies);
  return (
    <div class="actions">
      {answer && (
        <>
          <button type="button" class="button wide" onClick={() => window.print()}>
            <Icon name="print" /> {result.print}
          </button>
          <CopyJson answer={answer} />
        </>
      )}
      {count > 0 && (
        <button
          type="button"
          class="button"
          onClick={() => saveText(batchCsv(studies), "pneumoscope.csv", "text/csv")}
        >
          <Icon name="download" /> {result.csv(count)}
        </button>
      )}
    </div>
  );
}

function CopyJson({ answer }: { readonly answer: Answer }) {
  const { result } = useStrings();
  const session = useSession();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    const done = await copyText(JSON.stringify(answer.body, null, 2));
    session.notice.value = done ? result.copied : result.copyFailed;
    setCopied(done);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <button type="button" class="button" onClick={() => void copy()}>
      <Icon name={copied ? "check" : "copy"} /> {copied ? result.copied : result.copyJson}
    </button>
  );
}
