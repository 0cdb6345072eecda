import { useSession, useStrings } from "../app/context";
import { labelName, verdictWord } from "../result/words";
import { FAILED, OPEN, ORDERS, type Order } from "../session/worklist";
import type { Strings } from "../strings";

/** How many images have which decision; a click leaves these alone. And in what order they stand. */
export function Worklist() {
  const { tray } = useStrings();
  const strings = useStrings();
  const session = useSession();
  const { filter, order } = session;
  const counts = session.counts.value;
  if (session.studies.value.length < 2) return null;
  const chip = (group: string | null, words: string, count: number) => (
    <button
      key={group ?? ""}
      type="button"
      class={`chip ${group ?? ""}`}
      aria-pressed={filter.value === group}
      onClick={() => {
        filter.value = filter.value === group ? null : group;
      }}
    >
      {words} <span class="number">{count}</span>
    </button>
  );
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as a row everywhere.
    <div class="worklist" role="group" aria-label={tray.filter}>
      {chip(null, tray.all, session.studies.value.length)}
      {counts.map(([group, count]) => chip(group, groupName(group, strings), count))}
      <select
        aria-label={tray.order}
        value={order.value}
        onChange={(event) => {
          order.value = event.currentTarget.value as Order;
        }}
      >
        {ORDERS.map((name) => (
          <option key={name} value={name}>
            {tray.orders[name]}
          </option>
        ))}
      </select>
    </div>
  );
}

function groupName(group: string, strings: Strings): string {
  if (group === FAILED) return strings.state.failed;
  if (group === OPEN) return strings.tray.open;
  if (group === "refer") return verdictWord({ kind: "refer", reasons: [] }, strings);
  return group === "other" ? strings.tray.negative : labelName(group, strings);
}

/** What kept how many images from being read, each reason once. */
export function Failed() {
  const { tray, problem: strings } = useStrings();
  const session = useSession();
  const failed = session.failedCount.value;
  if (failed === 0) return null;
  const reasons = new Map<string, number>();
  for (const { state } of session.studies.value) {
    if (state.value.kind !== "failed") continue;
    const { type } = state.value.problem;
    reasons.set(type, (reasons.get(type) ?? 0) + 1);
  }
  return (
    <details class="fold failed-why">
      <summary>{tray.failedWhy(session.doneCount.value, failed)}</summary>
      <ul>
        {[...reasons].map(([type, count]) => (
          <li key={type}>
            <span class="number">{count}</span> × {(strings.types[type] ?? strings.unknown)[0]}
          </li>
        ))}
      </ul>
    </details>
  );
}
