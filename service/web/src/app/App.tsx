import type { Signal } from "@preact/signals";
import { lazy, Suspense } from "preact/compat";
import { Banner } from "./Banner";
import { useSession, useStrings } from "./context";
import { Header } from "./Header";
import { KeyDialog } from "./KeyDialog";
import { KeysDialog } from "./KeysDialog";
import { ReadPage } from "./ReadPage";
import type { Route } from "./route";

const ModelsPage = lazy(async () => ({
  default: (await import("../models/ModelsPage")).ModelsPage,
}));

export function App({ route }: { readonly route: Signal<Route> }) {
  const strings = useStrings();
  const session = useSession();
  const isReading = route.value === "read";
  return (
    <>
      <a class="skip" href="#main">
        {strings.skip}
      </a>
      <Header route={route.value} />
      <Banner />
      {/* The reading page stays alive behind the models page: its queue and its view go on. */}
      <main id={isReading ? "main" : undefined} class="read" hidden={!isReading} tabIndex={-1}>
        <ReadPage />
      </main>
      {!isReading && (
        <main id="main" class="models" tabIndex={-1}>
          <Suspense fallback={<p class="quiet">{strings.models.loading}</p>}>
            <ModelsPage />
          </Suspense>
        </main>
      )}
      <KeysDialog />
      <KeyDialog />
      <div class="unseen" role="status">
        {session.notice.value}
      </div>
    </>
  );
}
