import { useSession, useStrings } from "../app/context";

/** Which model reads; by default the service chooses by the DICOM modality. */
export function ModelChoice() {
  const strings = useStrings();
  const session = useSession();
  const names = [...new Set((session.models.value ?? []).map(({ name }) => name))];
  const stale = session.studies.value.some((study) => session.isStale(study));
  return (
    <div class="model-choice">
      <label>
        <span>{strings.model.label}</span>
        <select
          value={session.modelChoice.value ?? ""}
          title={strings.model.automaticHelp}
          onChange={(event) => session.chooseModel(event.currentTarget.value || null)}
        >
          <option value="">{strings.model.automatic}</option>
          {names.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {stale && (
        <button type="button" class="button small" onClick={() => session.readAllWithChoice()}>
          {strings.tray.readAll}
        </button>
      )}
    </div>
  );
}
