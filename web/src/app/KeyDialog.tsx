import { usePage, useStrings } from "./context";
import { Dialog } from "./Dialog";

/** Asks for the API key of a service that wants one. It lives in memory alone. */
export function KeyDialog() {
  const { settings } = useStrings();
  const { dialog, key, session } = usePage();
  const close = () => {
    if (dialog.value === "key") dialog.value = null;
  };
  const save = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("key");
    key.value = (field as HTMLInputElement).value.trim() || null;
    close();
    void session.loadModels();
    session.unlock();
  };
  return (
    <Dialog open={dialog.value === "key"} title={settings.key} onClose={close}>
      <form onSubmit={save} class="key-form">
        <p class="quiet" id="key-help">
          {settings.keyHelp}
        </p>
        <label>
          {settings.key}
          <input name="key" type="password" autocomplete="off" aria-describedby="key-help" />
        </label>
        <div class="row">
          <button type="submit" class="button primary">
            {settings.keySave}
          </button>
          <button type="button" class="button" onClick={close}>
            {settings.keyCancel}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
