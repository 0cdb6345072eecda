import { usePage, useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Problem } from "../reading/outcome";
import type { Study } from "../session/study";

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
  const { dialog } = usePage();
  const [what, next] = strings.types[problem.type] ?? strings.unknown;
  return (
    <div class="problem">
      <h3>
        <Icon name="alert" /> {strings.title}
      </h3>
      <p class="problem-what">{what}</p>
      <h4>{strings.next}</h4>
      <p>{next}</p>
      <div class="row">
        {problem.type === "unauthenticated" && (
          <button
            type="button"
            class="button primary"
            onClick={() => {
              dialog.value = "key";
            }}
          >
            {strings.enterKey}
          </button>
        )}
        <button type="button" class="button" onClick={() => session.retry([study])}>
          <Icon name="retry" /> {strings.retry}
        </button>
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
