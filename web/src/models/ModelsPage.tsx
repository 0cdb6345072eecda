import { useEffect } from "preact/hooks";
import { usePage, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Problem } from "../reading/outcome";
import { Comparison } from "./Comparison";
import { ModelCard } from "./ModelCard";

/** What this service can read, how it was measured, and where it fails. */
export function ModelsPage() {
  const strings = useStrings();
  const { session } = usePage();
  useEffect(() => {
    if (session.models.value === null) void session.loadModels();
    else if (session.hasTrail) void session.feedback.look();
  }, [session]);
  const models = session.models.value;
  const problem = session.modelsProblem.value;
  return (
    <>
      <h1>{strings.models.title}</h1>
      <p class="lead">{strings.models.lead}</p>
      {problem && <ModelsProblem problem={problem} />}
      {models === null && !problem && <p class="quiet">{strings.models.loading}</p>}
      {models?.length === 0 && <p class="quiet">{strings.models.none}</p>}
      {models && models.length > 0 && <Comparison models={models} />}
      {models?.map((model) => (
        <ModelCard key={`${model.name} ${model.version}`} model={model} />
      ))}
    </>
  );
}

/** Why there are no models to show, and what to do about it. */
function ModelsProblem({ problem }: { readonly problem: Problem }) {
  const { models, problem: words } = useStrings();
  const { session, dialog } = usePage();
  const why = models.problems[problem.type];
  return (
    <div class="models-problem" role="alert">
      <p>
        <Icon name="alert" /> {models.failed} {why}
      </p>
      {!why && problem.detail && (
        <p class="quiet" lang="en">
          {problem.detail}
        </p>
      )}
      <div class="row">
        {(problem.status === 401 || problem.status === 403) && (
          <button
            type="button"
            class="button primary"
            onClick={() => {
              dialog.value = "key";
            }}
          >
            {words.enterKey}
          </button>
        )}
        <button type="button" class="button" onClick={() => void session.loadModels()}>
          <Icon name="retry" /> {words.retry}
        </button>
      </div>
    </div>
  );
}
