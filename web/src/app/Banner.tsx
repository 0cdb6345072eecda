import { useEffect, useState } from "preact/hooks";
import { usePage, useSession, useStrings } from "./context";
import { Icon } from "./icons";

/** What holds everything up at the moment, if anything does. */
export function Banner() {
  const strings = useStrings();
  const session = useSession();
  const pause = session.pause.value;
  const isAway = session.server.state.value.kind === "away";
  const text = isAway
    ? strings.banner.away(session.openCount.value)
    : pause?.kind === "overloaded"
      ? null
      : "";
  if (pause?.kind === "locked" && !isAway) return <Locked />;
  return (
    <div class="banners" role="status">
      {text && (
        <p class="banner bad">
          <Icon name="alert" /> {text}
        </p>
      )}
      {text === null && pause?.kind === "overloaded" && (
        <Countdown key={pause.untilMs} untilMs={pause.untilMs} type={pause.type} />
      )}
    </div>
  );
}

/** The key is asked for once, whatever waits for it; closed, the question stays here. */
function Locked() {
  const { problem, banner } = useStrings();
  const { dialog, session, key } = usePage();
  useEffect(() => {
    dialog.value = "key";
  }, [dialog]);
  return (
    <div class="banners" role="status">
      <p class="banner wait">
        <Icon name="keys" />
        {key.value === null
          ? banner.locked(session.openCount.value)
          : banner.wrongKey(session.openCount.value)}
        <button
          type="button"
          class="button small"
          onClick={() => {
            dialog.value = "key";
          }}
        >
          {problem.enterKey}
        </button>
      </p>
    </div>
  );
}

interface CountdownProps {
  readonly untilMs: number;
  readonly type: string;
}

function Countdown({ untilMs, type }: CountdownProps) {
  const { banner } = useStrings();
  const why = banner.pauses[type] ?? banner.busy;
  const left = () => Math.max(0, Math.ceil((untilMs - Date.now()) / 1000));
  const [seconds, setSeconds] = useState(left);
  // A screen reader hears the wait once, not every second.
  const [spoken] = useState(left);
  useEffect(() => {
    const timer = setInterval(() => setSeconds(left()), 250);
    return () => clearInterval(timer);
  });
  return (
    <p class="banner wait">
      <Icon name="clock" />
      <span aria-hidden="true">{`${why} ${banner.goesOn(seconds)}`}</span>
      <span class="unseen">{`${why} ${banner.goesOn(spoken)}`}</span>
    </p>
  );
}
