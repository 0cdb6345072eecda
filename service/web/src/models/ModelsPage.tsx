import { useEffect } from "preact/hooks";
import { usePage, useStrings } from "../app/context";
import { ModelCard } from "./ModelCard";

/** What this service can read, how it was measured, and where it fails. */
export function ModelsPage() {
  const strings = useStrings();
  const { session, key, dialog } = usePage();
  useEffect(() => {
    if (session.models.value === null) void session.loadModels();
  }, [session]);
  const models = session.models.value;
  return (
    <>
      <h1>{strings.models.title}</h1>
      <p class="lead">{strings.models.lead}</p>
      {session.needsKey.value && key.value === null && (
        <p>
          <button
            type="button"
            class="button primary"
            onClick={() => {
              dialog.value = "key";
            }}
          >
            {strings.problem.enterKey}
          </button>
        </p>
      )}
      {models === null && <p class="quiet">{strings.models.loading}</p>}
      {models?.length === 0 && <p class="quiet">{strings.models.none}</p>}
      {models?.map((model) => (
        <ModelCard key={`${model.name} ${model.version}`} model={model} />
      ))}
    </>
  );
}
