import { useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import { focusSelected } from "./focus";
import { KeepResults } from "./KeepResults";
import { ModelChoice } from "./ModelChoice";
import { Pickers } from "./Pickers";
import { StudyList } from "./StudyList";
import { Failed, Worklist } from "./Worklist";

/** All images of this session, with what became of each. */
export function Tray() {
  const { tray } = useStrings();
  const session = useSession();
  const count = session.studies.value.length;
  return (
    <section class="tray panel" aria-label={tray.label}>
      <div class="tray-head">
        <Pickers primary={false} />
        <ModelChoice />
        <p class="tray-count">
          <span>{tray.done(session.doneCount.value, count)}</span>
          <progress max={count} value={session.doneCount.value} aria-label={tray.label} />
        </p>
        <Worklist />
        <Failed />
      </div>
      <StudyList />
      <div class="tray-foot">
        {session.openCount.value > 1 && (
          <button
            type="button"
            class="button small"
            onClick={() => leave(() => session.cancelAll())}
          >
            <Icon name="close" /> {tray.cancelAll}
          </button>
        )}
        {session.retryCount.value > 1 && (
          <button
            type="button"
            class="button small"
            onClick={() => leave(() => session.retryFailed())}
          >
            <Icon name="retry" /> {tray.retryFailed}
          </button>
        )}
        <BringBack />
        <button type="button" class="button small" onClick={() => leave(() => session.clear())}>
          <Icon name="close" /> {tray.clear}
        </button>
        <KeepResults />
      </div>
    </section>
  );
}

/** Undo "Remove all". */
export function BringBack() {
  const { tray } = useStrings();
  const session = useSession();
  const count = session.removed.value.length;
  if (count === 0) return null;
  return (
    <button type="button" class="button small" onClick={() => leave(() => session.bringBack())}>
      <Icon name="reset" /> {tray.bringBack(count)}
    </button>
  );
}

/** Do what makes the button itself go away, and keep the focus in the tray. */
function leave(act: () => void): void {
  act();
  focusSelected();
}
