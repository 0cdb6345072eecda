import { useStrings } from "../app/context";
import { Icon } from "../app/icons";
import { Pickers } from "./Pickers";

/** What the page is for, before there is an image. */
export function Welcome() {
  const { intake } = useStrings();
  return (
    <section class="welcome" aria-labelledby="welcome-title">
      <div class="welcome-card">
        <Icon name="image" />
        <h1 id="welcome-title">{intake.title}</h1>
        <p class="lead">{intake.lead}</p>
        <Pickers primary />
        <p class="quiet">{intake.formats}</p>
        <p class="quiet">{intake.privacy}</p>
      </div>
    </section>
  );
}
