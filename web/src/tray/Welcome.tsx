import { usePage, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import example from "./example.jpg";
import { takeFiles } from "./intake";
import { KeepResults } from "./KeepResults";
import { Pickers } from "./Pickers";
import { BringBack } from "./Tray";

/** What the page is for, before there is an image. */
export function Welcome() {
  const strings = useStrings();
  const { intake } = strings;
  const { session, keeping } = usePage();
  const tryExample = async () => {
    const response = await fetch(example).catch(() => null);
    if (!response?.ok) return;
    const file = new File([await response.blob()], intake.exampleName);
    await takeFiles(session, strings, [file]);
  };
  return (
    <section class="welcome" aria-labelledby="welcome-title">
      <div class="welcome-card">
        <Icon name="image" />
        <h1 id="welcome-title">{intake.title}</h1>
        <p class="lead">{intake.lead}</p>
        <Pickers primary />
        <button type="button" class="button" onClick={() => void tryExample()}>
          {intake.example}
        </button>
        <BringBack />
        {keeping.isOn.value && <KeepResults />}
        <p class="quiet">{intake.formats}</p>
        <p class="quiet">{intake.privacy}</p>
        <p class="quiet">
          <a href="#prove">{intake.prove}</a> · <a href="docs">{intake.api}</a>
        </p>
      </div>
    </section>
  );
}
