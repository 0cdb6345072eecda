import { useState } from "preact/hooks";
import { usePage, useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Answer } from "../reading/send";
import type { Session } from "../session/session";
import { answerOf, type Study } from "../session/study";
import { batchCsv, batchJson, csvCount } from "./csv";
import { dicomReport } from "./dicomReport";
import { copyText, saveFile, saveText } from "./save";
import { isOverruled } from "./verdict";

/** Take the result along: on paper, as JSON or DICOM, and the whole batch as CSV. */
export function Actions({ study }: { readonly study: Study | null }) {
  const { result } = useStrings();
  const session = useSession();
  const studies = session.studies.value;
  const series = session.seriesRead.value;
  const count = csvCount(studies) + series.length;
  const answer = study && answerOf(study);
  const { gateway } = session;
  // The service's own words would contradict what stands above.
  const isReported = study?.format === "dicom" && answer && !isOverruled(answer.image);
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
      {gateway && isReported && study.file && (
        <DicomReport key={study.id} gateway={gateway} file={study.file} answer={answer} />
      )}
      {count > 0 && (
        <button
          type="button"
          class="button"
          aria-label={result.csv(count)}
          title={result.csv(count)}
          onClick={() => saveText(batchCsv(studies, series), "pneumoscope.csv", "text/csv")}
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
          onClick={() =>
            saveText(batchJson(studies, series), "pneumoscope.json", "application/json")
          }
        >
          <Icon name="download" /> JSON
        </button>
      )}
      {count > 0 && <p class="quiet">{result.namesNote}</p>}
    </div>
  );
}

interface DicomReportProps {
  readonly gateway: string;
  readonly file: File;
  readonly answer: Answer;
}

function DicomReport({ gateway, file, answer }: DicomReportProps) {
  const { result } = useStrings();
  const { session, key } = usePage();
  const [isComing, setComing] = useState(false);
  const save = async () => {
    setComing(true);
    const report = await dicomReport(gateway, key.peek(), file, answer);
    setComing(false);
    if (report instanceof Blob) saveFile(report, "pneumoscope-sr.dcm");
    else session.notice.value = result.noReport(report);
  };
  return (
    <button
      type="button"
      class="button"
      aria-label={result.dicomReport}
      title={result.dicomReport}
      aria-disabled={isComing}
      onClick={() => !isComing && void save()}
    >
      <Icon name={isComing ? "clock" : "download"} /> DICOM SR
    </button>
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
