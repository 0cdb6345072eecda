import { Result } from "../result/Result";
import { Tray } from "../tray/Tray";
import { Welcome } from "../tray/Welcome";
import { Viewer } from "../viewer/Viewer";
import { useSession, useStrings } from "./context";

/** Tray, radiograph and result side by side; before the first image, where to put one. */
export function ReadPage() {
  const session = useSession();
  const strings = useStrings();
  const isEmpty = session.studies.value.length === 0;
  if (isEmpty) return <Welcome />;
  return (
    <div class="desk">
      <h1 class="unseen">{strings.nav.read}</h1>
      {/* A table's head is what browsers repeat on every printed page. */}
      <div class="print-only print-head">
        <p class="print-research">Pneumoscope. {strings.research}</p>
      </div>
      <Tray />
      <Viewer />
      <Result />
    </div>
  );
}
