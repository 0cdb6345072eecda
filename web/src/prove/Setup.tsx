import { useEffect, useState } from "preact/hooks";
import type { ModelDescription } from "../api/types";
import { usePage } from "../app/context";
import { FileButton } from "../tray/FileButton";
import { type Incoming, received } from "../tray/incoming";
import { useProveStrings } from "./context";
import { Erase } from "./Erase";
import type { Beginning, Trial } from "./trial";
import { type TruthTable, truthTable } from "./truth";

/** What a trial is, on which model, what tells the truth, and where the films come from. */
export function Setup({ trial }: { readonly trial: Trial }) {
  const { session, taker } = usePage();
  const strings = useProveStrings();
  const models = session.models.value ?? [];
  const [chosen, choose] = useState<string | null>(null);
  const [table, setTable] = useState<TruthTable | "refused" | null>(null);
  const [failure, fail] = useState<string | null>(null);
  const model =
    models.find(({ name }) => name === (chosen ?? session.defaultModel.value)) ?? models[0] ?? null;
  const beginning = trial.beginning.value;
  void trial.revision.value;
  const isTaking = trial.phase.value === "taking";
  const take = async (incoming: AsyncIterable<Incoming>) => {
    if (!model && !beginning) return;
    fail(null);
    const wasKept = beginning !== null;
    await trial.take(
      incoming,
      () => beginningOf(model as ModelDescription),
      table === "refused" ? null : table,
    );
    if (trial.filesCount > 0) return;
    if (wasKept) fail(strings.noneOfThem);
    else {
      fail(strings.noImages);
      await trial.erase();
    }
  };
  useEffect(() => {
    taker.value = (incoming) => void take(incoming);
    return () => {
      taker.value = null;
    };
  });
  return (
    <section class="prove-setup panel" aria-labelledby="prove-title">
      <h1 id="prove-title">{strings.title}</h1>
      <p class="lead">{strings.lead}</p>
      {beginning ? (
        <p class="prove-kept">
          {strings.kept(trial.films.length, trial.callsCount, beginning.model)}
        </p>
      ) : (
        <>
          <ol class="prove-steps">
            {strings.steps.map((step) => (
              <li key={step}>{step}</li>
            ))}
          </ol>
          <label class="prove-field">
            <span>{strings.model}</span>
            <select
              value={model?.name ?? ""}
              onChange={(event) => choose(event.currentTarget.value)}
            >
              {[...new Set(models.map(({ name }) => name))].map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        </>
      )}
      <div class="prove-field">
        <span>{strings.truth}</span>
        <p class="quiet">{strings.truthHelp}</p>
        <FileButton
          label={strings.table}
          icon="copy"
          accept=".csv,text/csv"
          onFiles={async ([file]) => {
            if (file) setTable(truthTable(await file.text()) ?? "refused");
          }}
        />
        <p role="status" class="quiet">
          {table === "refused" && strings.tableRefused}
          {table && table !== "refused" && strings.tableTaken(table.rows, table.unknown)}
        </p>
      </div>
      {isTaking ? (
        <p role="status">{strings.taking(trial.progress.value.found, trial.progress.value.done)}</p>
      ) : (
        <div class="row">
          <FileButton
            label={strings.folder}
            icon="folder"
            primary
            multiple
            folder
            onFiles={(files) => take(received(files, true))}
          />
          <FileButton
            label={strings.films}
            icon="image"
            multiple
            onFiles={(files) => take(received(files, true))}
          />
          {trial.callsCount > 0 && (
            <button
              type="button"
              class="button"
              onClick={() => {
                trial.phase.value = "report";
              }}
            >
              {strings.report}
            </button>
          )}
          {beginning && <Erase trial={trial} />}
        </div>
      )}
      {failure && <p role="alert">{failure}</p>}
      <p class="quiet">{trial.isKept.value ? strings.privacy : strings.notKept}</p>
    </section>
  );
}

function beginningOf({ name, findings }: ModelDescription): Beginning {
  const [seed = 0, ...salt] = crypto.getRandomValues(new Uint32Array(5));
  return {
    started: new Date().toISOString(),
    seed,
    salt: salt.map((word) => word.toString(16)).join(""),
    model: name,
    labels: findings.map(({ label }) => label),
  };
}
