import { PrintList } from "../result/PrintList";
import { Result } from "../result/Result";
import { Tray } from "../tray/Tray";
import { Welcome } from "../tray/Welcome";
import { Viewer } from "../viewer/Viewer";
import { usePage, useStrings } from "./context";

/** Tray, radiograph and result side by side; before the first image, where to put one. */
export function ReadPage() {
  const { session, viewer } = usePage();
  const strings = useStrings();
  const isEmpty = session.studies.value.length === 0;
  if (isEmpty) return <Welcome />;
  const isList = session.printed.value === "list";
  return (
    <>
      {isList && <PrintList />}
      <div
        class={`desk ${viewer.trayHidden.value ? "no-tray" : ""} ${viewer.resultHidden.value ? "no-result" : ""} ${isList ? "not-printed" : ""}`}
      >
        <h1 class="unseen">{strings.nav.read}</h1>
        {/* A table's head is what browsers repeat on every printed page. */}
        <div class="print-only print-head">
          <p class="print-research">Pneumoscope. {strings.research}</p>
        </div>
        <Tray />
        <Viewer />
        <Result />
      </div>
    </>
  );
}
