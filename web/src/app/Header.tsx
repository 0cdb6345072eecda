import { type Language, NAMES } from "../strings";
import { usePage, useStrings } from "./context";
import icon from "./icon.svg";
import { THEMES, type Theme } from "./preferences";
import type { Route } from "./route";
import { StatusStrip } from "./StatusStrip";

export function Header({ route }: { readonly route: Route }) {
  const strings = useStrings();
  const current = (name: Route) => (route === name ? "page" : undefined);
  return (
    <header class="header">
      <div class="brand">
        <img src={icon} alt="" width="28" height="28" />
        <span class="wordmark">Pneumoscope</span>
      </div>
      <nav class="nav" aria-label={strings.nav.label}>
        <a href="#read" aria-current={current("read")}>
          {strings.nav.read}
        </a>
        <a href="#prove" aria-current={current("prove")}>
          {strings.nav.prove}
        </a>
        <a href="#models" aria-current={current("models")}>
          {strings.nav.models}
        </a>
      </nav>
      <p class="research">{strings.research}</p>
      <StatusStrip />
      <Choices />
    </header>
  );
}

function Choices() {
  const strings = useStrings();
  const { theme, language } = usePage().preferences;
  return (
    <div class="choices">
      <select
        aria-label={strings.settings.theme}
        value={theme.value}
        onChange={(event) => {
          theme.value = event.currentTarget.value as Theme;
        }}
      >
        {THEMES.map((name) => (
          <option key={name} value={name}>
            {strings.settings.themes[name]}
          </option>
        ))}
      </select>
      <select
        aria-label={strings.settings.language}
        value={language.value}
        onChange={(event) => {
          language.value = event.currentTarget.value as Language;
        }}
      >
        {Object.entries(NAMES).map(([code, name]) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
