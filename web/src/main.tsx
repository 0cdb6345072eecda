import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/tray.css";
import "./styles/viewer.css";
import "./styles/result.css";
import "./styles/models.css";
import "./styles/print.css";
import { effect, signal } from "@preact/signals";
import { render } from "preact";
import { createApi } from "./api/client";
import { App } from "./app/App";
import { createDialog, type Page, PageContext } from "./app/context";
import { models, prove } from "./app/parts";
import { createPreferences } from "./app/preferences";
import { createRoute } from "./app/route";
import { ImageWorker } from "./images/client";
import { Keeping } from "./session/keeping";
import { Session } from "./session/session";
import { loadStrings, type Strings } from "./strings";
import { ViewerModel } from "./viewer/model";

/** By then the page has what it needs to be seen. */
const IDLE_MS = 3_000;

const key = signal<string | null>(null);
const preferences = createPreferences(window.localStorage, navigator.languages);
const session = new Session({
  api: createApi(new URL(".", document.baseURI).href.replace(/\/$/, ""), () => key.peek()),
  viewing: new ImageWorker(),
  sketching: new ImageWorker(),
});
const keeping = new Keeping(session);

/** Show the page, in the words of a language. */
function show(target: HTMLElement, first: Strings): void {
  const words = signal(first);
  const page: Page = {
    session,
    keeping,
    words,
    preferences,
    viewer: new ViewerModel(preferences.opacity),
    key,
    dialog: createDialog(),
    taker: signal(null),
  };
  effect(() => {
    const language = preferences.language.value;
    // One that does not arrive leaves the page in the words that it has.
    const change = (loaded: Strings) => {
      if (preferences.language.peek() === language) words.value = loaded;
    };
    void loadStrings[language]().then(change, () => {});
  });
  effect(() => {
    const root = document.documentElement;
    root.dataset.theme = preferences.theme.value;
    root.lang = preferences.language.value;
    document.title = `Pneumoscope · ${words.value.research}`;
  });
  render(
    <PageContext.Provider value={page}>
      <App route={createRoute(window.location)} />
    </PageContext.Provider>,
    target,
  );
  session.start();
  void keeping.start();
  // A service that goes away later leaves the other pages here. What fails now is asked for again.
  setTimeout(() => {
    for (const part of [models, prove]) void part.fetch().catch(() => {});
    for (const load of Object.values(loadStrings)) void load().catch(() => {});
  }, IDLE_MS);
  // Results live in this tab alone, so that leaving it must not happen by a slip.
  window.addEventListener("beforeunload", (event) => {
    const isKept = keeping.isOn.peek() && session.openCount.peek() === 0;
    if (session.studies.peek().length > 0 && !isKept) event.preventDefault();
  });
}

const target = document.getElementById("page");
if (target) void loadStrings[preferences.language.peek()]().then((first) => show(target, first));
