import { useState } from "preact/hooks";
import { useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Answer } from "../reading/send";
import type { Session } from "../session/session";
import { batchCsv, batchJson, csvCount } from "./csv";
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
          <button type="button" class="button" onClick={() => window.print()}>
            <Icon name="print" /> {result.print}
          </button>
          <CopyJson answer={answer} />
        </>
      )}
      {count > 0 && (
        <button
          type="button"
          class="button"
          aria-label={result.csv(count)}
          title={result.csv(count)}
          onClick={() => saveText(batchCsv(studies), "pneumoscope.csv", "text/csv")}
        >
          <Icon name="download" /> CSV
        </button>
      )}
      {count > 1 && (
        <button
          type="button"
          class="button"
          aria-label={result.printList(count)}
          title={result.printList(count)}
          onClick={() => printList(session)}
        >
          <Icon name="print" /> {result.list}
        </button>
      )}
      {count > 1 && (
        <button
          type="button"
          class="button"
          aria-label={result.json(count)}
          title={result.json(count)}
          onClick={() => saveText(batchJson(studies), "pneumoscope.json", "application/json")}
        >
          <Icon name="download" /> JSON
        </button>
      )}
      {count > 0 && <p class="quiet">{result.namesNote}</p>}
    </div>
  );
}

/** Print the list of all images in place of the open one. */
function printList({ printed }: Session): void {
  printed.value = "list";
  // The list is drawn first. Some browsers come back before the print is made.
  requestAnimationFrame(() => {
    window.addEventListener(
      "afterprint",
      () => {
        printed.value = "image";
      },
      { once: true },
    );
    window.print();
  });
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
