import type { ServerState } from "../session/server";
import type { Strings } from "../strings";
import { useSession, useStrings } from "./context";

type Light = "good" | "busy" | "bad";

/** Whether the service is ready, where the models run, and how much waits there and here. */
export function StatusStrip() {
  const strings = useStrings();
  const session = useSession();
  const state = session.server.state.value;
  const [light, words] = readiness(state, strings);
  const waiting = session.openCount.value;
  return (
    <dl class="status" aria-label={strings.status.label}>
      <div class={`readiness ${light}`}>
        <dt class="unseen">{strings.status.label}</dt>
        <dd>{words}</dd>
      </div>
      {state.kind === "there" && state.health.execution_provider && (
        <div class="provider">
          <dt class="unseen">{strings.result.provider}</dt>
          <dd title={state.health.execution_provider}>
            {providerName(state.health.execution_provider, strings)}
          </dd>
        </div>
      )}
      {state.kind === "there" && state.health.in_flight > 0 && (
        <div>
          <dt class="unseen">{strings.status.queue}</dt>
          <dd class="number">
            {strings.status.inService(state.health.in_flight, state.health.queue_limit)}
          </dd>
        </div>
      )}
      {waiting > 0 && (
        <div>
          <dt class="unseen">{strings.state.waiting}</dt>
          <dd class="number">{strings.status.waiting(waiting)}</dd>
        </div>
      )}
    </dl>
  );
}

function readiness(state: ServerState, strings: Strings): [Light, string] {
  if (state.kind === "unknown") return ["busy", strings.status.unknown];
  if (state.kind === "away") return ["bad", strings.status.away];
  switch (state.health.status) {
    case "ready":
      return ["good", strings.status.ready];
    case "loading":
      return ["busy", strings.status.warming];
    default:
      return ["bad", strings.status.degraded];
  }
}

/** ONNX Runtime's name of an execution provider, as people say it. */
export function providerName(provider: string, strings: Strings): string {
  if (provider.startsWith("CPU")) return strings.status.cpu;
  if (/^(CUDA|Tensorrt|ROCM|MIGraphX|Dml|OpenVINO)/i.test(provider)) {
    return `${strings.status.gpu} · ${provider.replace("ExecutionProvider", "")}`;
  }
  return provider.replace("ExecutionProvider", "");
}
