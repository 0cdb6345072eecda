import { Result } from "../result/Result";
import { DropArea } from "../tray/DropArea";
import { Tray } from "../tray/Tray";
import { Welcome } from "../tray/Welcome";
import { Viewer } from "../viewer/Viewer";
import { useSession, useStrings } from "./context";

/** Tray, radiograph and result side by side; before the first image, where to put one. */
export function ReadPage() {
  const session = useSession();
  const strings = useStrings();
  const isEmpty = session.studies.value.length === 0;
  return (
    <DropArea>
      {isEmpty ? (
        <Welcome />
      ) : (
        <div class="desk">
          <h1 class="unseen">{strings.nav.read}</h1>
          <p class="print-only print-research">Pneumoscope. {strings.research}</p>
          <Tray />
          <Viewer />
          <Result />
        </div>
      )}
    </DropArea>
  );
}
