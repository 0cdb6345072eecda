import { useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Problem } from "../reading/outcome";
import type { Study } from "../session/study";
import { KindOffer } from "./OtherKind";
import { isLateral } from "./views";

/** Whether the image was refused for its view. The service says so in its detail alone. */
const isSideways = (study: Study, { detail }: Problem): boolean =>
  isLateral(study.facts.value?.view) || /\blateral\b/i.test(detail ?? "");

/** What went wrong in plain words, what to do, and what the service said exactly. */
export function ProblemCard({
  study,
  problem,
}: {
  readonly study: Study;
  readonly problem: Problem;
}) {
  const { problem: strings } = useStrings();
  const session = useSession();
  const isSide = problem.type === "unsuitable-image" && isSideways(study, problem);
  const [what, next] = strings.types[isSide ? "page:lateral" : problem.type] ?? strings.unknown;
  const asked = study.model.value ?? session.modelChoice.value ?? session.defaultModel.value;
  return (
    <div class="problem">
      <h3>
        <Icon name="alert" /> {strings.title}
      </h3>
      <p class="problem-what">{what}</p>
      <h4>{strings.next}</h4>
      <p>{next}</p>
      {problem.type === "unsuitable-image" && !isSide && asked && (
        <KindOffer study={study} asked={asked} modality={study.facts.value?.modality ?? null} />
      )}
      <div class="row">
        {session.canRetry(study) && (
          <button type="button" class="button" onClick={() => session.retry([study])}>
            <Icon name="retry" /> {strings.retry}
          </button>
        )}
      </div>
      {problem.detail && (
        <>
          <h4>{strings.said}</h4>
          <p class="problem-detail" lang="en">
            {problem.detail}
          </p>
        </>
      )}
      {problem.status > 0 && (
        <p class="quiet">
          {strings.status(problem.status)}
          {problem.requestId && ` · ${strings.requestId(problem.requestId)}`}
        </p>
      )}
    </div>
  );
}
