import type { Signal } from "@preact/signals";
import { DropArea } from "../tray/DropArea";
import { Banner } from "./Banner";
import { useStrings } from "./context";
import { Header } from "./Header";
import { KeyDialog } from "./KeyDialog";
import { KeysDialog } from "./KeysDialog";
import { Notice } from "./Notice";
import { models, prove } from "./parts";
import { ReadPage } from "./ReadPage";
import type { Route } from "./route";

export function App({ route }: { readonly route: Signal<Route> }) {
  const strings = useStrings();
  const isReading = route.value === "read";
  return (
    <>
      {/* biome-ignore lint/a11y/useValidAnchor: it leads to a place of this page. */}
      <a class="skip" href="#main" onClick={skip}>
        {strings.skip}
      </a>
      <Header route={route.value} />
      <Banner />
      {/* The reading page stays alive behind the models page: its queue and its view go on. */}
      <main id={isReading ? "main" : undefined} class="read" hidden={!isReading} tabIndex={-1}>
        <ReadPage />
      </main>
      {route.value === "prove" && (
        <main id="main" class="prove" tabIndex={-1}>
          <prove.Part />
        </main>
      )}
      {route.value === "models" && (
        <main id="main" class="models" tabIndex={-1}>
          <models.Part />
        </main>
      )}
      <DropArea route={route} />
      <KeysDialog />
      <KeyDialog />
      <Notice />
    </>
  );
}

/** The address names the page that is shown, so the link must not change it. */
function skip(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
