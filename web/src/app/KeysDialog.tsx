import { usePage, useStrings } from "./context";
import { Dialog } from "./Dialog";

/** The list of keys and gestures. */
export function KeysDialog() {
  const { keys } = useStrings();
  const { dialog } = usePage();
  const close = () => {
    if (dialog.value === "keys") dialog.value = null;
  };
  return (
    <Dialog open={dialog.value === "keys"} title={keys.title} onClose={close}>
      <p class="quiet">{keys.lead}</p>
      <dl class="keys">
        {[...keys.list, ...keys.mouse].map(([key, meaning]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <button type="button" class="button" onClick={close}>
        {keys.close}
      </button>
    </Dialog>
  );
}
