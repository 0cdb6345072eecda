import { usePage, useStrings } from "../app/context";
import { Icon } from "../app/icons";

/** Keeps the results beyond the tab for those who ask for it, and erases them with the same button. */
export function KeepResults() {
  const { keeping, session } = usePage();
  const { tray } = useStrings();
  const { notice } = session;
  if (keeping.isOn.value) {
    const erase = async () => {
      await keeping.erase();
      notice.value = tray.erased;
    };
    return (
      <div class="kept-results">
        <p class="quiet">{tray.kept}</p>
        <button type="button" class="button small" onClick={() => void erase()}>
          <Icon name="close" /> {tray.eraseKept}
        </button>
      </div>
    );
  }
  const keep = async () => {
    notice.value = (await keeping.turnOn()) ? tray.kept : tray.cannotKeep;
  };
  return (
    <div class="kept-results">
      <button type="button" class="button small" onClick={() => void keep()}>
        <Icon name="download" /> {tray.keep}
      </button>
    </div>
  );
}
